package ledgertest

import (
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

// Commit puts the transactions into one block in the order given, validates each and
// applies the valid ones. It returns their validation codes, and notes code and block in
// each.
func (l *Ledger) Commit(txs ...*Tx) []peer.TxValidationCode {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.height++
	codes := l.checkPolicies(txs)

	batch := updates{}
	for i, tx := range txs {
		if codes[i] == peer.TxValidationCode_VALID {
			codes[i] = l.checkReads(tx.RWSet, batch)
		}
		if codes[i] == peer.TxValidationCode_VALID {
			l.collect(tx, batch, version{block: l.height, tx: uint64(i)})
		}
	}
	for key, e := range batch {
		if e == nil {
			l.state.delete(key)
		} else {
			l.state.set(key, *e)
		}
	}
	for i, tx := range txs {
		l.committed[tx.ID] = true
		// A duplicate may be the very transaction committed before: what was said of it stands.
		if codes[i] != peer.TxValidationCode_DUPLICATE_TXID {
			tx.Code, tx.Block = codes[i], l.height
		}
	}
	return codes
}

// checkPolicies validates transaction ids and endorsements of a whole block, before any
// of its writes counts.
func (l *Ledger) checkPolicies(txs []*Tx) []peer.TxValidationCode {
	codes := make([]peer.TxValidationCode, len(txs))
	changed := map[string]bool{} // keys whose policy an earlier transaction of the block changes
	seen := map[string]bool{}
	for i, tx := range txs {
		switch {
		case l.committed[tx.ID] || seen[tx.ID]:
			codes[i] = peer.TxValidationCode_DUPLICATE_TXID
		case !l.endorsed(tx, changed):
			codes[i] = peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE
		default:
			codes[i] = peer.TxValidationCode_VALID
			for _, w := range tx.RWSet.MetadataWrites {
				changed[w.Key] = true
			}
		}
		seen[tx.ID] = true
	}
	return codes
}

// endorsed checks every key written against its own policy where it has one, and against
// the chaincode's otherwise. A key whose policy changes earlier in the same block can't be
// written later in it, whoever endorsed.
func (l *Ledger) endorsed(tx *Tx, changed map[string]bool) bool {
	majority := len(distinct(tx.Endorsers)) >= l.required
	own := false
	check := func(key string) bool {
		if changed[key] {
			return false
		}
		policy := l.state.entries[key].policy
		if len(policy) == 0 {
			own = own || majority
			return majority
		}
		own = true
		return satisfied(policy, tx.Endorsers)
	}
	for _, w := range tx.RWSet.Writes {
		if !check(w.Key) {
			return false
		}
	}
	for _, w := range tx.RWSet.MetadataWrites {
		if !check(w.Key) {
			return false
		}
	}
	return own || majority
}

// checkReads compares what a transaction read with the state and with what the block has
// written before it.
func (l *Ledger) checkReads(set *kvrwset.KVRWSet, batch updates) peer.TxValidationCode {
	for _, r := range set.Reads {
		if _, written := batch[r.Key]; written || l.state.entries[r.Key].version != versionOf(r.Version) {
			return peer.TxValidationCode_MVCC_READ_CONFLICT
		}
	}
	for _, q := range set.RangeQueriesInfo {
		if !l.unchanged(q, batch) {
			return peer.TxValidationCode_PHANTOM_READ_CONFLICT
		}
	}
	return peer.TxValidationCode_VALID
}

// unchanged runs a range query again.
func (l *Ledger) unchanged(q *kvrwset.RangeQueryInfo, batch updates) bool {
	keys := batch.between(l.state, q.StartKey, q.EndKey, !q.ItrExhausted)
	reads := q.GetRawReads().GetKvReads()
	if len(keys) != len(reads) {
		return false
	}
	for i, r := range reads {
		e, _ := batch.read(l.state, keys[i])
		if keys[i] != r.Key || e.version != versionOf(r.Version) {
			return false
		}
	}
	return true
}

// collect adds a valid transaction's writes to the block's. A key's policy outlives its
// value's changes and dies with the key; a policy for a key that doesn't exist is lost.
func (l *Ledger) collect(tx *Tx, batch updates, v version) {
	for _, w := range tx.RWSet.Writes {
		if w.IsDelete {
			batch[w.Key] = nil
		} else {
			before, _ := batch.read(l.state, w.Key)
			batch[w.Key] = &entry{value: w.Value, policy: before.policy, version: v}
		}
		l.state.history[w.Key] = append(l.state.history[w.Key], modification{tx: tx, value: w.Value, deleted: w.IsDelete})
	}
	for _, w := range tx.RWSet.MetadataWrites {
		before, ok := batch.read(l.state, w.Key)
		if !ok {
			continue
		}
		var policy []byte
		for _, e := range w.Entries {
			if e.Name == validationParameter {
				policy = e.Value
			}
		}
		batch[w.Key] = &entry{value: before.value, policy: policy, version: v}
	}
}
