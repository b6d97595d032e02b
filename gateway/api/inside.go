package api

import (
	"context"
	"io"

	"github.com/fullstorydev/grpchan/inprocgrpc"
	"google.golang.org/grpc"
)

// inside is a connection within this process: over it what came by HTTPS goes through the
// door and its policy, to the same handlers.
type inside struct{ *inprocgrpc.Channel }

// connect makes the connection over which HTTP requests become calls.
func (w *web) connect(c Config) inside {
	to := new(inprocgrpc.Channel).WithCloner(handing{}).WithServerUnaryInterceptor(
		func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			return w.unary(fromOutside(ctx, inprocgrpc.ClientContext(ctx)), req, info, handler)
		},
	).WithServerStreamInterceptor(
		func(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return w.stream(srv, admitted{s, fromOutside(s.Context(), inprocgrpc.ClientContext(s.Context()))}, info, handler)
		},
	)
	register(to, c)
	return inside{to}
}

// NewStream implements [grpc.ClientConnInterface].
func (c inside) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := c.Channel.NewStream(ctx, desc, method, opts...)
	if err != nil || desc.ClientStreams {
		return s, err
	}
	return asking{s}, nil
}

// asking is the client's side of a method that takes one message and streams its answer.
// One that was refused before its message was there says io.EOF to who sends it. A
// connection of gRPC keeps that to itself, because the generated clients would give it back
// for the answer; what became of the call is what receiving says.
type asking struct{ grpc.ClientStream }

func (s asking) SendMsg(m any) error {
	if err := s.ClientStream.SendMsg(m); err != io.EOF {
		return err
	}
	return nil
}
