// Package height has members tell each other how far their ledgers reach.
//
// A chain of hashes protects its past and not its end: who is shown fewer blocks than
// there are can't tell, and two members who are shown two chains don't know of each other's.
// So every gateway signs, six times a minute, how many blocks its own peer has and the hash
// of the last one, with the key that the registry has of it, and hands that to every other
// gateway, together with what it has heard from the rest:
//
//	own peer ─▶ statement ─sign─▶ every other gateway ─▶ verified, kept, compared
//	                              its own and all it knows ◀─┘
//
// A statement about a block that the own peer has too is compared with it: another hash is a
// Fork, proved by two signatures for ever. One about blocks that the own peer doesn't have
// for longer than Patience says that it is behind, or that they are kept from it: Behind. Both
// show within a minute. One gateway that is honest and reached is enough to hear of both.
package height
