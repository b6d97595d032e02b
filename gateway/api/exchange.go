package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/height"
	"yitong/gateway/share"
)

// exchange answers the gateways of the other members.
type exchange struct {
	yitongv1.UnimplementedExchangeServer
	gateway *share.Gateway
	heights *height.Keeper // nil keeps none
}

func (s exchange) Release(in *yitongv1.ReleaseRequest, stream grpc.ServerStreamingServer[yitongv1.ReleaseResponse]) error {
	ctx := stream.Context()
	var whom *share.Patient
	if in.GetPatient() != nil {
		p := patientOf(in.GetPatient())
		whom = &p
	}
	ctx, err := expecting(ctx, in.GetKeys())
	if err != nil {
		return err
	}
	parcel, err := s.gateway.Release(ctx, requester(ctx), in.GetPermit(), in.GetHeight(), whom)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal(parcel.Manifest)
	if err != nil {
		return fmt.Errorf("encoding the manifest: %w", err)
	}
	first := &yitongv1.ReleaseResponse{Message: &yitongv1.ReleaseResponse_Manifest{
		Manifest: &yitongv1.SignedManifest{Manifest: manifest, Release: commitMessage(parcel.Commit)},
	}}
	if err := stream.Send(first); err != nil {
		return err
	}
	held := map[place]int64{}
	for _, h := range in.GetHeld() {
		held[place{h.GetRecordId(), h.GetPart()}] = h.GetBytes()
	}
	for _, r := range parcel.Manifest.Records {
		for _, p := range r.Parts {
			if err := sendPart(ctx, stream, parcel, r.Anchor, p.Part, held[place{r.Anchor, int32(p.Part.Index)}]); err != nil {
				return fmt.Errorf("sending part %d of record %s: %w", p.Part.Index, r.Anchor, err)
			}
		}
	}
	return nil
}

func sendPart(ctx context.Context, stream grpc.ServerStreamingServer[yitongv1.ReleaseResponse], parcel *share.Parcel, recordID string, p record.Part, held int64) error {
	if held == p.SealedSize {
		return nil
	}
	sealed, err := parcel.SealedFrom(ctx, recordID, p, held)
	if err != nil {
		return err
	}
	defer sealed.Close()
	to := messageWriter{func(chunk []byte) error {
		return stream.Send(&yitongv1.ReleaseResponse{Message: &yitongv1.ReleaseResponse_Chunk{
			Chunk: &yitongv1.SealedChunk{RecordId: recordID, Part: int32(p.Index), Sealed: chunk},
		}})
	}}
	_, err = io.CopyBuffer(to, onlyReader{sealed}, make([]byte, min(chunkSize, p.SealedSize)))
	return err
}

// onlyReader hides what else a reader can do, so that the copy goes through our
// buffer of one message.
type onlyReader struct{ io.Reader }

// maxKeys bounds the keys that a gateway can say it has: the present one, the next, and
// those that were replaced and are in their grace.
const maxKeys = registry.MaxRetired + 2

// expecting hands on which keys the calling gateway says it has.
func expecting(ctx context.Context, ids []string) (context.Context, error) {
	if len(ids) > maxKeys {
		return nil, refusal.New(refusal.TooLarge, "keys: too many", fmt.Sprintf("at most %d", maxKeys))
	}
	for _, id := range ids {
		if err := access.CheckID(id); err != nil {
			return nil, malformed("keys", err)
		}
	}
	return share.Expecting(ctx, ids), nil
}
