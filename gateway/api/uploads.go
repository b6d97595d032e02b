package api

import (
	"context"

	"google.golang.org/grpc"

	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

type uploads struct {
	yitongv1.UnimplementedUploadsServer
	gateway *share.Gateway
}

func uploadMessage(u share.Upload) *yitongv1.Upload {
	return &yitongv1.Upload{Id: u.ID, Size: u.Size, Offset: u.Offset, Expires: timeMessage(u.Expires)}
}

func (s uploads) Create(ctx context.Context, in *yitongv1.CreateUploadRequest) (*yitongv1.Upload, error) {
	submission, err := submissionOf(in.GetHeader())
	if err != nil {
		return nil, err
	}
	u, err := s.gateway.CreateUpload(ctx, submission, in.GetSize())
	if err != nil {
		return nil, err
	}
	return uploadMessage(u), nil
}

func (s uploads) Append(stream grpc.ClientStreamingServer[yitongv1.AppendUploadRequest, yitongv1.Upload]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return refusal.New(refusal.Malformed, "the first message says what is added to, and from where", "header, then content")
	}
	var sum *share.Checksum
	if c := header.GetChecksum(); c != nil {
		sum = &share.Checksum{Algorithm: c.GetAlgorithm(), Digest: c.GetDigest()}
	}
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	content := &messageReader{next: func() ([]byte, error) {
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if m.GetHeader() != nil {
			return nil, refusal.New(refusal.Malformed, "there is one header", "header, then content")
		}
		return m.GetContent(), nil
	}}
	u, err := s.gateway.Append(ctx, header.GetId(), header.GetOffset(), sum, content)
	if err != nil {
		return err
	}
	return stream.SendAndClose(uploadMessage(u))
}

func (s uploads) Get(ctx context.Context, in *yitongv1.GetUploadRequest) (*yitongv1.Upload, error) {
	u, err := s.gateway.Upload(ctx, in.GetId())
	if err != nil {
		return nil, err
	}
	return uploadMessage(u), nil
}

func (s uploads) Finish(in *yitongv1.FinishUploadRequest, stream grpc.ServerStreamingServer[yitongv1.FinishUploadResponse]) error {
	r, commit, err := s.gateway.FinishUpload(stream.Context(), in.GetId(), in.GetSha256(), func(done, total int64) {
		// Whoever has gone away is noticed by the stream's context.
		_ = stream.Send(&yitongv1.FinishUploadResponse{Message: &yitongv1.FinishUploadResponse_Progress{
			Progress: &yitongv1.FinishProgress{Sealed: done, Total: total},
		}})
	})
	if err != nil {
		return err
	}
	return stream.Send(&yitongv1.FinishUploadResponse{Message: &yitongv1.FinishUploadResponse_Submitted{
		Submitted: &yitongv1.SubmitResponse{Record: recordMessage(r), Commit: commitMessage(commit)},
	}})
}

func (s uploads) Cancel(ctx context.Context, in *yitongv1.CancelUploadRequest) (*yitongv1.CancelUploadResponse, error) {
	return &yitongv1.CancelUploadResponse{}, s.gateway.CancelUpload(ctx, in.GetId())
}
