package api

import (
	"testing"
	"time"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// A refusal may be there before the question was sent. Who asks is told the refusal, not that
// the stream has ended.
func TestWhoIsRefusedBeforeAskingIsToldWhy(t *testing.T) {
	to := new(inprocgrpc.Channel).WithServerStreamInterceptor(
		func(any, grpc.ServerStream, *grpc.StreamServerInfo, grpc.StreamHandler) error {
			return status.Error(codes.PermissionDenied, "not you")
		})
	yitongv1.RegisterContentsServer(to, yitongv1.UnimplementedContentsServer{})
	for range 64 { // sent or found closed: that is a toss each time
		stream, err := inside{to}.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, yitongv1.Contents_Read_FullMethodName)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
		if err := stream.SendMsg(&yitongv1.ReadContentRequest{}); err != nil {
			t.Fatalf("asking: %v", err)
		}
		if err := stream.RecvMsg(&yitongv1.ReadContentResponse{}); status.Code(err) != codes.PermissionDenied {
			t.Fatalf("answered %v", err)
		}
	}
}
