package ledger

import (
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/refusal"
)

// ErrUnavailable says that no peer, or not enough endorsers, could be reached.
// From Submit and Prepare it also says that nothing was handed to the orderers.
var ErrUnavailable = errors.New("ledger unavailable")

// ErrNotFound says that the peer's ledger holds no such transaction (yet).
var ErrNotFound = errors.New("no such transaction on the ledger")

// Refused is chaincode's no, or the peer's own to a proposal whose time is off its
// clock (refusal.StaleClock, as chaincode would say). Nothing was written.
type Refused struct {
	Refusal *refusal.Refusal
	TxID    string // of the proposal; empty for an evaluation
}

func (e *Refused) Error() string {
	return fmt.Sprintf("refused by the ledger: %s: %s", e.Refusal.Code, e.Refusal.Message)
}

// Unwrap makes the *refusal.Refusal reachable by errors.As.
func (e *Refused) Unwrap() error { return e.Refusal }

// Invalid is a transaction that went into a block and had no effect.
type Invalid struct {
	TxID  string
	Code  peer.TxValidationCode // why, as Fabric names it
	Block uint64                // the block it stands in
}

func (e *Invalid) Error() string {
	return fmt.Sprintf("transaction %s is invalid in block %d: %s", e.TxID, e.Block, e.Code)
}

// Conflict says whether another transaction was faster: a new proposal may pass.
func (e *Invalid) Conflict() bool {
	return e.Code == peer.TxValidationCode_MVCC_READ_CONFLICT || e.Code == peer.TxValidationCode_PHANTOM_READ_CONFLICT
}

// Unknown is a transaction that was handed over and whose fate could not be learnt
// in time. It may yet commit: ask Outcome before proposing the same again.
type Unknown struct {
	TxID string
	Err  error // the last thing that went wrong
}

func (e *Unknown) Error() string {
	return fmt.Sprintf("outcome of transaction %s is unknown: %v", e.TxID, e.Err)
}

func (e *Unknown) Unwrap() error { return e.Err }

// BrokenChain is a block that doesn't hold together: its data don't have the hash
// that its header names, or its header doesn't name the hash of the one before.
type BrokenChain struct {
	Block  uint64
	Reason string
}

func (e *BrokenChain) Error() string {
	return fmt.Sprintf("block %d breaks the chain: %s", e.Block, e.Reason)
}
