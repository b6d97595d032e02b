// Package projection keeps what the ledger says in SQL, so that it can be asked.
//
//	own peer ──block──▶ Read ──entries, state──▶ one SQL transaction ──▶ questions
//	                                             with number and hash of the block
//
// A block's rows and the checkpoint (the block's number and hash) commit together: a
// kill at any point neither loses nor doubles anything, the next start goes on after
// the last block that is there. A block that isn't the next one, or doesn't name the
// hash of the one before, stops the projection with an error; nothing is ever skipped.
//
// Everything derives from the blocks alone, and state from the writes of valid
// transactions, never from what somebody asked for in an argument. So two projections
// of one chain are identical whatever happened on the way, and Digest shows it: it
// hashes every row in one canonical form, the same for SQLite and PostgreSQL.
//
// Two kinds of table come of it. Entries are the audit trail: what each transaction did
// or tried to do, invalid ones too, never changed again (see Entry for the fields and
// where ISO 27789 has them). The others mirror the ledger's state: members and consents
// with every version, accesses with decision, release and receipt, records, motions.
//
// The threat it answers is the trusted log: nobody's word is in here but the chain's.
// Whoever changes a row in this database changes its digest, and a rebuild tells.
package projection
