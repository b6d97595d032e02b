package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/escrow"
	"yitong/gateway/seal"
	"yitong/gateway/share"
)

// keeping answers the gateways of the other members about records in escrow.
type keeping struct {
	yitongv1.UnimplementedEscrowServer
	gateway *share.Gateway
}

func (s keeping) Deposit(stream grpc.ClientStreamingServer[yitongv1.DepositRequest, yitongv1.DepositResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	d := share.Deposit{Package: &escrow.Package{}, Share: encryptedOf(header.GetShare()), Height: header.GetHeight()}
	if err := readDocument(header.GetPackage(), d.Package); err != nil {
		return malformed("package", errors.New("it can't be read"))
	}
	if len(header.GetParts()) > 0 {
		if err := readDocument(header.GetParts(), &d.Parts); err != nil {
			return malformed("parts", errors.New("they can't be read"))
		}
	}
	var ahead *yitongv1.SealedChunk // of the part after the one that was read
	err = s.gateway.Keep(stream.Context(), requester(stream.Context()), d, func(part int) (io.Reader, error) {
		return &messageReader{next: func() ([]byte, error) {
			if ahead == nil {
				m, err := stream.Recv()
				if err != nil {
					return nil, err
				}
				ahead = m.GetChunk()
			}
			switch at := int(ahead.GetPart()); {
			case ahead == nil || at < part:
				return nil, refusal.New(refusal.Malformed, "the sealed parts come out of turn", "the parts in order")
			case at > part:
				return nil, io.EOF
			}
			sealed := ahead.GetSealed()
			ahead = nil
			return sealed, nil
		}}, nil
	})
	if err != nil {
		return err
	}
	return stream.SendAndClose(&yitongv1.DepositResponse{})
}

func (s keeping) Index(ctx context.Context, in *yitongv1.IndexRequest) (*yitongv1.IndexResponse, error) {
	entries := make([]share.IndexEntry, len(in.GetEntries()))
	for i, e := range in.GetEntries() {
		entries[i] = share.IndexEntry{Requester: e.GetRequester(), Handle: e.GetHandle(), Record: e.GetRecordId()}
	}
	return &yitongv1.IndexResponse{}, s.gateway.Find(ctx, requester(ctx), entries)
}

func (s keeping) Recover(in *yitongv1.EscrowRecoverRequest, stream grpc.ServerStreamingServer[yitongv1.EscrowRecoverResponse]) error {
	ctx, err := expecting(stream.Context(), in.GetKeys())
	if err != nil {
		return err
	}
	r, err := s.gateway.RecoverFor(ctx, requester(ctx), in.GetCustodian(), in.GetPermit(), in.GetHeight())
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(r.Manifest)
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	err = stream.Send(&yitongv1.EscrowRecoverResponse{Message: &yitongv1.EscrowRecoverResponse_Header{Header: &yitongv1.RecoverHeader{
		Manifest: manifest, Shares: encryptedMessage(r.Shares), Recovery: commitMessage(r.Commit),
	}}})
	for _, p := range r.Packages {
		if err != nil {
			return err
		}
		raw, merr := json.Marshal(p)
		if merr != nil {
			return fmt.Errorf("encoding a package: %w", merr)
		}
		err = stream.Send(&yitongv1.EscrowRecoverResponse{Message: &yitongv1.EscrowRecoverResponse_Package{Package: raw}})
	}
	if err != nil {
		return err
	}
	for _, one := range r.Manifest.Records {
		for _, p := range one.Parts {
			sealed, err := r.Sealed(ctx, one.Anchor, p.Part)
			if err != nil {
				return err
			}
			err = copySealed(sealed, one.Anchor, p.Part.Index, p.Part.SealedSize, func(chunk *yitongv1.SealedChunk) error {
				return stream.Send(&yitongv1.EscrowRecoverResponse{Message: &yitongv1.EscrowRecoverResponse_Chunk{Chunk: chunk}})
			})
			if err != nil {
				return fmt.Errorf("sending part %d of record %s: %w", p.Part.Index, one.Anchor, err)
			}
		}
	}
	return nil
}

// copySealed sends the sealed bytes of a part in chunks, and closes it.
func copySealed(sealed io.ReadCloser, recordID string, part int, size int64, send func(*yitongv1.SealedChunk) error) error {
	defer sealed.Close()
	to := messageWriter{func(chunk []byte) error {
		return send(&yitongv1.SealedChunk{RecordId: recordID, Part: int32(part), Sealed: chunk})
	}}
	_, err := io.CopyBuffer(to, onlyReader{sealed}, make([]byte, min(chunkSize, size)))
	return err
}

func (s keeping) Share(ctx context.Context, in *yitongv1.ShareRequest) (*yitongv1.ShareResponse, error) {
	q := share.ShareQuery{Custodian: in.GetCustodian(), Permit: in.GetPermit(), Manifest: &seal.Manifest{}, Height: in.GetHeight()}
	if err := readDocument(in.GetManifest(), q.Manifest); err != nil {
		return nil, malformed("manifest", errors.New("it can't be read"))
	}
	ctx, err := expecting(ctx, in.GetKeys())
	if err != nil {
		return nil, err
	}
	shares, err := s.gateway.ShareFor(ctx, requester(ctx), q)
	if err != nil {
		return nil, err
	}
	return &yitongv1.ShareResponse{Shares: encryptedMessage(shares)}, nil
}

func (s keeping) Forget(ctx context.Context, in *yitongv1.ForgetRequest) (*yitongv1.ForgetResponse, error) {
	var parts []int
	for _, p := range in.GetParts() {
		parts = append(parts, int(p))
	}
	return &yitongv1.ForgetResponse{}, s.gateway.Forget(ctx, requester(ctx), in.GetRecordId(), parts)
}

func (s keeping) Alive(ctx context.Context, _ *yitongv1.AliveRequest) (*yitongv1.AliveResponse, error) {
	return &yitongv1.AliveResponse{}, s.gateway.Alive(ctx)
}

func encryptedMessage(m seal.Message) *yitongv1.EncryptedMessage {
	return &yitongv1.EncryptedMessage{KeyId: m.Key, Enc: m.Enc, Ciphertext: m.Ciphertext}
}

func encryptedOf(m *yitongv1.EncryptedMessage) seal.Message {
	return seal.Message{Key: m.GetKeyId(), Enc: m.GetEnc(), Ciphertext: m.GetCiphertext()}
}

// lodgings tells the member's own software how its records lie in escrow.
type lodgings struct {
	yitongv1.UnimplementedLodgingsServer
	gateway *share.Gateway
}

func (s lodgings) Get(_ context.Context, in *yitongv1.GetLodgingRequest) (*yitongv1.GetLodgingResponse, error) {
	l, ok, err := s.gateway.RecordEscrow(in.GetRecordId())
	if err != nil {
		return nil, err
	}
	out := &yitongv1.GetLodgingResponse{RecordId: in.GetRecordId(), State: "none"}
	if !ok {
		return out, nil
	}
	out.State, out.Threshold, out.Problem = "pending", int32(l.Threshold), l.Problem
	if l.Complete() {
		out.State = "complete"
	}
	for _, holder := range l.Members() {
		out.Holders = append(out.Holders, &yitongv1.LodgingHolder{MspId: holder, Regulator: l.IsRegulator(holder), Kept: l.KeptBy(holder)})
	}
	return out, nil
}

func recoveredMessage(r *share.Recovery) *yitongv1.Recovered {
	if r == nil {
		return nil
	}
	return &yitongv1.Recovered{Regulator: r.Regulator, Shares: r.Shares, Bad: r.Bad}
}
