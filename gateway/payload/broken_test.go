package payload_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/payload"
)

// ending is a content of two pieces that ends as it is told.
type ending struct {
	yitongv1.UnimplementedContentsServer
	err error
}

func (e ending) Read(_ *yitongv1.ReadContentRequest, s grpc.ServerStreamingServer[yitongv1.ReadContentResponse]) error {
	err := s.Send(&yitongv1.ReadContentResponse{Size: 200_000, MediaType: "text/plain"})
	for _, piece := range []string{"a", "b"} {
		if err == nil {
			err = s.Send(&yitongv1.ReadContentResponse{Content: []byte(strings.Repeat(piece, 100_000))})
		}
	}
	if err == nil {
		err = e.err
	}
	return err
}

// That the whole isn't what was anchored is known after its last byte. Who asked must see a
// broken answer even so.
func TestAContentFoundOutAtItsEndIsBrokenOff(t *testing.T) {
	for name, end := range map[string]error{"whole": nil, "found out": status.Error(codes.DataLoss, "the sealed bytes are not those that were anchored")} {
		t.Run(name, func(t *testing.T) {
			inside := new(inprocgrpc.Channel)
			yitongv1.RegisterContentsServer(inside, ending{err: end})
			front := httptest.NewServer(payload.NewContents(inside, func(out http.ResponseWriter, err error, _ int) { http.Error(out, err.Error(), 500) }))
			defer front.Close()
			r, err := front.Client().Get(front.URL + "/contents/own/" + strings.Repeat("0", 32) + "/0")
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			got, err := io.ReadAll(r.Body)
			if r.StatusCode != http.StatusOK || (err == nil) != (end == nil) || (len(got) == 200_000) != (end == nil) {
				t.Errorf("%s, %d bytes, %v", r.Status, len(got), err)
			}
		})
	}
}
