// Package emergency tells break-glass, its reviews and their resolutions as the blocks
// that hold them come, to whoever watches and to the gateway's log.
//
// Break-glass goes without consent on the strength of being seen: the custodian and the
// regulator each read it off their own peer, with nobody between who could keep it back.
package emergency

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"

	"yitong/chaincode/access"
	"yitong/chaincode/registry"
	"yitong/gateway/audit"
	"yitong/gateway/ledger"
)

// What says what a notice is of.
type What string

// The notices.
const (
	Standing What = "standing" // open already when watching began
	Opened   What = "opened"
	Accepted What = "accepted"
	Rejected What = "rejected"
	Resolved What = "resolved"
)

// Notice is one thing that happened to an emergency.
type Notice struct {
	What        What
	Block       uint64
	Transaction string
	Access      *access.Access // of an opened one
	Review      *access.Review // of any other
}

// Between is the hospitals it lies between, and the access' id.
func (n Notice) Between() (custodian, requester, id string) {
	if n.Access != nil {
		return n.Access.Custodian, n.Access.Requester, n.Access.ID
	}
	return n.Review.Custodian, n.Review.Requester, n.Review.ID
}

// Concerns reports whether a member is to be told: either hospital, or a regulator.
func (n Notice) Concerns(m registry.Candidate) bool {
	custodian, requester, _ := n.Between()
	return m.Kind == registry.Regulator || m.MSP == custodian || m.MSP == requester
}

// Notices yields what the chain's blocks hold of emergencies, from a block on and then as
// blocks come, until ctx ends or the chain can't be read.
func Notices(ctx context.Context, chain audit.Blocks, chaincode string, from uint64) iter.Seq2[Notice, error] {
	return func(yield func(Notice, error) bool) {
		for block, err := range chain.Blocks(ctx, from) {
			if err != nil {
				yield(Notice{}, fmt.Errorf("reading the ledger's blocks: %w", err))
				return
			}
			for _, t := range block.Transactions {
				for _, n := range noticesOf(t, chaincode) {
					n.Block = block.Number
					if !yield(n, nil) {
						return
					}
				}
			}
		}
	}
}

func noticesOf(t ledger.Transaction, chaincode string) []Notice {
	if !t.Valid() || t.Config || t.Malformed != "" {
		return nil
	}
	var list []Notice
	for _, w := range t.Writes {
		if w.Namespace != chaincode || w.Delete {
			continue
		}
		n := Notice{Transaction: t.ID}
		switch w.ObjectType {
		case "access":
			var a access.Access
			if json.Unmarshal(w.Value, &a) != nil || !a.BreakGlass() {
				continue
			}
			n.What, n.Access = Opened, &a
		case "review":
			var r access.Review
			if json.Unmarshal(w.Value, &r) != nil {
				continue
			}
			switch n.Review = &r; {
			case r.Resolution != nil:
				n.What = Resolved
			case r.Outcome == access.Accepted:
				n.What = Accepted
			default:
				n.What = Rejected
			}
		default:
			continue
		}
		list = append(list, n)
	}
	return list
}

// Keep writes the notices that concern a member to its log, from the newest block on,
// until ctx ends. No line holds who it is about: the ledger doesn't.
func Keep(ctx context.Context, chain audit.Blocks, chaincode string, self registry.Candidate, log *slog.Logger) {
	var next uint64
	begun := false
	pace := &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: 10 * time.Second}
	_, _ = backoff.Retry(ctx, func() (struct{}, error) { // it ends with ctx alone
		if !begun {
			height, err := chain.Height(ctx)
			if err != nil {
				return struct{}{}, err
			}
			next, begun = height, true
		}
		for n, err := range Notices(ctx, chain, chaincode, next) {
			if err != nil {
				return struct{}{}, err
			}
			next = n.Block + 1
			if n.Concerns(self) {
				n.log(ctx, log)
			}
		}
		return struct{}{}, ctx.Err()
	}, backoff.WithBackOff(pace), backoff.WithMaxElapsedTime(0))
}

func (n Notice) log(ctx context.Context, log *slog.Logger) {
	custodian, requester, id := n.Between()
	line := []slog.Attr{slog.String("what", string(n.What)), slog.String("custodian", custodian), slog.String("requester", requester),
		slog.String("access", id), slog.Uint64("block", n.Block), slog.String("transaction", n.Transaction)}
	level := slog.LevelInfo
	switch n.What {
	case Opened:
		level = slog.LevelWarn
		line = append(line, slog.String("reason", string(n.Access.Emergency.Reason)), slog.String("due", (n.Access.At+access.ReviewTerm).String()))
	case Rejected:
		level = slog.LevelWarn
	}
	log.LogAttrs(ctx, level, "break-glass", line...)
}
