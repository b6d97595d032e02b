package api

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

type records struct {
	yitongv1.UnimplementedRecordsServer
	gateway *share.Gateway
}

func (s records) Submit(stream grpc.ClientStreamingServer[yitongv1.SubmitRequest, yitongv1.SubmitResponse]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	header := first.GetHeader()
	if header == nil {
		return refusal.New(refusal.Malformed, "the first message of a submission is its header", "header, then content")
	}
	submission, err := submissionOf(header)
	if err != nil {
		return err
	}
	content := &messageReader{next: func() ([]byte, error) {
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if m.GetHeader() != nil {
			return nil, refusal.New(refusal.Malformed, "a submission has one header", "header, then content")
		}
		return m.GetContent(), nil
	}}
	r, commit, err := s.gateway.Submit(stream.Context(), submission, content)
	if err != nil {
		return err
	}
	return stream.SendAndClose(&yitongv1.SubmitResponse{Record: recordMessage(r), Commit: commitMessage(commit)})
}

func submissionOf(h *yitongv1.SubmitHeader) (share.Submission, error) {
	s := share.Submission{
		ID: h.GetId(), Patient: patientOf(h.GetPatient()), MediaType: h.GetMediaType(),
		Supersedes: h.GetSupersedes(), Period: periodOf(h.GetDataPeriod()), Description: h.GetDescription(),
	}
	if code := h.GetDataClass(); code != "" {
		class, err := record.ParseClass(code)
		if err != nil {
			return s, malformed("data_class", err)
		}
		s.Class = class
	}
	var err error
	s.Labels, err = labelsOf(h.GetLabels())
	return s, err
}

func (s records) List(ctx context.Context, in *yitongv1.ListRecordsRequest) (*yitongv1.ListRecordsResponse, error) {
	var patient *share.Patient
	if in.GetPatient() != nil {
		p := patientOf(in.GetPatient())
		patient = &p
	}
	page, next, err := s.gateway.Records(patient, in.GetPage().GetBookmark(), int(in.GetPage().GetSize()))
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListRecordsResponse{NextBookmark: next}
	if len(page) == 0 {
		return out, nil
	}
	held, err := s.gateway.Held(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range page {
		m := recordMessage(r)
		m.Holds = holdMessages(held[r.ID])
		out.Records = append(out.Records, m)
	}
	return out, nil
}

func (s records) Retract(ctx context.Context, in *yitongv1.RetractRequest) (*yitongv1.RetractResponse, error) {
	commit, err := s.gateway.Retract(ctx, in.GetId(), record.Reason(in.GetReason()))
	if err != nil {
		return nil, err
	}
	return &yitongv1.RetractResponse{Commit: commitMessage(commit)}, nil
}

// messageReader reads the content of a stream's messages as one. A stream that
// breaks is an error, never a short content: only the sender's own end is io.EOF.
type messageReader struct {
	next func() ([]byte, error)
	rest []byte
}

func (r *messageReader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		chunk, err := r.next()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		r.rest = chunk
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// messageWriter sends what is written in messages of at most chunkSize bytes. It
// copies: a message is sent after Write has returned.
type messageWriter struct{ send func([]byte) error }

func (w messageWriter) Write(b []byte) (int, error) {
	written := 0
	for len(b) > 0 {
		chunk := b[:min(len(b), chunkSize)]
		if err := w.send(chunk); err != nil {
			return written, err
		}
		written += len(chunk)
		b = b[len(chunk):]
	}
	return written, nil
}
