package api

import (
	"crypto/rand"
	"io"
	"testing"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// reusing sends each piece out of the same buffer, as the handler does.
type reusing struct {
	yitongv1.UnimplementedContentsServer
	pieces [][]byte
}

func (r reusing) Read(_ *yitongv1.ReadContentRequest, s grpc.ServerStreamingServer[yitongv1.ReadContentResponse]) error {
	buf := make([]byte, chunkSize)
	for i, p := range r.pieces {
		if err := s.Send(&yitongv1.ReadContentResponse{Content: buf[:copy(buf, p)], Size: int64(i), MediaType: "text/plain", Sha256: []byte{byte(i)}}); err != nil {
			return err
		}
		clear(buf)
	}
	return nil
}

// What is received stays as it was sent, until its receiver receives into the same message.
func TestHandedContentsAreTheReceiversAlone(t *testing.T) {
	var served reusing
	for i := range 60 {
		p := make([]byte, []int{chunkSize, chunkSize - 1, chunkSize / 2, 0, 7}[i%5])
		_, _ = rand.Read(p)
		served.pieces = append(served.pieces, p)
	}
	to := inside{new(inprocgrpc.Channel).WithCloner(handing{})}
	yitongv1.RegisterContentsServer(to, served)
	for name, messages := range map[string]int{"a message each": 60, "two in turn": 2} {
		t.Run(name, func(t *testing.T) {
			stream, err := yitongv1.NewContentsClient(to).Read(t.Context(), &yitongv1.ReadContentRequest{})
			if err != nil {
				t.Fatal(err)
			}
			into := make([]yitongv1.ReadContentResponse, messages)
			for i := range served.pieces {
				if err := stream.RecvMsg(&into[i%messages]); err != nil {
					t.Fatal(err)
				}
				for j := max(0, i-messages+1); j <= i; j++ {
					want := &yitongv1.ReadContentResponse{Content: served.pieces[j], Size: int64(j), MediaType: "text/plain", Sha256: []byte{byte(j)}}
					if got := &into[j%messages]; !proto.Equal(got, want) {
						t.Fatalf("message %d isn't what was sent any more, once %d came", j, i)
					}
				}
			}
			if err := stream.RecvMsg(&into[0]); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}
