// Package escrow splits the keys of a record among members, so that a patient is not lost
// with the hospital that holds the record.
//
// # Who can open
//
// Any k of the members that hold shares, a regulator always among them, and nobody else:
//
//	part key ◀─AES-256-GCM─ HKDF(Sr, So; custodian, record, part)
//	                              │   └ So: a scalar of ristretto255, split by Shamir (1979)
//	                              │         among the other holders; any k-1 of them give it
//	                              └ Sr: 32 random bytes, the same for every regulator
//
// Sr and So are drawn anew for every part. Less than k-1 shares of So say nothing of it,
// whatever one can compute; So without Sr and Sr without So are each no more of the key
// than a guess at 256 and 252 bits. A threshold over all members alike would let k members
// pass the regulator by; a share that weighs as much as all others can't be passed by.
//
// # What is held against what
//
//	Package   what everybody may see: who holds shares, k, the encrypted part keys, and a
//	          salted hash of each share. Its Digest stands in the record's anchor on the
//	          ledger, which the custodian signed: nobody can exchange a package later.
//	Share     one member's shares of one record. CheckShare holds each against its hash, so
//	          a bad one is known, with the name of who gave it, before anything is combined.
//	Combine   refuses what doesn't check, and gives a key that the part's own commitment
//	          (record.Part.KeyCommitment) then has to confirm.
//
// The commitments are hashes, and not Feldman's powers of a generator: those tell So to
// whoever takes a discrete logarithm, a quantum computer of the future for one. What hashes
// don't show is that the shares of a package fit together. A custodian could commit to
// shares that don't; it could as well escrow a wrong key, or nothing. It harms its own
// patients by that and learns nothing.
//
// The package is pure: it neither stores nor sends. gateway/share does (lodge, recover).
package escrow

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/secretsharing"

	"yitong/chaincode/record"
	"yitong/gateway/seal"
)

// field is the scalars that shares are made of: integers modulo a prime of 253 bits.
var field = group.Ristretto255

// valueSize is the length of a share, a scalar's or Sr's, in bytes.
const valueSize = 32

// Structure says who holds shares and how many it takes.
type Structure struct {
	// Threshold is k: how many members it takes, one of them a regulator.
	Threshold  int      `json:"threshold"`
	Regulators []string `json:"regulators"` // MSP ids, ascending; each holds the same
	Others     []string `json:"others"`     // MSP ids, ascending; the i-th holds So's polynomial at i+1
}

// DefaultThreshold is k where nobody says otherwise: a regulator and more than half of
// the others.
func DefaultThreshold(others int) int { return 1 + others/2 + 1 }

// Check refuses a structure that can't be met, or that a single member meets.
func (s Structure) Check() error {
	switch {
	case len(s.Regulators) == 0:
		return errors.New("there is no regulator to hold a share")
	case len(s.Others) == 0:
		return errors.New("there is no other member to hold a share")
	case s.Threshold < 2:
		return fmt.Errorf("a threshold of %d; it takes a regulator and at least one other member", s.Threshold)
	case s.Threshold > 1+len(s.Others):
		return fmt.Errorf("a threshold of %d can't be met: a regulator and %d other members hold shares", s.Threshold, len(s.Others))
	}
	seen := map[string]bool{}
	for _, names := range [][]string{s.Regulators, s.Others} {
		if !slices.IsSorted(names) {
			return errors.New("the holders are not in order")
		}
		for _, n := range names {
			if n == "" || seen[n] {
				return fmt.Errorf("holder %q is named twice, or has no name", n)
			}
			seen[n] = true
		}
	}
	return nil
}

// needs is how many shares of So it takes.
func (s Structure) needs() int { return s.Threshold - 1 }

// place is which share a member holds: 0 for a regulator's, i+1 for the i-th other's.
func (s Structure) place(member string) (int, bool) {
	if slices.Contains(s.Regulators, member) {
		return 0, true
	}
	i := slices.Index(s.Others, member)
	return i + 1, i >= 0
}

// Members are all that hold a share.
func (s Structure) Members() []string { return slices.Concat(s.Regulators, s.Others) }

// Holds says whether a member holds a share.
func (s Structure) Holds(member string) bool {
	_, ok := s.place(member)
	return ok
}

// IsRegulator says whether a member holds the share that it can't do without.
func (s Structure) IsRegulator(member string) bool { return slices.Contains(s.Regulators, member) }

// Package is what is known of a record's escrow to everybody who holds a share.
type Package struct {
	Custodian string `json:"custodian"` // MSP id
	Record    string `json:"record"`    // anchor id
	Structure
	Parts []Part      `json:"parts"` // all of the record, in order
	Salt  record.Salt `json:"salt"`  // of the digest
}

// Part is one part's key in escrow.
type Part struct {
	Key         []byte        `json:"key"`         // the part key under Sr and So, with tag; 48 bytes, base64
	Commitments []record.Hash `json:"commitments"` // of the shares: a regulator's, then the others' in order
}

