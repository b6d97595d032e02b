// Package registry holds the rules of membership: which organisations form the
// consortium, of which kind, how they come and go, and how they agree on the time.
//
// A consortium is founded once, by a list of members. After that nobody admits,
// suspends or reinstates anybody alone: each is a motion, and it takes effect when
// a majority of the active members has moved the same thing. The accused has no
// vote in its own case. A member changes its own gateway address, public keys and
// policy, and nothing else.
//
// Time is agreed on by closing minutes. A transaction's timestamp is its author's
// claim, and neither the orderer nor the validator looks at it. So an endorser
// refuses a claim more than MaxSkew off its own clock, every time-bound transaction
// reads the closing of its minute and requires it absent, and a member closes each
// minute on the ledger when it and the skew are over. A transaction endorsed in time
// and held back meanwhile has then read a key that has changed, and is invalid.
//
// The package is pure: no clock, no random, no input or output. Every refusal is a
// *refusal.Refusal with a stable code.
package registry
