// Package events_test follows what concerns a member on a real consortium: to its software,
// through kills of gateways, and through the loss of the member's own peer.
package events_test

import (
	"testing"

	"yitong/test/consortium"
)

func TestMain(m *testing.M) { consortium.Main(m) }
