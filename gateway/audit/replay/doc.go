// Package replay proves a chain: from the blocks alone, and the digest of the first one,
// it works out again everything that the consortium's peers, orderers and chaincode
// claim to have found, and names every place where they differ.
//
//	blocks ─▶ encoding, number, link, data hash         is it one unbroken chain?
//	       ─▶ orderers' signatures, configuration       made by those who may?
//	       ─▶ creators, endorsements, policies          asked for and agreed to by those who must?
//	       ─▶ reads against the state                   validation codes, commit hashes: given rightly?
//	       ─▶ the chaincode itself, run again           does the answer follow from the rules?
//
// Nothing is taken from a member: not its word, not its database, not the codes its peer
// wrote into the block. The one thing to be known beforehand is the hash of block 0. The
// state that transactions read is rebuilt by applying those that are found valid, and each
// of Yitong's transactions is simulated on it by the very contracts that the endorsers run
// (chaincode/contract), with the clock set to the transaction's own time. Its read-write
// set and answer must come out byte for byte. A consortium in which every orderer and every
// endorser conspires can sign anything it likes; it can't make the rules say it.
//
// The last block's successor is not in the chain, so what is cut off at the end leaves no
// mark. Statements by other members about their heights tell (Options.Heights).
//
// What was found is a Report; docs/replay.md lists the checks and what each is there for.
package replay
