package api

import (
	"context"
	"crypto/x509"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/credential"
	"yitong/gateway/share"
)

// Shown is a certificate that the gateway shows, by its use.
type Shown struct {
	Use   string // "tls", "enrolment"
	Files credential.Files
}

type keyring struct {
	yitongv1.UnimplementedKeysServer
	gateway     *share.Gateway
	shown       []Shown
	revocations Revocations
}

func (s keyring) List(ctx context.Context, _ *yitongv1.ListKeysRequest) (*yitongv1.ListKeysResponse, error) {
	own, err := s.gateway.OwnKeys(ctx)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListKeysResponse{}
	for _, k := range own {
		out.Keys = append(out.Keys, memberKeyMessage(k))
	}
	for _, c := range s.shown {
		cert, err := c.Files.Leaf()
		if err != nil {
			return nil, err
		}
		out.Keys = append(out.Keys, s.certificateMessage(c.Use, cert))
	}
	return out, nil
}

func (s keyring) Rotate(ctx context.Context, in *yitongv1.RotateKeyRequest) (*yitongv1.RotateKeyResponse, error) {
	grace := time.Duration(registry.DefaultGrace) * time.Second
	if in.GraceSeconds != nil {
		grace = time.Duration(in.GetGraceSeconds()) * time.Second
	}
	r, err := s.gateway.Rotate(ctx, in.GetUse(), grace)
	if err != nil {
		return nil, err
	}
	return &yitongv1.RotateKeyResponse{
		Before: memberKeyMessage(share.OwnKey{Use: r.Use, State: share.KeyReplaced, Key: r.Before, Private: r.Use == registry.UseHPKE}),
		After:  memberKeyMessage(share.OwnKey{Use: r.Use, State: share.KeyPresent, Key: r.After, Private: true}),
		Commit: commitMessage(r.Commit),
	}, nil
}

func memberKeyMessage(k share.OwnKey) *yitongv1.MemberKey {
	return &yitongv1.MemberKey{
		Use: k.Use, Id: k.ID, State: string(k.State), Private: k.Private,
		From: timeMessage(k.From), Until: timeMessage(k.Until), Due: timeMessage(k.Due()),
	}
}

func (s keyring) certificateMessage(use string, cert *x509.Certificate) *yitongv1.MemberKey {
	// An enrolment certificate is of another authority than the lists here are; whether it
	// is revoked, the channel's configuration says.
	revoked := use == "tls" && s.revocations.Revoked(s.gateway.Self.MSP, cert)
	return &yitongv1.MemberKey{
		Use: use, Id: cert.SerialNumber.Text(16), State: string(share.KeyPresent), Private: true, Subject: cert.Subject.CommonName,
		From: timestamppb.New(cert.NotBefore), Until: timestamppb.New(cert.NotAfter), Due: timestamppb.New(cert.NotAfter), Revoked: revoked,
	}
}
