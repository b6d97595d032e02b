// Package disclosure is how a regulator gets to see what stands on the ledger as a salted
// digest only, as a state machine:
//
//	order ─▶ answer ─┬─ given ───▶ conclusion: disclosed or mismatch
//	                 └─ refused ─▶ conclusion: refused
//
// A regulator orders one thing to be opened, by a reason's code. Its holder's answer is
// recorded before anything is handed over, as a release is: a holder accounts for each
// disclosure in its own hand, and a refusal is the holder's own word. The regulator holds
// what it was given against the digest and concludes. The content itself never touches
// the ledger.
//
// Neither side can make the other look bad for good. A regulator finds no mismatch where
// nothing was given, and no refusal before the holder has refused or let the term pass;
// what is given opens the digest for everybody, so a false mismatch is refuted by ordering
// the same thing again. A holder that says nothing leaves an order that is overdue once
// its term is over, for all regulators to see.
//
// Each step given again with the same content is answered with what is recorded, and
// given again with other content is refused (exists).
//
// The package is pure: no clock, no random, no input or output.
package disclosure
