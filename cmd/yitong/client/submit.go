package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// chunk is the most content that one message of the API carries.
const chunk = 1 << 20

// Submit streams a record to the gateway, which seals and anchors it. The
// header's id must be set, so that the same call can be repeated.
// A failure to read content is returned as such; everything else is a gRPC status.
func (c *Client) Submit(ctx context.Context, header *yitongv1.SubmitHeader, content io.Reader) (*yitongv1.SubmitResponse, error) {
	ctx, cancel := context.WithCancel(ctx) // a submission given up must not look complete
	defer cancel()
	stream, err := c.Records.Submit(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&yitongv1.SubmitRequest{Message: &yitongv1.SubmitRequest_Header{Header: header}})
	for err == nil {
		buf := make([]byte, chunk) // gRPC keeps what it was given until it is sure that no retry is needed
		n, rerr := io.ReadFull(content, buf)
		if n > 0 {
			err = stream.Send(&yitongv1.SubmitRequest{Message: &yitongv1.SubmitRequest_Content{Content: buf[:n]}})
		}
		if errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF) {
			break
		}
		if rerr != nil {
			return nil, fmt.Errorf("reading the record: %w", rerr)
		}
	}
	if err != nil && !errors.Is(err, io.EOF) { // EOF: the gateway has answered already, the answer says why
		return nil, err
	}
	return stream.CloseAndRecv()
}
