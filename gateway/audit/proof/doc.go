// Package proof shows one access to somebody who trusts no member: that it was asked for,
// decided under exactly these consents, released and received, as a file that needs nothing
// else to be checked, no network, no ledger, only the digest of the consortium's first block.
//
//	blocks ─▶ Build ─▶ file ─▶ Verify ─▶ Result: what is shown, and by whose signatures
//
// In the file are whole blocks: Fabric's data hash is flat, so that one transaction is in a
// block can only be shown with all of the block's. They are
//
//   - the configuration blocks, each signed by the ordering nodes of the one before, from
//     which follows who may sign all the others;
//   - the blocks of the request, of its release and receipt if there are any;
//   - the blocks of every transaction that these read from, and so on: consents, members,
//     the chaincode's definition. Endorsers sign which version of a key they read, so
//     leaving one out, or putting an older one in its place, is found.
//
// Verify runs the contracts again on what was read (replay.Excerpt): the decision doesn't
// have to be believed, it is taken once more.
//
// What no excerpt of a Fabric chain can show by itself is that the peers found a transaction
// valid: verdicts are signed by nobody. But whoever endorses a later transaction signs that
// he read what the earlier one wrote. Such a transaction is Confirmed; the newest one of a
// chain, usually the receipt, can't be, and the Result says so.
//
// The file's format is docs/formats/proof.md.
package proof
