package ledgertest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

// Ledger is one channel with one chaincode and one peer per member.
type Ledger struct {
	t       testing.TB
	members []string
	clients map[string]Identity
	// authorities are the organisations' own, by MSP id.
	authorities map[string]*authority

	mu        sync.RWMutex // held for reading while a transaction is simulated, as Fabric does
	chaincode map[string]shim.Chaincode
	required  int // endorsements that the chaincode's policy asks for
	state     *state
	committed map[string]bool
	height    uint64

	clockMu sync.Mutex
	now     time.Time
	nonce   uint64
}

// New makes an empty ledger of the members given by MSP id. Its policy is Fabric's
// MAJORITY of them. Its clock stands at 2026-11-21T07:00:00Z.
func New(t testing.TB, members ...string) *Ledger {
	t.Helper()
	l := &Ledger{
		t: t, members: slices.Clone(members), clients: map[string]Identity{}, authorities: map[string]*authority{},
		chaincode: map[string]shim.Chaincode{}, required: len(members)/2 + 1,
		state: newState(), committed: map[string]bool{},
		now: time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC),
	}
	for _, m := range members {
		l.Enrol(m)
	}
	return l
}

// Enrol gives an organisation a client, be it a member or not.
func (l *Ledger) Enrol(msp string) Identity {
	l.t.Helper()
	ca, err := newAuthority(msp)
	if err != nil {
		l.t.Fatalf("ledgertest: make the authority of %s: %v", msp, err)
	}
	l.authorities[msp] = ca
	client, err := ca.enrol("client@"+msp, nil)
	if err != nil {
		l.t.Fatalf("ledgertest: enrol at %s: %v", msp, err)
	}
	l.clients[msp] = client
	return client
}

// EnrolWith gives an organisation, enrolled already, one client more, with attributes in its certificate.
func (l *Ledger) EnrolWith(msp, name string, attributes map[string]string) Identity {
	l.t.Helper()
	id, err := l.authorities[msp].enrol(name+"@"+msp, attributes)
	if err != nil {
		l.t.Fatalf("ledgertest: enrol at %s: %v", msp, err)
	}
	return id
}

// Members lists the MSP ids, in the order given to New.
func (l *Ledger) Members() []string { return slices.Clone(l.members) }

// Client is the client of an organisation.
func (l *Ledger) Client(msp string) Identity {
	id, ok := l.clients[msp]
	if !ok {
		l.t.Fatalf("ledgertest: nobody is enrolled at %q", msp)
	}
	return id
}

// Install runs one chaincode at every member.
func (l *Ledger) Install(cc shim.Chaincode) {
	for _, m := range l.members {
		l.InstallAt(m, cc)
	}
}

// InstallAt runs another chaincode at one member: one tampered with, or with its own clock.
func (l *Ledger) InstallAt(msp string, cc shim.Chaincode) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.chaincode[msp] = cc
}

// Require sets the number of endorsements that the chaincode's policy asks for: the
// control of a test that relies on the majority.
func (l *Ledger) Require(endorsements int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.required = endorsements
}

// Now is the time of everybody who has no clock of his own.
func (l *Ledger) Now() time.Time {
	l.clockMu.Lock()
	defer l.clockMu.Unlock()
	return l.now
}

// Advance moves the clock.
func (l *Ledger) Advance(d time.Duration) {
	l.clockMu.Lock()
	defer l.clockMu.Unlock()
	l.now = l.now.Add(d)
}

// Height is the number of blocks.
func (l *Ledger) Height() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.height
}

// Propose makes a proposal dated now, with an id of its own.
func (l *Ledger) Propose(who Identity, fn string, args ...string) Proposal {
	l.clockMu.Lock()
	defer l.clockMu.Unlock()
	l.nonce++
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", l.nonce, who.Creator))
	return Proposal{
		ID: hex.EncodeToString(sum[:]), Creator: who, Timestamp: l.now,
		Args: append([]string{fn}, args...),
	}
}

// Endorse proposes and has the endorsers, named by MSP id, simulate it.
func (l *Ledger) Endorse(ctx context.Context, who Identity, endorsers []string, fn string, args ...string) (*Tx, error) {
	return l.EndorseProposal(ctx, l.Propose(who, fn, args...), endorsers...)
}

// EndorseProposal has the endorsers simulate a proposal. Errors: *ResponseError,
// *DivergedError, or the context's.
func (l *Ledger) EndorseProposal(ctx context.Context, p Proposal, endorsers ...string) (*Tx, error) {
	l.t.Helper()
	if len(endorsers) == 0 {
		l.t.Fatal("ledgertest: no endorser")
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	var tx *Tx
	for i, msp := range endorsers {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		result, err := l.simulate(p, msp)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			tx = result
		} else if !sameResult(tx, result) {
			return nil, &DivergedError{Endorsers: [2]string{endorsers[0], msp}}
		}
	}
	tx.Endorsers = slices.Clone(endorsers)
	return tx, nil
}

// Evaluate simulates at one peer and returns the answer.
func (l *Ledger) Evaluate(ctx context.Context, who Identity, at string, fn string, args ...string) ([]byte, error) {
	l.t.Helper()
	tx, err := l.Endorse(ctx, who, []string{at}, fn, args...)
	if err != nil {
		return nil, err
	}
	return tx.Response, nil
}

// Invoke endorses at every member and commits in a block of its own. Errors: those of
// Endorse, and *InvalidError.
func (l *Ledger) Invoke(ctx context.Context, who Identity, fn string, args ...string) (*Tx, error) {
	l.t.Helper()
	tx, err := l.Endorse(ctx, who, l.members, fn, args...)
	if err != nil {
		return nil, err
	}
	if code := l.Commit(tx)[0]; code != peer.TxValidationCode_VALID {
		return tx, &InvalidError{TxID: tx.ID, Code: code}
	}
	return tx, nil
}

func (l *Ledger) simulate(p Proposal, msp string) (*Tx, error) {
	cc, ok := l.chaincode[msp]
	if !ok {
		l.t.Fatalf("ledgertest: no chaincode is installed at %q", msp)
	}
	s := newStub(p, l.state)
	res := cc.Invoke(s)
	s.done = true
	if res == nil {
		l.t.Fatalf("ledgertest: the chaincode at %s gave no response", msp)
	}
	if res.Status >= shim.ERRORTHRESHOLD {
		return nil, &ResponseError{Endorser: msp, Status: res.Status, Message: res.Message}
	}
	return &Tx{Proposal: p, Response: res.Payload, Event: s.event, RWSet: s.rwset(), Calls: s.calls}, nil
}

func sameResult(a, b *Tx) bool {
	return bytes.Equal(a.Response, b.Response) && bytes.Equal(a.RWSetBytes(), b.RWSetBytes())
}
