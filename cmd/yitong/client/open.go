package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Part says where the content of an opened part goes.
type Part func(*yitongv1.Part) (io.Writer, error)

// Open has the parts of a permitted access released and opened. part is called
// at the beginning of each. What was written is only to be relied on when Open
// returns without an error: the summary comes after the receipt is committed.
func (c *Client) Open(ctx context.Context, id, custodian string, part Part) (*yitongv1.OpenSummary, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Accesses.Open(ctx, &yitongv1.OpenRequest{Id: id, Custodian: custodian})
	if err != nil {
		return nil, err
	}
	var (
		dst   io.Writer
		parts int32
		bytes int64
	)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the gateway ended the stream without a summary: what came is not complete")
		}
		if err != nil {
			return nil, err
		}
		switch m := m.GetMessage().(type) {
		case *yitongv1.OpenResponse_Part:
			if dst, err = part(m.Part); err != nil {
				return nil, err
			}
			parts++
		case *yitongv1.OpenResponse_Content:
			if dst == nil {
				return nil, errors.New("the gateway sent content before any part")
			}
			n, err := dst.Write(m.Content)
			if err != nil {
				return nil, err
			}
			bytes += int64(n)
		case *yitongv1.OpenResponse_Summary:
			if s := m.Summary; s.GetParts() != parts || s.GetBytes() != bytes {
				return nil, fmt.Errorf("the gateway announced %d parts of %d bytes and sent %d of %d", s.GetParts(), s.GetBytes(), parts, bytes)
			}
			return m.Summary, nil
		}
	}
}