// Digest is what the record's anchor carries (in hex): SHA-256 over a canonical encoding,
// salt first. Each list and field is preceded by its length.
func (p *Package) Digest() record.Hash {
	e := text(nil, "yitong escrow package v1")
	e = text(e, string(p.Salt[:]))
	e = text(text(e, p.Custodian), p.Record)
	e = number(e, p.Threshold)
	for _, names := range [][]string{p.Regulators, p.Others} {
		e = number(e, len(names))
		for _, n := range names {
			e = text(e, n)
		}
	}
	e = number(e, len(p.Parts))
	for _, part := range p.Parts {
		e = text(e, string(part.Key))
		e = number(e, len(part.Commitments))
		for _, c := range part.Commitments {
			e = text(e, string(c[:]))
		}
	}
	return sha256.Sum256(e)
}

// Check refuses a package that isn't formed as Split forms it.
func (p *Package) Check() error {
	if err := p.Structure.Check(); err != nil {
		return err
	}
	if len(p.Parts) == 0 || len(p.Parts) > record.MaxParts {
		return fmt.Errorf("the package has %d parts", len(p.Parts))
	}
	for i, part := range p.Parts {
		if len(part.Commitments) != 1+len(p.Others) || len(part.Key) != len(seal.Key{})+16 {
			return fmt.Errorf("part %d of the package is not formed as it should be", i)
		}
	}
	return nil
}

// Share is one member's shares of one record. Its JSON is for a key store that seals
// what it keeps, and for a message that is encrypted to one member.
type Share struct {
	Record string      `json:"record"` // anchor id
	Holder string      `json:"holder"` // MSP id of whose share it is
	Parts  []PartShare `json:"parts"`
}

// PartShare is the share of one part.
type PartShare struct {
	Part  int    `json:"part"`  // index
	Value []byte `json:"value"` // 32 bytes; base64
	Salt  []byte `json:"salt"`  // of its commitment, 32 bytes; base64
}

// Format writes a placeholder whatever the verb.
func (PartShare) Format(s fmt.State, _ rune) { io.WriteString(s, "escrow.PartShare(hidden)") }

// Covering is the share cut down to some parts: what else it holds stays where it is.
func (s Share) Covering(parts []int) Share {
	s.Parts = slices.DeleteFunc(slices.Clone(s.Parts), func(p PartShare) bool { return !slices.Contains(parts, p.Part) })
	return s
}

// Split puts the keys of a record's parts, in order, into escrow. It returns what may be
// seen, and one share for each regulator and each other member.
func Split(custodian, recordID string, s Structure, keys []seal.Key) (*Package, []Share, error) {
	if err := s.Check(); err != nil {
		return nil, nil, fmt.Errorf("escrow of record %s: %w", recordID, err)
	}
	p := &Package{Custodian: custodian, Record: recordID, Structure: s}
	rand.Read(p.Salt[:])
	shares := make([]Share, 1+len(s.Others)) // by place
	for i, key := range keys {
		so, values := s.draw()
		part := Part{}
		for place, value := range values {
			salt := make([]byte, sha256.Size)
			rand.Read(salt)
			part.Commitments = append(part.Commitments, p.commit(i, place, salt, value))
			shares[place].Parts = append(shares[place].Parts, PartShare{i, value, salt})
		}
		aead, err := p.aead(i, values[0], so)
		if err != nil {
			return nil, nil, err
		}
		part.Key = aead.Seal(nil, make([]byte, aead.NonceSize()), key[:], nil) // the key is used once
		p.Parts = append(p.Parts, part)
	}
	var all []Share
	for _, names := range [][]string{s.Regulators, s.Others} {
		for _, n := range names {
			place, _ := s.place(n)
			all = append(all, Share{Record: recordID, Holder: n, Parts: shares[place].Parts})
		}
	}
	return p, all, nil
}

// draw draws So, and the shares of one part: Sr, then So's polynomial at 1, 2, …
func (s Structure) draw() (so []byte, values [][]byte) {
	sr := make([]byte, valueSize)
	rand.Read(sr)
	values = append(values, sr)
	secret := field.RandomNonZeroScalar(rand.Reader)
	for _, share := range secretsharing.New(rand.Reader, uint(s.needs()-1), secret).Share(uint(len(s.Others))) {
		values = append(values, bytesOf(share.Value))
	}
	return bytesOf(secret), values
}

// BadShare names whose share of which part isn't what was committed to.
type BadShare struct {
	Holder string // MSP id
	Record string
	Part   int // -1 where the share as a whole isn't one
	What   string
}

func (b *BadShare) Error() string {
	if b.Part < 0 {
		return fmt.Sprintf("the share of %s in record %s is bad: %s", b.Holder, b.Record, b.What)
	}
	return fmt.Sprintf("the share of %s in part %d of record %s is bad: %s", b.Holder, b.Part, b.Record, b.What)
}

