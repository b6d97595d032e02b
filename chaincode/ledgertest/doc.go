// Package ledgertest is a Fabric ledger in one process, for tests of chaincode.
//
// It does what a peer does to a transaction, in the same order: simulates the chaincode on
// a snapshot (a transaction never sees its own writes), collects reads with the versions
// they had and writes, compares what the endorsers got, and on commit checks, block by
// block and in block order, the transaction id, the endorsement policy of the chaincode or
// of each key written, and that everything read is still as it was:
//
//	l := ledgertest.New(t, "A", "B", "C")
//	l.Install(chaincode)
//	tx, err := l.Endorse(ctx, l.Client("A"), l.Members(), "contract:Function", `{…}`)
//	codes := l.Commit(tx, other) // one block, in this order
//
// The rules are taken from Fabric 3.1: core/ledger/kvledger/txmgmt (simulation, MVCC and
// phantom validation), core/common/validation/statebased (key-level policies) and
// common/cauthdsl (signature policies). Cases is the table of what is claimed to be the
// same; it runs against anything that is a Network, so that a real peer holds this package
// to its word.
//
// What isn't there, fails loudly: private data, rich queries, calls of other chaincode.
// Simplified: an iterator is read to its end at once, where a peer reads a hundred results
// ahead; signatures are not made, an endorser is believed to be who it is.
package ledgertest
