// Package ledger is the consortium's ledger as one member's gateway sees it:
// typed calls on the chaincode, the height of the chain, and its blocks.
//
// A write goes through four stages, and each can fail in its own way:
//
//	propose ──▶ endorse ──▶ submit ──▶ commit
//	            │           │          │
//	            │           │          └ the block says VALID, or names a code: *Invalid
//	            │           └ no answer, or a bad one: the outcome is not known
//	            └ chaincode says no: *Refused; nobody answers: ErrUnavailable
//
// Until submit nothing has happened, so an endorsement is sought again freely:
// at the next peer, and after a pause. From submit on, no failure means "it did
// not happen" (with SmartBFT a submit can answer Unavailable although the
// orderers have the request). So the ledger asks for the fate of the transaction
// by its id before it does anything else, and what it then sends again is the
// same signed envelope: Fabric commits one transaction id at most once. Only a
// validation code seen in a block leads to a new proposal, and only for the codes
// that mean "somebody was faster" (MVCC_READ_CONFLICT, PHANTOM_READ_CONFLICT).
// If the fate can't be learnt in time, the answer is *Unknown with the id, which
// Outcome takes later, after a restart too.
//
// The first peer of the configuration is the member's own and the only one whose
// word it should act on. The others serve as fail-over; a lying one among them
// can withhold and delay, and can claim a commit that did not happen: therefore
// Commit.Own, and OwnPeerOnly for reads that protect a release. What a peer hands
// back for signing is compared with what was proposed.
//
// Blocks are read from the own peer, their hashes and links are checked, and nothing
// that an orderer let into a block can stop the reader: a transaction that can't be
// decoded is told as such. While the own peer is away, or lacks what the orderers have
// signed, blocks go on from where they were, by the others:
//
//	orderers' signatures  ─ by the configuration that the own peer gave, and its successors
//	link to the block before
//	validation codes, commit hash ─ nobody signs them: a majority of the members has to
//	                        serve the same, which could decide them anyway
//
// One who lies can hold up that reading, and can't put another block or verdict into it.
// When the own peer is back its copy is compared with what was read, and a difference is a
// *BrokenChain. Until then nothing that OwnPeerOnly protects is answered: not from others,
// and not by an own peer that is known to lack blocks (Failover.Lag).
//
// Logs carry transaction ids, functions' names and peers' addresses, never
// arguments or results.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Config says who the member is and where its peers are. Paths are of PEM files.
type Config struct {
	Channel   string // channel id
	Chaincode string // chaincode name
	MSP       string // the member's MSP id

	Cert string // enrolment certificate that signs proposals
	Key  string // its private key, PKCS #8

	TLSCert string // client certificate shown to peers; with TLSKey; both or none
	TLSKey  string

	Peers []Peer // the member's own peer first, then those to fall back on

	Failover Failover // of reading blocks

	// Patience bounds how long a submitted transaction's fate is sought; a nearer
	// deadline of the context wins. Default 60 s.
	Patience time.Duration
	// Settle is how long a peer is first given to tell the fate of a transaction
	// before another one is asked; it doubles round by round. Default 5 s.
	Settle time.Duration
	// Tries bounds the proposals of one Submit or Prepare. Default 10.
	Tries int

	// Journal keeps what is handed over until it is acted on; nil keeps nothing.
	Journal Journal

	Logger *slog.Logger // default slog.Default()
}

// Peer is where a peer's gateway service is reached.
type Peer struct {
	Address    string // host:port
	TLSCA      string // PEM file of the CA certificates that its server certificate chains to
	ServerName string // name in its certificate; default the host of Address
	Member     string // MSP id of its member; without it the peer has no voice on blocks
	Uses       Uses   // of another member's peer; 0 is AllUses
}

// Ledger is a member's access to one channel and chaincode. It is safe for
// concurrent use; Close it.
type Ledger struct {
	cfg      Config
	log      *slog.Logger
	conns    connections
	standing standing
	observed func(step, function, outcome string, took time.Duration)
}

// Dial reads the identity and prepares the connections. It doesn't wait for a
// peer: one that is down now is found when it is back. When the files of the
// identity or of the TLS certificate change, calls from then on go out under the
// new ones.
func Dial(ctx context.Context, cfg Config) (*Ledger, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	cfg, err := cfg.complete()
	if err != nil {
		return nil, fmt.Errorf("ledger configuration: %w", err)
	}
	l := &Ledger{cfg: cfg, log: cfg.Logger}
	if err := l.conns.open(cfg); err != nil {
		return nil, err
	}
	l.standing.begin(l)
	return l, nil
}

// Close ends the connections; calls under way fail.
func (l *Ledger) Close() error {
	l.standing.end()
	return l.conns.close()
}

func (c Config) complete() (Config, error) {
	switch {
	case c.Channel == "":
		return c, errors.New("channel is missing")
	case c.Chaincode == "":
		return c, errors.New("chaincode is missing")
	case c.MSP == "":
		return c, errors.New("MSP id is missing")
	case len(c.Peers) == 0:
		return c, errors.New("no peer given: name at least the member's own")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return c, errors.New("TLS client certificate and key go together: give both or none")
	}
	if c.Patience <= 0 {
		c.Patience = 60 * time.Second
	}
	if c.Settle <= 0 {
		c.Settle = 5 * time.Second
	}
	if c.Tries <= 0 {
		c.Tries = 10
	}
	c.Peers = slices.Clone(c.Peers)
	for i := range c.Peers {
		if c.Peers[i].Uses == 0 {
			c.Peers[i].Uses = AllUses
		}
	}
	if c.Failover.Agree <= 0 {
		c.Failover.Agree = c.majority()
	}
	if c.Failover.Away <= 0 {
		c.Failover.Away = 3 * time.Second
	}
	if c.Failover.Lag <= 0 {
		c.Failover.Lag = 15 * time.Second
	}
	if c.Failover.Look <= 0 {
		c.Failover.Look = time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// pauses between tries: 30 ms growing to 1 s, half of it jitter, so that those who
// collided once don't collide again in step.
func pauses() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     30 * time.Millisecond,
		RandomizationFactor: 0.5,
		Multiplier:          2,
		MaxInterval:         time.Second,
	}
}

// pause waits for d, or fails with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
