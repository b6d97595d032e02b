package share

import (
	"context"
	"fmt"
	"io"
	"slices"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/escrow"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// A custodian's records outlive its gateway: their part keys lie with the other members,
// split so that none of them opens anything by itself (package escrow), and their sealed
// parts with the regulators.
//
//	custodian  Submit      split the keys; the anchor carries the package's digest
//	           Lodge       package and shares to every holder, sealed parts to regulators
//	holder     Keep        held against the anchor and the commitments, then kept
//	requester  Open        the custodian doesn't answer, and the permit is break-glass:
//	regulator  RecoverFor  permit checked, recovery committed, then sealed parts and shares
//	holder     ShareFor    permit and recovery checked on its own peer, then its share
//	requester              each share checked, keys combined, parts opened, receipt
//	custodian  Reindex     the next epoch's handles go to regulators (escrow_index.go)
//	custodian  Forget      what is erased is erased with every holder too
//
// What a holder keeps lies in its key store (shares, packages, the index) and, with a
// regulator, in its vault (sealed parts): vault and ledger together open nothing.

// Holders reaches the other members' gateways for what lies with them in escrow.
type Holders interface {
	// Deposit hands a holder what it is to keep. sealed opens the parts in order; they
	// are sent to regulators only.
	Deposit(ctx context.Context, holder registry.Member, d Deposit, sealed func(part int) (io.ReadCloser, error)) error
	// Index tells a regulator under which handles records are found.
	Index(ctx context.Context, regulator registry.Member, entries []IndexEntry) error
	// Recover asks a regulator for what a break-glass permit covers, its custodian being
	// out of reach. The permit stands in a block below height.
	Recover(ctx context.Context, regulator registry.Member, custodian, permit string, height uint64) (RecoveryDelivery, error)
	// Share asks a holder for its shares of what a recovery's manifest names.
	Share(ctx context.Context, holder registry.Member, q ShareQuery) (seal.Message, error)
	// Forget tells a holder that parts of a record are erased; none means all of it.
	Forget(ctx context.Context, holder registry.Member, recordID string, parts []int) error
	// Alive returns nil if the member's gateway could release now.
	Alive(ctx context.Context, member registry.Member) error
}

// EscrowPolicy says how a custodian puts its keys into escrow.
type EscrowPolicy struct {
	Off       bool
	Threshold int // how many members it takes, a regulator among them; 0 is escrow.DefaultThreshold
}

// Deposit is what a holder gets of one record.
type Deposit struct {
	Package *escrow.Package
	Share   seal.Message  // an escrow.Share as JSON
	Parts   []record.Part // all of the record, in order; regulators only
	Height  uint64        // blocks of the ledger that has the anchor
}

// IndexEntry says that a record is of the patient with this handle. A regulator keeps it
// for every hospital but the custodian, or it couldn't tell what a permit is about. It
// tells the regulator which records are of one patient, and not whose.
type IndexEntry struct {
	Requester string `json:"requester"` // MSP id
	Handle    string `json:"handle"`
	Record    string `json:"record"`
}

// EscrowShort is the code of the refusal that says that too few good shares came together.
const EscrowShort refusal.Code = "escrow-short"

// CustodianReachable is the code of the refusal that says that the custodian itself answers.
const CustodianReachable refusal.Code = "custodian-reachable"

// depositPlace is what a deposit's share is encrypted for.
func depositPlace(p *escrow.Package, holder string) seal.Place {
	return seal.Place{Label: "yitong escrow deposit v1", Fields: []string{p.Custodian, p.Record, holder, p.Digest().String()}}
}

// structure is how this custodian's keys are split now, or why they can't be.
func (g *Gateway) structure(ctx context.Context) (escrow.Structure, error) {
	var s escrow.Structure
	members, err := g.Others(ctx)
	if err != nil {
		return s, err
	}
	for _, m := range members {
		if m.Kind == registry.Regulator {
			s.Regulators = append(s.Regulators, m.MSP)
		} else {
			s.Others = append(s.Others, m.MSP)
		}
	}
	slices.Sort(s.Regulators)
	slices.Sort(s.Others)
	if s.Threshold = g.Escrow.Threshold; s.Threshold == 0 {
		s.Threshold = escrow.DefaultThreshold(len(s.Others))
	}
	return s, s.Check()
}

// CheckEscrow says why records submitted now would not be put into escrow; nil if they
// would, or aren't meant to be.
func (g *Gateway) CheckEscrow(ctx context.Context) error {
	if !g.escrows() {
		return nil
	}
	if _, err := g.structure(ctx); err != nil {
		return fmt.Errorf("records can't be put into escrow: %w", err)
	}
	return nil
}

// escrows says whether this gateway is to put its records into escrow.
func (g *Gateway) escrows() bool {
	return g.Holders != nil && !g.Escrow.Off && g.Self.Kind == registry.Hospital
}

// entrusted names a sealed part that this member keeps for another one's record. The
// custodian is in it: record ids are chosen by whoever anchors them.
func entrusted(custodian, recordID string, part int) vault.Name {
	return vault.NameOf("escrow/"+custodian+"/"+recordID, part)
}

// openMessage opens a message to this member, by the key that it names.
func (g *Gateway) openMessage(at seal.Place, m seal.Message) ([]byte, error) {
	private, err := g.ring.private(m.Key)
	if err != nil {
		return nil, err
	}
	return seal.OpenFrom(private, at, m)
}
