package api

import (
	"context"

	"google.golang.org/grpc"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

type contents struct {
	yitongv1.UnimplementedContentsServer
	gateway *share.Gateway
}

func (s contents) List(ctx context.Context, in *yitongv1.ListContentsRequest) (*yitongv1.ListContentsResponse, error) {
	q := share.ContentQuery{Access: in.GetAccessId(), Custodian: in.GetCustodian(), Record: in.GetRecordId()}
	if in.GetPatient() != nil {
		p := patientOf(in.GetPatient())
		q.Patient = &p
	}
	page, next, err := s.gateway.Contents(ctx, q, in.GetPage().GetBookmark(), int(in.GetPage().GetSize()))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListContentsResponse{NextBookmark: next}
	for _, c := range page {
		out.Contents = append(out.Contents, contentMessage(c))
	}
	return out, nil
}

func contentMessage(c share.Content) *yitongv1.ContentEntry {
	out := &yitongv1.ContentEntry{
		Custodian: c.Custodian, AccessId: c.Access, RecordId: c.Record, Part: partMessage(c.Record, c.Part),
		Opened: timeMessage(c.Opened), Until: timeMessage(c.Until), Sha256: digestBytes(c), Status: string(c.Status),
	}
	if c.Patient != nil {
		out.Patient = patientMessage(*c.Patient)
	}
	return out
}

// digestBytes is the SHA-256 of a content, empty where it isn't known.
func digestBytes(c share.Content) []byte {
	if c.Part.Content.IsZero() {
		return nil
	}
	return c.Part.Content[:]
}

func (s contents) Read(in *yitongv1.ReadContentRequest, stream grpc.ServerStreamingServer[yitongv1.ReadContentResponse]) error {
	r, err := s.gateway.ReadContent(stream.Context(), in.GetCustodian(), in.GetAccessId(), in.GetRecordId(), int(in.GetIndex()), in.GetOffset(), in.GetLength())
	if err != nil {
		return err
	}
	first := &yitongv1.ReadContentResponse{Size: r.Part.ContentSize, MediaType: r.Part.MediaType, Sha256: digestBytes(r.Content)}
	if err := stream.Send(first); err != nil {
		return err
	}
	_, err = r.WriteTo(messageWriter{func(chunk []byte) error {
		return stream.Send(&yitongv1.ReadContentResponse{Content: chunk})
	}})
	return err
}
