// Package record says what a record is made of and what the ledger keeps of it.
//
// A record is cut into parts, each of one data class and one set of sensitivity labels, each sealed
// under a key of its own. A part's Leaf commits to everything about it; the leaves' RFC 6962 Root is
// the record's anchor on the ledger. Nothing else of a record is on the ledger: no patient, no class,
// no key.
//
//	part, part, part ──Leaf──▶ leaves ──Root──▶ Anchor (ledger)
//	                                └──Prove──▶ Proof (manifest) ──Verify against the anchor's root
//
// The threats this answers: a custodian that shows two readers two contents (one root, one content),
// a vault that alters or swaps a sealed part (digest), a key that opens one ciphertext to two
// plaintexts (key commitment), and a reader of the ledger that guesses what a leaf hides (salt).
// A requester gets the leaves and proofs of the parts it may see, and nothing of the others.
//
// The package also owns the words everything else is written in: data classes, sensitivity labels,
// instants and periods. It is pure: no clock, no random, no I/O.
package record
