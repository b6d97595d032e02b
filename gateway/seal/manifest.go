package seal

import (
	"crypto/rand"
	"crypto/sha256"

	"yitong/chaincode/record"
)

// Manifest says what goes to a requester for one permit: which parts of which
// records, proved to belong to their anchors. The ledger's release carries its
// Digest and nothing else of it; the salt keeps the digest from being guessed.
//
// The digest is fixed before the release is committed, the wrapped keys are made
// after: so the digest doesn't cover them, the custodian's signature does. A
// retry wraps the same keys anew under the same digest.
//
// JSON is the wire form; what is hashed and signed is a canonical binary
// encoding of the fields, so that no difference in JSON matters.
type Manifest struct {
	Permit    string         `json:"permit"`    // access id
	Custodian string         `json:"custodian"` // MSP id
	Requester string         `json:"requester"` // MSP id
	Expires   record.Instant `json:"expires"`   // of the permit
	Records   []Content      `json:"records"`
	Salt      record.Salt    `json:"salt"`
	Signing   string         `json:"signing,omitempty"`   // id of the key that signed
	Signature []byte         `json:"signature,omitempty"` // Ed25519, 64 bytes; base64
}

// Content is what a manifest takes of one record.
type Content struct {
	Anchor string      `json:"anchor"` // id
	Root   record.Hash `json:"root"`
	Total  int         `json:"total"` // parts the record has; the requester sees only those listed
	Parts  []Shared    `json:"parts"`
}

// Shared is one part that goes to the requester.
type Shared struct {
	Part    record.Part  `json:"part"`
	Proof   record.Proof `json:"proof"`             // of Part.Leaf in the anchor's root
	Wrapped *Wrapped     `json:"wrapped,omitempty"` // nil until the release is committed
}

// NewManifest begins one with a fresh salt.
func NewManifest(permit, custodian, requester string, expires record.Instant) *Manifest {
	m := &Manifest{Permit: permit, Custodian: custodian, Requester: requester, Expires: expires, Records: []Content{}}
	rand.Read(m.Salt[:])
	return m
}

// Digest is what the ledger's release carries (in hex): SHA-256 over the
// canonical encoding of all but the wrapped keys and the signature, salt first.
func (m *Manifest) Digest() record.Hash { return sha256.Sum256(m.encode("yitong manifest v1", false)) }

// encode writes the manifest under a label, with or without the wrapped keys. A
// part and its place are in it by the leaf, which commits to all of a part.
func (m *Manifest) encode(label string, wrapped bool) encoding {
	e := canonical(label).bytes(m.Salt[:]).
		text(m.Permit).text(m.Custodian).text(m.Requester).number(int64(m.Expires)).
		number(int64(len(m.Records)))
	for _, r := range m.Records {
		e = e.text(r.Anchor).bytes(r.Root[:]).number(int64(r.Total)).number(int64(len(r.Parts)))
		for _, s := range r.Parts {
			leaf := s.Part.Leaf()
			e = e.number(int64(s.Part.Index)).bytes(leaf[:])
			e = e.number(int64(s.Proof.Index)).number(int64(len(s.Proof.Path)))
			for _, h := range s.Proof.Path {
				e = e.bytes(h[:])
			}
			if wrapped {
				e = s.Wrapped.encode(e)
			}
		}
	}
	return e
}

func (w *Wrapped) encode(e encoding) encoding {
	if w == nil {
		return e.number(0)
	}
	return e.number(1).text(w.Key).bytes(w.Enc).bytes(w.Ciphertext)
}

// Add puts parts of one record into the manifest. parts are all parts of the
// record in their order (parts[i].Index is i), chosen the ascending indices of
// those that go to the requester.
// It panics on an index that isn't one of parts.
func (m *Manifest) Add(anchor string, parts []record.Part, chosen []int) {
	leaves := record.Leaves(parts)
	c := Content{Anchor: anchor, Root: record.Root(leaves), Total: len(parts), Parts: []Shared{}}
	for _, i := range chosen {
		c.Parts = append(c.Parts, Shared{Part: parts[i], Proof: record.Prove(leaves, i)})
	}
	m.Records = append(m.Records, c)
}

// Context is what the key of one part of this manifest is wrapped under.
func (m *Manifest) Context(anchor string, part int) Context {
	return Context{
		Permit: m.Permit, Release: m.Digest().String(), Record: anchor, Part: part,
		Custodian: m.Custodian, Requester: m.Requester, Expires: m.Expires,
	}
}

// Wrap wraps the key of every part to the requester; key finds it. To be called
// once the release is committed, and before Sign.
func (m *Manifest) Wrap(to PublicKey, key func(anchor string, part int) (Key, error)) error {
	for i := range m.Records {
		r := &m.Records[i]
		for j := range r.Parts {
			s := &r.Parts[j]
			k, err := key(r.Anchor, s.Part.Index)
			if err != nil {
				return err
			}
			if k.Commitment() != s.Part.KeyCommitment {
				return &PartError{Record: r.Anchor, Part: s.Part.Index, Segment: -1, Err: ErrKey}
			}
			w, err := Wrap(to, m.Context(r.Anchor, s.Part.Index), k)
			if err != nil {
				return err
			}
			s.Wrapped = &w
		}
	}
	return nil
}
