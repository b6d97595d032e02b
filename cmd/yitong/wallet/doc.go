// Package wallet keeps a patient's keys, and signs with them.
//
//	24 words ──▶ seed ──HKDF──▶ one Ed25519 key for each relationship
//
// The words are all there is to back up (BIP-39); every key follows from them. Each relationship
// has a key of its own, so that two of one patient's show nothing in common on the ledger. A wallet
// remembers, besides, what it has signed: that is enough to withdraw a consent through any member
// when the hospital is down.
//
// The file is encrypted under a passphrase (age, scrypt) and replaced as a whole.
package wallet
