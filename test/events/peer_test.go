package events_test

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// The regulator's own peer dies, or hangs, under load. Its gateway goes on reading the chain
// from the others', and comes back to its own when that has caught up: what it holds is in
// the end exactly what another member holds.
func TestTheChainIsFollowedWhileTheOwnPeerIsAway(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 901)
	c.Submit(t, p)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	peer := "peer-regulator"
	for name, gone := range map[string]struct{ leave, back func(string) error }{
		"it is killed": {c.Network().Supervisor().Hold, c.Network().Supervisor().Release},
		"it hangs":     {c.Network().Supervisor().Pause, c.Network().Supervisor().Resume},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var load sync.WaitGroup
			asked := 0
			load.Go(func() {
				for ; ctx.Err() == nil; asked++ {
					_, _ = c.Client(t, consortium.Insurer).Accesses.Request(ctx, consortium.Demand(p, "laboratory"))
				}
			})
			time.Sleep(300 * time.Millisecond) // some load first
			if err := gone.leave(peer); err != nil {
				t.Fatal(err)
			}
			left := time.Now()
			at := height(t, c, consortium.Regulator)
			reach(t, c, consortium.Regulator, at+3)
			t.Logf("%d further blocks are in the projection %v after the peer went", 3, time.Since(left).Round(time.Millisecond))
			reach(t, c, consortium.Regulator, at+20)
			if err := gone.back(peer); err != nil {
				t.Fatal(err)
			}
			ask, end := context.WithTimeout(t.Context(), time.Minute)
			defer end()
			if err := c.Network().Supervisor().Await(ask, peer); err != nil {
				t.Fatal(err)
			}
			reach(t, c, consortium.Regulator, height(t, c, consortium.Regulator)+5)
			cancel()
			load.Wait()
			same(t, c, consortium.Regulator, consortium.HospitalB)
			t.Logf("%d requests meanwhile", asked)
		})
	}
}

func height(t *testing.T, c *consortium.Consortium, member string) uint64 {
	t.Helper()
	digest, err := c.Client(t, member).Audit.Digest(t.Context(), &yitongv1.DigestRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return digest.GetAsOf().GetHeight()
}

// reach waits until a member's projection is made of so many blocks.
func reach(t *testing.T, c *consortium.Consortium, member string, blocks uint64) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); height(t, c, member) < blocks; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the projection of %s doesn't come to %d blocks, it is at %d", member, blocks, height(t, c, member))
		}
	}
}

// same waits until two members' projections are at the same block, and compares them.
func same(t *testing.T, c *consortium.Consortium, one, other string) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		a, err := c.Client(t, one).Audit.Digest(t.Context(), &yitongv1.DigestRequest{})
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Client(t, other).Audit.Digest(t.Context(), &yitongv1.DigestRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if a.GetAsOf().GetHeight() == b.GetAsOf().GetHeight() {
			if !bytes.Equal(a.GetDigest(), b.GetDigest()) {
				t.Errorf("at block %d %s and %s hold different things", a.GetAsOf().GetHeight(), one, other)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is at block %d, %s at %d", one, a.GetAsOf().GetHeight(), other, b.GetAsOf().GetHeight())
		}
	}
}

// The custodian's own peer hangs: nothing is released on what others say, and the same
// permit is once it is back.
func TestNothingIsReleasedOnAnotherMembersWord(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 902)
	c.Submit(t, p)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	access := c.Ask(t, p, "laboratory")
	if err := c.Network().Supervisor().Pause("peer-hospital-a"); err != nil {
		t.Fatal(err)
	}
	resume := sync.OnceValue(func() error { return c.Network().Supervisor().Resume("peer-hospital-a") })
	defer resume()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if parts, _, err := c.Open(ctx, t, access.GetId()); err == nil || len(parts) > 0 {
		t.Errorf("%d parts were released while the custodian couldn't know: %v", len(parts), err)
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	consortium.Again(t, "opening", recovery, func(ctx context.Context) error {
		_, _, err := c.Open(ctx, t, access.GetId())
		return err
	})
}
