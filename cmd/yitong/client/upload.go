package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// stall is how long an upload, or a download, may go without a byte before it is given up;
// repeated, it goes on from where it was.
const stall = 2 * time.Minute

// Upload submits a large file piece by piece: a connection that breaks is made again, and the
// same call again goes on where the last one was. header.Id names it, and must be given.
// progress is told of bytes as they go over; sealing as the gateway submits them.
func (c *Client) Upload(ctx context.Context, header *yitongv1.SubmitHeader, file io.ReadSeeker, size int64, progress, sealing func(done int64)) (*yitongv1.SubmitResponse, error) {
	from := &hashing{file: file, h: sha256.New()}
	u, err := c.Uploads.Create(ctx, &yitongv1.CreateUploadRequest{Header: header, Size: size})
	if refused, ok := api.RefusalOf(err); ok && refused.Code == refusal.Exists {
		// It may be this very one, submitted before the answer was lost; Finish tells by the content.
		if _, gerr := c.Uploads.Get(ctx, &yitongv1.GetUploadRequest{Id: header.GetId()}); status.Code(gerr) == codes.NotFound {
			return c.Submit(ctx, header, io.TeeReader(file, counting(progress)))
		}
	}
	if err != nil {
		return nil, err
	}
	again := newPatience()
	for u.GetOffset() < size {
		before := u.GetOffset()
		u, err = c.append(ctx, header.GetId(), before, from, progress)
		for err != nil {
			if err := again.wait(ctx, err); err != nil {
				return nil, err
			}
			if u, err = c.Uploads.Get(ctx, &yitongv1.GetUploadRequest{Id: header.GetId()}); u.GetOffset() > before {
				again.moved()
			}
		}
	}
	if err := from.to(size); err != nil {
		return nil, err
	}
	for {
		done, err := c.finish(ctx, header.GetId(), from.h.Sum(nil), sealing, again)
		if err == nil {
			return done, nil
		}
		if err := again.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

// patience tries again what a connection that broke cut short, as long as something moves.
type patience struct {
	pace *backoff.ExponentialBackOff
	last time.Time // that something moved
}

func newPatience() *patience {
	return &patience{&backoff.ExponentialBackOff{InitialInterval: 200 * time.Millisecond, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: 5 * time.Second}, time.Now()}
}

func (p *patience) moved() {
	p.last = time.Now()
	p.pace.Reset()
}

// wait waits until it is time to try again; it returns the error that ends the trying.
func (p *patience) wait(ctx context.Context, err error) error {
	if status.Code(err) != codes.Unavailable || ctx.Err() != nil || time.Since(p.last) > stall {
		return err
	}
	select {
	case <-time.After(p.pace.NextBackOff()):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// append sends the file from an offset on.
func (c *Client) append(ctx context.Context, id string, offset int64, from *hashing, progress func(int64)) (*yitongv1.Upload, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := from.to(offset); err != nil {
		return nil, err
	}
	stream, err := c.Uploads.Append(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&yitongv1.AppendUploadRequest{Message: &yitongv1.AppendUploadRequest_Header{Header: &yitongv1.AppendHeader{Id: id, Offset: offset}}})
	for err == nil {
		buf := make([]byte, chunk)
		n, rerr := io.ReadFull(from, buf)
		if n > 0 {
			err = stream.Send(&yitongv1.AppendUploadRequest{Message: &yitongv1.AppendUploadRequest_Content{Content: buf[:n]}})
			offset += int64(n)
			progress(offset)
		}
		if errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF) {
			break
		}
		if rerr != nil {
			return nil, fmt.Errorf("reading the record: %w", rerr)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv()
}

func (c *Client) finish(ctx context.Context, id string, sum []byte, sealing func(int64), again *patience) (*yitongv1.SubmitResponse, error) {
	stream, err := c.Uploads.Finish(ctx, &yitongv1.FinishUploadRequest{Id: id, Sha256: sum})
	if err != nil {
		return nil, err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, err
		}
		if done := m.GetSubmitted(); done != nil {
			return done, nil
		}
		again.moved()
		sealing(m.GetProgress().GetSealed())
	}
}

// hashing reads a file from any place, and hashes each byte of it once, in order.
type hashing struct {
	file   io.ReadSeeker
	at     int64
	h      hash.Hash
	hashed int64
}

// to goes to a place, and hashes what lies before it.
func (s *hashing) to(offset int64) error {
	if s.hashed < offset {
		if _, err := s.file.Seek(s.hashed, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.CopyN(s.h, s.file, offset-s.hashed); err != nil {
			return fmt.Errorf("reading the record: %w", err)
		}
		s.hashed = offset
	}
	_, err := s.file.Seek(offset, io.SeekStart)
	s.at = offset
	return err
}

func (s *hashing) Read(b []byte) (int, error) {
	n, err := s.file.Read(b)
	if fresh := s.at + int64(n) - s.hashed; fresh > 0 {
		s.h.Write(b[int64(n)-fresh : n])
		s.hashed += fresh
	}
	s.at += int64(n)
	return n, err
}

// counting tells of the bytes written to it.
func counting(progress func(int64)) io.Writer { return &counted{progress: progress} }

type counted struct {
	n        int64
	progress func(int64)
}

func (c *counted) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	c.progress(c.n)
	return len(b), nil
}

// OpenKept has the parts of a permitted access released, verified and kept by the gateway,
// and lists them; Content reads them. progress is told how many sealed bytes are there. When the
// connection breaks it goes on with what the gateway has kept.
func (c *Client) OpenKept(ctx context.Context, id, custodian string, progress func(done, total int64)) ([]*yitongv1.Part, *yitongv1.OpenSummary, error) {
	again := newPatience()
	for {
		parts, summary, err := c.openKept(ctx, id, custodian, func(done, total int64) {
			again.moved()
			progress(done, total)
		})
		if err == nil {
			return parts, summary, nil
		}
		if err := again.wait(ctx, err); err != nil {
			return nil, nil, err
		}
	}
}

func (c *Client) openKept(ctx context.Context, id, custodian string, progress func(done, total int64)) ([]*yitongv1.Part, *yitongv1.OpenSummary, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Accesses.Open(ctx, &yitongv1.OpenRequest{Id: id, Custodian: custodian, WithoutContent: true})
	if err != nil {
		return nil, nil, err
	}
	var parts []*yitongv1.Part
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, nil, errors.New("the gateway ended the stream without a summary: what came is not complete")
		}
		if err != nil {
			return nil, nil, err
		}
		switch m := m.GetMessage().(type) {
		case *yitongv1.OpenResponse_Part:
			parts = append(parts, m.Part)
		case *yitongv1.OpenResponse_Progress:
			progress(m.Progress.GetReceived(), m.Progress.GetTotal())
		case *yitongv1.OpenResponse_Summary:
			if int(m.Summary.GetParts()) != len(parts) {
				return nil, nil, fmt.Errorf("the gateway announced %d parts and named %d", m.Summary.GetParts(), len(parts))
			}
			return parts, m.Summary, nil
		}
	}
}

// Content reads an opened part from an offset on into dst, going on where it was when the
// connection breaks. It returns the SHA-256 that the whole content has, by the gateway.
func (c *Client) Content(ctx context.Context, custodian, id string, p *yitongv1.Part, offset int64, dst io.Writer) ([]byte, error) {
	again := newPatience()
	for {
		n, sum, err := c.content(ctx, &yitongv1.ReadContentRequest{Custodian: custodian, AccessId: id, RecordId: p.GetRecordId(), Index: p.GetIndex(), Offset: offset}, dst)
		if err == nil {
			return sum, nil
		}
		if n > 0 {
			offset += n
			again.moved()
		}
		if err := again.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

func (c *Client) content(ctx context.Context, in *yitongv1.ReadContentRequest, dst io.Writer) (n int64, sum []byte, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Contents.Read(ctx, in)
	if err != nil {
		return 0, nil, err
	}
	for first := true; ; first = false {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return n, sum, nil
		}
		if err != nil {
			return n, nil, err
		}
		if first {
			sum = m.GetSha256()
		}
		w, err := dst.Write(m.GetContent())
		if n += int64(w); err != nil {
			return n, nil, err
		}
	}
}
