package port_test

import (
	"net"
	"testing"

	"yitong/test/port"
)

// What is reserved can be listened on, again and again; nobody gets it by chance.
func TestAReservedPortIsListenedOnAgainAndGivenToNobody(t *testing.T) {
	address := port.Reserved(t)
	for range 3 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if _, err := net.Listen("tcp", address); err == nil {
			t.Error("two listen there")
		}
		l.Close()
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("somebody answers where nobody listens")
	}
	if _, err := net.DialTCP("tcp", mustAddr(t, address), mustAddr(t, address)); err == nil {
		t.Error("a connection goes out from there")
	}
}

func mustAddr(t *testing.T, address string) *net.TCPAddr {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
