package replay

import (
	"fmt"
	"time"
)

// Check names what a divergence was found by. Stable.
type Check string

// The checks, in the order in which a block meets them.
const (
	Framing        Check = "framing"             // the exported file is damaged or cut
	Encoding       Check = "encoding"            // a block isn't the one encoding of what it says
	Genesis        Check = "genesis"             // the chain doesn't begin with the block that is trusted
	Number         Check = "number"              // a block is missing, out of order or there twice
	Link           Check = "link"                // a block doesn't name the hash of the one before
	DataHash       Check = "data-hash"           // a block's transactions aren't those of its header
	OrdererSign    Check = "orderer-signature"   // a signature on a block isn't good
	OrdererQuorum  Check = "orderer-quorum"      // those who signed a block aren't enough
	LastConfig     Check = "last-config"         // a block was signed under another configuration
	Unsigned       Check = "unsigned-metadata"   // a block carries what nobody signs
	Configuration  Check = "configuration"       // a configuration doesn't follow from the one before
	Certificate    Check = "certificate-expired" // somebody signed with a certificate out of its time
	NotWriter      Check = "not-a-writer"        // the creator may not write to the channel
	ValidationCode Check = "validation-code"     // a peer's verdict on a transaction is wrong
	ReadWriteSet   Check = "read-write-set"      // the rules give other reads, writes or policies
	Response       Check = "response"            // the rules give another answer
	Rules          Check = "rules"               // the rules refuse what was committed
	UnknownRules   Check = "unknown-rules"       // the members had agreed on rules that aren't this program's
	Order          Check = "time-order"          // a transaction is dated before what was closed
	CommitHash     Check = "commit-hash"         // the peer's state changes aren't those of the transactions
	State          Check = "state"               // the peer answers otherwise than the blocks give
	Statement      Check = "statement"           // a statement of height isn't a member's own
	Hidden         Check = "hidden-tail"         // another member has seen blocks that are missing here
	Fork           Check = "fork"                // another member has seen another block of the same number
)

// Divergence is one place where the chain isn't what it should be.
type Divergence struct {
	Block       uint64 `json:"block"`
	Index       int    `json:"index"` // of the transaction in the block; -1 for the block itself
	Transaction string `json:"transaction,omitempty"`
	Check       Check  `json:"check"`
	Rule        string `json:"rule,omitempty"` // function of the contract, for what the rules say
	Detail      string `json:"detail"`         // for a person; no patient data, because the ledger has none
}

func (d Divergence) String() string {
	where := fmt.Sprintf("block %d", d.Block)
	if d.Index >= 0 {
		where += fmt.Sprintf(", transaction %d", d.Index)
	}
	if d.Transaction != "" {
		where += " (" + d.Transaction[:min(12, len(d.Transaction))] + ")"
	}
	if d.Rule != "" {
		where += ", " + d.Rule
	}
	return fmt.Sprintf("%s: %s: %s", where, d.Check, d.Detail)
}

// Error makes a divergence what an Excerpt fails with: errors.As finds its check.
func (d Divergence) Error() string { return d.String() }

// Report is the result.
type Report struct {
	Channel      string         `json:"channel"`
	Genesis      string         `json:"genesis"` // hex
	Height       uint64         `json:"height"`  // number of blocks
	Head         string         `json:"head"`    // hash of the last one, hex
	Sequence     uint64         `json:"configuration"`
	Transactions int            `json:"transactions"`
	Valid        int            `json:"valid"`
	Codes        map[string]int `json:"codes"`       // by Fabric's names, as worked out
	Recomputed   map[string]int `json:"recomputed"`  // by function: run again and equal
	Unruled      map[string]int `json:"unruled"`     // by chaincode: endorsed and valid, no rules here to run
	Definitions  []Definition   `json:"definitions"` // of the rules, as the members agreed on them, oldest first
	Signatures   int            `json:"signatures"`  // verified
	Bytes        int64          `json:"bytes"`
	Divergences  []Divergence   `json:"divergences"`
	Truncated    bool           `json:"truncated,omitempty"` // more divergences than are listed
	Compared     int            `json:"compared,omitempty"`  // answers of the peer that are as the blocks give them
	State        string         `json:"state"`               // SHA-256 of the rebuilt state, hex
	// Of this run alone, however the chain was come through: its first block (those before were
	// done up to the checkpoint), its transactions and the time.
	From uint64        `json:"-"`
	Done int           `json:"-"`
	Took time.Duration `json:"-"`
}

// Sound says whether nothing diverged.
func (r *Report) Sound() bool { return len(r.Divergences) == 0 }

// Definition is what rules the members had agreed on, and from when.
type Definition struct {
	Block    uint64 `json:"block"`              // the first with transactions under it
	Sequence int64  `json:"sequence"`           // of Fabric's life cycle
	Version  string `json:"version"`            // chaincode.Version of the program that decided
	Known    bool   `json:"known"`              // whether its rules are this program's too
	Unjudged int    `json:"unjudged,omitempty"` // valid transactions that therefore weren't run again
}

// maxDivergences are listed; a chain with more is told by the first ones.
const maxDivergences = 1000

func (r *Report) diverge(d Divergence) {
	if len(r.Divergences) >= maxDivergences {
		r.Truncated = true
		return
	}
	r.Divergences = append(r.Divergences, d)
}