// CheckShare holds a member's share against the package: it has to hold the wanted parts,
// each once and none besides, each of them what was committed to. The error is a *BadShare.
func (p *Package) CheckShare(s Share, wanted []int) error {
	bad := func(part int, what string) error { return &BadShare{s.Holder, p.Record, part, what} }
	place, ok := p.place(s.Holder)
	if !ok {
		return bad(-1, "it holds none")
	}
	if s.Record != p.Record {
		return bad(-1, "it is of another record")
	}
	missing := slices.Clone(wanted)
	for _, one := range s.Parts {
		i := slices.Index(missing, one.Part)
		switch {
		case i < 0 || one.Part < 0 || one.Part >= len(p.Parts):
			return bad(one.Part, "nobody asked for this part, or it is there twice")
		case len(one.Value) != valueSize || place > 0 && !canonicalScalar(one.Value):
			return bad(one.Part, "it is not formed as a share")
		case p.commit(one.Part, place, one.Salt, one.Value) != p.Parts[one.Part].Commitments[place]:
			return bad(one.Part, "it is not what the custodian committed to")
		}
		missing = slices.Delete(missing, i, i+1)
	}
	if len(missing) > 0 {
		return bad(missing[0], "it is missing")
	}
	return nil
}

// Errors of Combine.
var (
	// ErrNoRegulator: without a regulator's share no number of others is enough.
	ErrNoRegulator = errors.New("no regulator's share is among them")
	// ErrTooFew: fewer than the threshold.
	ErrTooFew = errors.New("there are too few shares")
	// ErrPackage: the shares are those committed to, and they don't open the key. The
	// custodian put something else into escrow than it says.
	ErrPackage = errors.New("the shares are good, and what the custodian put into escrow doesn't open with them")
)

// Combine gives the key of a part from shares of it. Every share is checked first, so a
// bad one is an error that names it (*BadShare) and never a wrong key. Two shares of one
// holder count as one. Check the result against the part's key commitment; seal.Open does.
func (p *Package) Combine(part int, shares []Share) (seal.Key, error) {
	if part < 0 || part >= len(p.Parts) {
		return seal.Key{}, fmt.Errorf("record %s has no part %d", p.Record, part)
	}
	var sr []byte
	var others []secretsharing.Share
	taken := map[int]bool{}
	for _, s := range shares {
		s = s.Covering([]int{part})
		if err := p.CheckShare(s, []int{part}); err != nil {
			return seal.Key{}, err
		}
		place, _ := p.place(s.Holder)
		if taken[place] { // secretsharing panics on two shares of one id
			continue
		}
		taken[place] = true
		if place == 0 {
			sr = s.Parts[0].Value
			continue
		}
		others = append(others, secretsharing.Share{ID: field.NewScalar().SetUint64(uint64(place)), Value: scalarOf(s.Parts[0].Value)})
	}
	switch {
	case sr == nil:
		return seal.Key{}, ErrNoRegulator
	case len(others) < p.needs():
		return seal.Key{}, fmt.Errorf("%w: %d of %d members", ErrTooFew, 1+len(others), p.Threshold)
	}
	so, err := secretsharing.Recover(uint(p.needs()-1), others)
	if err != nil {
		return seal.Key{}, fmt.Errorf("combine shares: %w", err)
	}
	aead, err := p.aead(part, sr, bytesOf(so))
	if err != nil {
		return seal.Key{}, err
	}
	key, err := aead.Open(nil, make([]byte, aead.NonceSize()), p.Parts[part].Key, nil)
	if err != nil || len(key) != len(seal.Key{}) {
		return seal.Key{}, ErrPackage
	}
	defer clear(key)
	return seal.Key(key), nil
}

// aead is what a part's key is encrypted with.
func (p *Package) aead(part int, sr, so []byte) (cipher.AEAD, error) {
	info := text(nil, "yitong escrow key v1")
	info = number(text(text(info, p.Custodian), p.Record), part)
	key, err := hkdf.Key(sha256.New, slices.Concat(sr, so), nil, string(info), 32)
	if err != nil {
		return nil, fmt.Errorf("derive escrow key: %w", err)
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// commit is the salted hash of one share in its place.
func (p *Package) commit(part, place int, salt, value []byte) record.Hash {
	e := text(nil, "yitong escrow share v1")
	e = text(e, string(salt))
	e = text(text(e, p.Custodian), p.Record)
	e = number(number(e, part), place)
	return sha256.Sum256(text(e, string(value)))
}

func bytesOf(s group.Scalar) []byte {
	b, err := s.MarshalBinary()
	if err != nil {
		panic(err) // circl encodes a scalar it made itself
	}
	return b
}

// scalarOf reads a scalar that canonicalScalar accepts.
func scalarOf(b []byte) group.Scalar {
	s := field.NewScalar()
	if err := s.UnmarshalBinary(b); err != nil {
		panic(err)
	}
	return s
}

// canonicalScalar says whether these bytes are the one spelling of a scalar.
func canonicalScalar(b []byte) bool {
	s := field.NewScalar()
	return s.UnmarshalBinary(b) == nil && slices.Equal(bytesOf(s), b)
}

func text(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func number(b []byte, n int) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }
