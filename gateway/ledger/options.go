package ledger

import "time"

// Option changes one call.
type Option func(*call)

type call struct {
	ownPeerOnly bool
	endorsers   []string
	timestamp   time.Time
}

func calling(opts []Option) call {
	var c call
	for _, opt := range opts {
		opt(&c)
	}
	return c
}

// OwnPeerOnly makes Evaluate take the answer of the member's own peer, run on its
// own chaincode, or fail with ErrUnavailable: no other member's peer is believed.
// Reads that protect a release use it.
func OwnPeerOnly() Option { return func(c *call) { c.ownPeerOnly = true } }

// EndorsedBy names the members (MSP ids) that endorse, in place of those that the
// endorsement policy asks for. What they alone can't endorse becomes *Invalid. It
// is there to show just that.
func EndorsedBy(members ...string) Option { return func(c *call) { c.endorsers = members } }

// ClaimedAt sets the proposal's timestamp, which is the client's claim and by
// default this machine's clock. It is there to show that backdating fails.
func ClaimedAt(t time.Time) Option { return func(c *call) { c.timestamp = t } }
