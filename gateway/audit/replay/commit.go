package replay

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode"
	"yitong/gateway/audit/replay/channel"
)

// closedLatestKey is where the contracts keep the newest closed minute.
const closedLatestKey = "\x00closed-latest\x00"

// block takes one prepared block: gives its transactions their codes, runs the rules on the
// valid ones, and changes the state.
func (c *committer) block(b *block) {
	for _, d := range b.found {
		c.report.diverge(d)
	}
	u := newUpdates()
	if b.number > 0 {
		c.validate(b, u)
		c.rerun(b)
	} else {
		b.transactions[0].code = peer.TxValidationCode_VALID // trusted as a whole
	}
	c.compareCodes(b)
	c.compareCommit(b, u)
	c.judge(b)
	for _, t := range b.transactions {
		c.count(t)
		if t.id != "" {
			c.ids[idKey(t.id)] = struct{}{}
			if c.options.Checkpoint != nil {
				c.freshIDs = append(c.freshIDs, idKey(t.id))
			}
		}
	}
	if c.options.Checkpoint != nil {
		for p := range u.entries {
			c.freshKeys[p] = struct{}{}
		}
	}
	c.state.apply(u)
	c.report.Bytes += int64(b.size)
	c.report.Signatures += b.signatures
	c.at = position{next: b.number + 1, hash: b.hash, config: b.after, lastConfig: b.lastConfig}
	c.remember(b)
}

// idKey is a transaction's id in half the space, if it is one of Fabric's.
func idKey(id string) string {
	var raw [32]byte
	if len(id) == 2*len(raw) && strings.ToLower(id) == id {
		if _, err := hex.Decode(raw[:], []byte(id)); err == nil {
			return string(raw[:])
		}
	}
	return id
}

// validate gives every transaction of a block its validation code, in Fabric's order.
func (c *committer) validate(b *block, u *updates) {
	v := newValidator(b.config, c.state)
	for _, t := range b.transactions {
		if !t.endorsed {
			continue
		}
		if _, twice := c.ids[idKey(t.id)]; twice {
			t.fail(peer.TxValidationCode_DUPLICATE_TXID, "a transaction of this id is on the ledger already")
		} else if t.code == peer.TxValidationCode_VALID {
			v.checkEndorsements(t)
		}
	}
	seen := map[string]bool{}
	for _, t := range b.transactions {
		if t.code != peer.TxValidationCode_VALID || !t.endorsed {
			continue
		}
		if seen[t.id] {
			t.fail(peer.TxValidationCode_DUPLICATE_TXID, "a transaction of this id is in the block already")
		}
		seen[t.id] = true
	}
	for _, t := range b.transactions {
		if t.code != peer.TxValidationCode_VALID || !t.endorsed {
			continue
		}
		if v.checkReads(t, u); t.code == peer.TxValidationCode_VALID {
			v.collect(t, u, version{Block: b.number, Tx: uint64(t.index), Set: true})
		}
	}
}

// rerun runs the rules on the valid transactions of the block, all at once: each on the
// state before the block, as what it read can't have changed within it.
func (c *committer) rerun(b *block) {
	ruled := slices.DeleteFunc(slices.Clone(b.transactions), func(t *transaction) bool {
		return t.code != peer.TxValidationCode_VALID || t.chaincode != c.options.Chaincode
	})
	if len(ruled) == 0 {
		return
	}
	d, _ := definitionOf(c.state, c.options.Chaincode)
	if !c.inForce(b, ruled, d) {
		return
	}
	parallel(c.options.Workers, len(ruled), func(i int) {
		e := <-c.engines
		ruled[i].again = e.run(b.config.Channel, ruled[i], c.state, d.version)
		c.engines <- e
	})
}

// inForce notes under which rules transactions were endorsed, and says whether they are
// this program's. By others they would be judged wrongly, so they aren't judged.
func (c *committer) inForce(b *block, ruled []*transaction, d definition) bool {
	all := &c.report.Definitions
	if n := len(*all); n == 0 || (*all)[n-1].Sequence != d.sequence || (*all)[n-1].Version != d.version {
		*all = append(*all, Definition{Block: b.number, Sequence: d.sequence, Version: d.version, Known: chaincode.Known(d.version)})
		if !chaincode.Known(d.version) {
			c.find(b, ruled[0], UnknownRules, "", fmt.Sprintf(
				"from here on the members had agreed on version %q of the rules (sequence %d); this program's is %s, so it doesn't judge by it: replay this part with the program of that version", d.version, d.sequence, chaincode.Version()))
		}
	}
	now := &(*all)[len(*all)-1]
	if !now.Known {
		now.Unjudged += len(ruled)
		for _, t := range ruled {
			t.unjudged = true
		}
	}
	return now.Known
}

