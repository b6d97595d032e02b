package node

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"yitong/gateway/api"
)

// webListener is where questions come over HTTPS; nil if they don't.
type webListener struct{ net.Listener }

func listenHTTP(address string) (*webListener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the gateway can't listen for questions over HTTPS: %w", err)
	}
	return &webListener{l}, nil
}

// Close lets the address go, where serving hasn't done so.
func (l *webListener) Close() error {
	if l != nil {
		_ = l.Listener.Close()
	}
	return nil
}

// serve answers until the returned function is called, which lets what is under way finish.
func (l *webListener) serve(server *http.Server, limits *api.Limiter, ended chan<- error) (stop func()) {
	if l == nil {
		return func() {}
	}
	go func() {
		if err := server.ServeTLS(limits.Bound(l), "", ""); err != http.ErrServerClosed {
			ended <- err
		}
	}()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
	}
}
