// Package replaytest makes chains: genuine ones, of any length, without a network, and
// forgeries of them by anybody from a thief of block files to a conspiracy of all members.
//
//	c := replaytest.New(t, replaytest.Options{Seed: 1})
//	c.History(1000)
//	c.Forge(block, tx, replaytest.Endorsers, func(p *replaytest.Parts) { … })
//
// Certificates, signatures and blocks are real; the endorsers are chaincode/ledgertest,
// which is held to a Fabric peer's behaviour elsewhere, so a chain from here tests the
// replay with verdicts and states that the replay has not worked out itself. The same seed
// makes the same chain, byte for byte: keys are derived from it and signatures are those of
// RFC 6979.
package replaytest
