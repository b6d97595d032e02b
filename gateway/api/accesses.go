package api

import (
	"context"
	"io"

	"google.golang.org/grpc"

	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

type accesses struct {
	yitongv1.UnimplementedAccessesServer
	gateway *share.Gateway
}

func (s accesses) Request(ctx context.Context, in *yitongv1.AccessRequest) (*yitongv1.AccessResponse, error) {
	claim, err := claimOf(in)
	if err != nil {
		return nil, err
	}
	claim.User = user(ctx)
	a, commit, err := s.gateway.Request(ctx, claim)
	if err != nil {
		return nil, err
	}
	return &yitongv1.AccessResponse{Access: accessMessage(a, nil, nil), Commit: commitMessage(commit)}, nil
}

func claimOf(in *yitongv1.AccessRequest) (share.Claim, error) {
	c := share.Claim{
		ID: in.GetId(), Custodian: in.GetCustodian(), Patient: patientOf(in.GetPatient()),
		Period: periodOf(in.GetDataPeriod()), Reference: in.GetClaim(), TTL: ttlOf(in.GetTtlSeconds()),
		Action: consent.Access,
	}
	var err error
	if c.Purpose, err = consent.ParsePurpose(in.GetPurpose()); err != nil {
		return c, malformed("purpose", err)
	}
	if code := in.GetAction(); code != "" {
		if c.Action, err = consent.ParseAction(code); err != nil {
			return c, malformed("action", err)
		}
	}
	if c.Classes, err = classesOf(in.GetClasses()); err != nil {
		return c, err
	}
	c.Types, err = typesOf(in.GetRecordTypes())
	return c, err
}

func (s accesses) Open(in *yitongv1.OpenRequest, stream grpc.ServerStreamingServer[yitongv1.OpenResponse]) error {
	if in.GetWithoutContent() && s.gateway.NoCopies {
		return refusal.New(share.CopiesOff, "this gateway keeps nothing of what it opens", "opening it with its content")
	}
	watch := func(done, total int64) {
		if in.GetWithoutContent() { // who has gone away is noticed with the next part
			_ = stream.Send(&yitongv1.OpenResponse{Message: &yitongv1.OpenResponse_Progress{Progress: &yitongv1.OpenProgress{Received: done, Total: total}}})
		}
	}
	opened, err := s.gateway.Open(stream.Context(), in.GetCustodian(), in.GetId(), func(recordID string, p record.Part) (io.Writer, error) {
		begin := &yitongv1.OpenResponse{Message: &yitongv1.OpenResponse_Part{Part: partMessage(recordID, share.Part{Part: p})}}
		if err := stream.Send(begin); err != nil {
			return nil, err
		}
		if in.GetWithoutContent() {
			return io.Discard, nil
		}
		return messageWriter{func(chunk []byte) error {
			return stream.Send(&yitongv1.OpenResponse{Message: &yitongv1.OpenResponse_Content{Content: chunk}})
		}}, nil
	}, watch)
	if err != nil {
		return err
	}
	return stream.Send(&yitongv1.OpenResponse{Message: &yitongv1.OpenResponse_Summary{Summary: &yitongv1.OpenSummary{
		Parts: int32(opened.Parts), Bytes: opened.Bytes, Manifest: opened.Manifest, Receipt: commitMessage(opened.Receipt), Recovered: recoveredMessage(opened.Recovery),
	}}})
}

func (s accesses) Get(ctx context.Context, in *yitongv1.GetAccessRequest) (*yitongv1.AccessResponse, error) {
	e, err := s.gateway.Access(ctx, in.GetCustodian(), in.GetRequester(), in.GetId())
	if err != nil {
		return nil, err
	}
	return &yitongv1.AccessResponse{Access: entryAccess(e)}, nil
}

func (s accesses) List(ctx context.Context, in *yitongv1.ListAccessesRequest) (*yitongv1.ListAccessesResponse, error) {
	page, err := s.gateway.Accesses(ctx, in.GetCustodian(), in.GetRequester(), in.GetPage().GetBookmark(), int(in.GetPage().GetSize()))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListAccessesResponse{NextBookmark: page.Bookmark}
	for _, e := range page.Accesses {
		if e.Access != nil {
			out.Accesses = append(out.Accesses, entryAccess(e))
		}
	}
	return out, nil
}

// entryAccess is an access with what came of it.
func entryAccess(e contract.AccessEntry) *yitongv1.Access {
	out := accessMessage(*e.Access, e.Release, e.Receipt)
	out.Review = reviewState(*e.Access, e.Review)
	return out
}
