package api

import (
	"context"
	"crypto/tls"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Watch has somebody with a token alone call a method without an end, whose handler this is.
func Watch(ctx context.Context, c Config, token string, handler func(context.Context) error) error {
	return Stream(ctx, c, "Events/Watch", tls.ConnectionState{}, token, func(s grpc.ServerStream) error { return handler(s.Context()) })
}

// Stream has somebody call a method that streams, whose handler this is. Over the stream
// messages come without an end.
func Stream(ctx context.Context, c Config, method string, conn tls.ConnectionState, token string, handler func(grpc.ServerStream) error) error {
	k := &knock{tls: conn}
	if token != "" {
		k.authorization = []string{"Bearer " + token}
	}
	return newDoor(c).stream(nil, silent{ctx: context.WithValue(ctx, knockKey{}, k)}, &grpc.StreamServerInfo{FullMethod: "/yitong.v1." + method},
		func(_ any, s grpc.ServerStream) error { return handler(s) })
}

// LookAgain is set before a stream begins.
func LookAgain(every time.Duration) { lookAgain = every }

// silent is a stream on which nothing is said, as often as one likes.
type silent struct {
	grpc.ServerStream
	ctx context.Context
}

func (s silent) Context() context.Context     { return s.ctx }
func (s silent) SendMsg(any) error            { return nil }
func (s silent) RecvMsg(any) error            { return nil }
func (s silent) SetHeader(metadata.MD) error  { return nil }
func (s silent) SendHeader(metadata.MD) error { return nil }
func (s silent) SetTrailer(metadata.MD)       {}

// BetweenGateways are the services that gateways offer each other.
var BetweenGateways = betweenGateways

// Methods tell how each method is handled, and why.
var Methods = func() map[string]string {
	all := map[string]string{}
	for name, m := range methods {
		all[name] = map[handling]string{reads: "reads", recorded: "recorded", waits: "waits", unaccompanied: "unaccompanied: " + m.why}[m.handling]
	}
	return all
}()

// ReadDocument reads what another member's gateway sent.
var ReadDocument = readDocument