// compareCodes holds the peer's verdicts against ours.
func (c *committer) compareCodes(b *block) {
	flags := b.slot(common.BlockMetadataIndex_TRANSACTIONS_FILTER)
	if len(flags) != len(b.transactions) {
		c.find(b, nil, ValidationCode, "", fmt.Sprintf("%d verdicts on %d transactions", len(flags), len(b.transactions)))
		return
	}
	for i, t := range b.transactions {
		said := peer.TxValidationCode(flags[i])
		if said == t.code {
			continue
		}
		why := t.reason
		if why == "" {
			why = "nothing is wrong with it"
		}
		c.find(b, t, ValidationCode, "", fmt.Sprintf("the peer says %s, it is %s: %s", said, t.code, why))
	}
}

// compareCommit holds the peer's commit hash against ours, and goes on from the peer's, so
// that one wrong place is told once.
func (c *committer) compareCommit(b *block, u *updates) {
	if b.number == 0 {
		return
	}
	codes := make([]byte, len(b.transactions))
	for i, t := range b.transactions {
		codes[i] = byte(t.code)
	}
	c.commit = commitHash(codes, u, c.commit)
	said := b.slot(common.BlockMetadataIndex_COMMIT_HASH)
	if bytes.Equal(said, commitMetadata(c.commit)) {
		return
	}
	c.find(b, nil, CommitHash, "", "what the peer changed in its state isn't what the transactions change")
	m := &common.Metadata{}
	if strict(said, m) == nil && len(m.Value) > 0 {
		c.commit = m.Value
	}
}

// judge tells what the rules found, and what is wrong with who signed.
func (c *committer) judge(b *block) {
	if newest := b.newest(); newest.After(c.newest) {
		c.newest = newest
	}
	for _, s := range b.signers {
		if !s.HeldAt(c.newest) {
			c.find(b, nil, Certificate, "", fmt.Sprintf("ordering node %s of %s signed out of its certificate's time", s.Name, s.MSP))
		}
	}
	closed, founded := c.closedLatest()
	writers := b.config.Policy(channel.Writers)
	for _, t := range b.transactions {
		if t.code != peer.TxValidationCode_VALID || t.who == nil {
			continue
		}
		if !t.who.HeldAt(t.timestamp) {
			c.find(b, t, Certificate, "", fmt.Sprintf("its creator %s of %s signed out of the certificate's time", t.who.Name, t.who.MSP))
		}
		if !writers.Satisfied([]*channel.Identity{t.who}) {
			c.find(b, t, NotWriter, "", fmt.Sprintf("its creator %s of %s may not write to the channel", t.who.Name, t.who.MSP))
		}
		for _, e := range t.endorsers {
			if !e.HeldAt(t.timestamp) {
				c.find(b, t, Certificate, "", fmt.Sprintf("its endorser %s of %s signed out of the certificate's time", e.Name, e.MSP))
			}
		}
		if t.chaincode != c.options.Chaincode {
			continue
		}
		if !t.again.same() {
			c.find(b, t, t.again.check, t.function(), t.again.detail)
		}
		if minute := t.timestamp.Unix() / 60; founded && t.writesAnything() && minute <= closed {
			c.find(b, t, Order, t.function(), fmt.Sprintf("it is dated %s, and minutes through %d were closed", t.timestamp.UTC().Format("2006-01-02T15:04:05Z"), closed))
		}
	}
	for _, t := range b.transactions {
		if t.code == peer.TxValidationCode_VALID && unverifiable(t) {
			c.find(b, t, ValidationCode, "", "it read a range by hash only, which isn't worked out here")
		}
	}
}

// closedLatest is the newest closed minute before the block.
func (c *committer) closedLatest() (int64, bool) {
	e := c.state.get(place{c.options.Chaincode, closedLatestKey})
	var minute int64
	ok := e != nil && json.Unmarshal(e.Value, &minute) == nil
	return minute, ok
}

func (t *transaction) function() string {
	if len(t.args) == 0 {
		return ""
	}
	return string(t.args[0])
}

func (t *transaction) writesAnything() bool {
	return slices.ContainsFunc(t.sets, namespaceSet.writes)
}

// find notes a divergence; t is nil for the block itself.
func (c *committer) find(b *block, t *transaction, check Check, rule, detail string) {
	d := Divergence{Block: b.number, Index: -1, Check: check, Rule: rule, Detail: detail}
	if t != nil {
		d.Index, d.Transaction = t.index, t.id
	}
	c.report.diverge(d)
}

func (c *committer) count(t *transaction) {
	r := c.report
	r.Transactions++
	r.Codes[t.code.String()]++
	r.Signatures += t.signatures
	if t.code != peer.TxValidationCode_VALID {
		return
	}
	r.Valid++
	switch {
	case !t.endorsed:
	case t.chaincode != c.options.Chaincode:
		r.Unruled[t.chaincode]++
	case t.unjudged:
	case t.again.same():
		r.Recomputed[t.function()]++
	}
}
