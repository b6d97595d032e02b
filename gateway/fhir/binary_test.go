package fhir

import (
	"bytes"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// piecemeal answers with pieces, and then as it is told.
type piecemeal struct {
	yitongv1.UnimplementedContentsServer
	pieces [][]byte
	end    error
}

func (p piecemeal) Read(_ *yitongv1.ReadContentRequest, s grpc.ServerStreamingServer[yitongv1.ReadContentResponse]) error {
	err := s.Send(&yitongv1.ReadContentResponse{Size: int64(len(bytes.Join(p.pieces, nil))), MediaType: "text/plain"})
	for _, piece := range p.pieces {
		if err == nil {
			err = s.Send(&yitongv1.ReadContentResponse{Content: piece})
		}
	}
	if err == nil {
		err = p.end
	}
	return err
}

// That the whole isn't what was anchored is known after its last byte. Who asked must see a
// broken answer even so.
func TestAContentFoundOutAtItsEndIsBrokenOff(t *testing.T) {
	found := status.Error(codes.DataLoss, "the sealed bytes are not those that were anchored")
	for _, c := range []struct {
		name   string
		pieces []string
		end    error
	}{
		{"whole", []string{"a", "b", "c"}, nil},
		{"whole in one piece", []string{"abc"}, nil},
		{"found out", []string{"a", "b", "c"}, found},
		{"found out, in one piece", []string{"abc"}, found},
	} {
		t.Run(c.name, func(t *testing.T) {
			served := piecemeal{end: c.end}
			for _, p := range c.pieces {
				served.pieces = append(served.pieces, []byte(strings.Repeat(p, 100_000)))
			}
			whole := string(bytes.Join(served.pieces, nil))
			inside := new(inprocgrpc.Channel)
			yitongv1.RegisterContentsServer(inside, served)
			front := httptest.NewServer(New(Config{Member: "hospital-a", Kind: "hospital"}, inside))
			defer front.Close()
			r, err := front.Client().Get(front.URL + "/fhir/Binary/" + strings.Repeat("0", 32) + "-0")
			if err != nil {
				if c.end == nil {
					t.Fatal(err)
				}
				return // nothing came at all
			}
			defer r.Body.Close()
			got, err := io.ReadAll(r.Body)
			if !strings.HasPrefix(whole, string(got)) || (err == nil) != (c.end == nil) || (string(got) == whole) != (c.end == nil) {
				t.Errorf("%s, %d bytes of %d, %v", r.Status, len(got), len(whole), err)
			}
		})
	}
}
