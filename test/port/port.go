// Package port gives tests ports for what listens later, or again.
package port

import (
	"fmt"
	"syscall"
	"testing"
)

// Reserved is an address on loopback that is nobody else's until the test ends, whether
// anybody listens there or not. A port that was listened on and let go is anybody's: another
// test's server gets it, or a connection that goes out from there, even one to the port
// itself.
//
// A socket is bound there that doesn't listen. With SO_REUSEADDR, which Go sets on all that
// listens, another may bind there that does; the system itself gives the port to nobody
// (Linux, inet_csk_bind_conflict).
func Reserved(t testing.TB) string {
	t.Helper()
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(s)
	t.Cleanup(func() { _ = syscall.Close(s) })
	if err := syscall.SetsockoptInt(s, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(s, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(s)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}
