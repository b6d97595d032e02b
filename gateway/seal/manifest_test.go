package seal_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/seal"
)

// shared is one release: two records of five and one parts, of which three go.
type shared struct {
	manifest *seal.Manifest
	keys     map[string]map[int]seal.Key
	anchors  map[string]record.Anchor
	signing  seal.SigningKey
	priv     seal.PrivateKey
}

const (
	recordA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	recordB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func share(t testing.TB) *shared {
	s := &shared{
		manifest: seal.NewManifest("0f000000000000000000000000000001", "HospitalAMSP", "InsurerMSP", 1795000000),
		keys:     map[string]map[int]seal.Key{},
		anchors:  map[string]record.Anchor{},
		signing:  seal.GenerateSigningKey(),
		priv:     pair(t),
	}
	s.anchor(t, recordA, 5, 1, 4)
	s.anchor(t, recordB, 1, 0)
	s.wrap(t)
	return s
}

func (s *shared) anchor(t testing.TB, id string, n int, chosen ...int) {
	keys := map[int]seal.Key{}
	parts := make([]record.Part, n)
	for i := range parts {
		keys[i] = seal.NewKey()
		parts[i] = record.Part{
			Index: i, Class: record.Class(i + 1), Labels: record.LabelsOf(record.HIV), Period: record.Period{Start: 5, End: 9},
			SealedSize: 100 + int64(i), SealedDigest: record.Hash{byte(i), 2}, KeyCommitment: keys[i].Commitment(), Salt: record.Salt{byte(i), 1},
		}
	}
	root := record.Root(record.Leaves(parts))
	a, err := record.New(id, "HospitalAMSP", root, n, 1000, 1794000000)
	if err != nil {
		t.Fatal(err)
	}
	s.anchors[id], s.keys[id] = a, keys
	s.manifest.Add(id, parts, chosen)
}

func (s *shared) wrap(t testing.TB) {
	err := s.manifest.Wrap(s.priv.Public(), func(anchor string, part int) (seal.Key, error) {
		return s.keys[anchor][part], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.manifest.Sign(s.signing)
}

func (s *shared) evidence(digest record.Hash) seal.Evidence {
	return seal.Evidence{
		Permit: s.manifest.Permit, Custodian: "HospitalAMSP", Requester: "InsurerMSP", Expires: 1795000000,
		Manifest: digest, Signing: s.signing.Public(),
		Anchor: func(id string) (record.Anchor, bool, error) {
			a, ok := s.anchors[id]
			return a, ok, nil
		},
	}
}

func TestAManifestVerifiesAndItsKeysUnwrapAfterTheWire(t *testing.T) {
	s := share(t)
	doc, err := json.Marshal(s.manifest)
	if err != nil {
		t.Fatal(err)
	}
	var m seal.Manifest
	if err := json.Unmarshal(doc, &m); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(s.manifest, &m); d != "" {
		t.Error(d)
	}
	if again, _ := json.Marshal(&m); string(again) != string(doc) {
		t.Error("JSON isn't stable")
	}
	if err := m.Verify(s.evidence(s.manifest.Digest())); err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, r := range m.Records {
		for _, p := range r.Parts {
			k, err := seal.Unwrap(s.priv, m.Context(r.Anchor, p.Part.Index), *p.Wrapped)
			if err != nil || k != s.keys[r.Anchor][p.Part.Index] {
				t.Errorf("part %d of %s: %v", p.Part.Index, r.Anchor, err)
			}
			opened++
		}
	}
	if opened != 3 {
		t.Errorf("%d parts", opened)
	}
}

func TestVerifyNamesTheFirstThingThatDoesNotMatch(t *testing.T) {
	other := seal.GenerateSigningKey()
	whole := seal.Mismatch{Part: -1}
	cases := []struct {
		name string
		// change alters manifest and evidence; the custodian then signs again
		// if resign, and the ledger carries the changed digest if released.
		change           func(*shared, *seal.Evidence)
		resign, released bool
		want             seal.Mismatch
	}{
		{"a signature by a key that isn't registered", func(s *shared, e *seal.Evidence) { s.manifest.Sign(other) }, false, true, whole},
		{"a signature by another key under the registered key's id", func(s *shared, e *seal.Evidence) {
			s.manifest.Sign(other)
			s.manifest.Signing = s.signing.Public().ID()
		}, false, true, whole},
		{"no signature", func(s *shared, e *seal.Evidence) { s.manifest.Signature = nil }, false, true, whole},
		{"no registered key", func(s *shared, e *seal.Evidence) { e.Signing = seal.VerifyingKey{} }, false, true, whole},
		{"a wrapped key exchanged after signing", func(s *shared, e *seal.Evidence) {
			p := s.manifest.Records[0].Parts
			p[0].Wrapped, p[1].Wrapped = p[1].Wrapped, p[0].Wrapped
		}, false, true, whole},
		{"a class changed after signing", func(s *shared, e *seal.Evidence) { s.manifest.Records[0].Parts[0].Part.Class = record.Imaging }, false, true, whole},
		{"another permit", func(s *shared, e *seal.Evidence) { e.Permit = "x" }, true, true, whole},
		{"another custodian", func(s *shared, e *seal.Evidence) { e.Custodian = "x" }, true, true, whole},
		{"another requester", func(s *shared, e *seal.Evidence) { e.Requester = "x" }, true, true, whole},
		{"another expiry", func(s *shared, e *seal.Evidence) { e.Expires++ }, true, true, whole},
		{"a part more than the release on the ledger covers", func(s *shared, e *seal.Evidence) {
			r := &s.manifest.Records[0]
			r.Parts = append(r.Parts, r.Parts[1])
		}, true, false, whole},
		{"another salt", func(s *shared, e *seal.Evidence) { s.manifest.Salt[0]++ }, true, false, whole},
		{"a record that isn't on the ledger", func(s *shared, e *seal.Evidence) { delete(s.anchors, recordB) }, true, true, seal.Mismatch{Record: recordB, Part: -1}},
		{"a retracted record", func(s *shared, e *seal.Evidence) {
			a, _ := s.anchors[recordB].Retract("HospitalAMSP", record.EnteredInError, 1794000001)
			s.anchors[recordB] = a
		}, true, true, seal.Mismatch{Record: recordB, Part: -1}},
		{"another custodian's record", func(s *shared, e *seal.Evidence) {
			a := s.anchors[recordA]
			a.Custodian = "HospitalBMSP"
			s.anchors[recordA] = a
		}, true, true, seal.Mismatch{Record: recordA, Part: -1}},
		{"another root", func(s *shared, e *seal.Evidence) { s.manifest.Records[1].Root[0]++ }, true, true, seal.Mismatch{Record: recordB, Part: -1}},
		{"another number of parts", func(s *shared, e *seal.Evidence) { s.manifest.Records[0].Total++ }, true, true, seal.Mismatch{Record: recordA, Part: -1}},
		{"a record twice", func(s *shared, e *seal.Evidence) {
			s.manifest.Records = append(s.manifest.Records, s.manifest.Records[0])
		}, true, true, seal.Mismatch{Record: recordA, Part: -1}},
		{"a part relabelled", func(s *shared, e *seal.Evidence) { s.manifest.Records[0].Parts[1].Part.Labels = 0 }, true, true, seal.Mismatch{Record: recordA, Part: 4}},
		{"a part with another digest", func(s *shared, e *seal.Evidence) {
			s.manifest.Records[0].Parts[1].Part.SealedDigest[31]++
		}, true, true, seal.Mismatch{Record: recordA, Part: 4}},
		{"a part with another key commitment", func(s *shared, e *seal.Evidence) {
			s.manifest.Records[0].Parts[0].Part.KeyCommitment[0]++
		}, true, true, seal.Mismatch{Record: recordA, Part: 1}},
		{"another part's proof", func(s *shared, e *seal.Evidence) {
			p := s.manifest.Records[0].Parts
			p[0].Proof = p[1].Proof
		}, true, true, seal.Mismatch{Record: recordA, Part: 1}},
		{"a proof without a step", func(s *shared, e *seal.Evidence) {
			p := &s.manifest.Records[0].Parts[0].Proof
			p.Path = p.Path[1:]
		}, true, true, seal.Mismatch{Record: recordA, Part: 1}},
		{"a part twice", func(s *shared, e *seal.Evidence) {
			r := &s.manifest.Records[0]
			r.Parts = append(r.Parts[:1], r.Parts[0])
		}, true, true, seal.Mismatch{Record: recordA, Part: 1}},
		{"a missing key", func(s *shared, e *seal.Evidence) { s.manifest.Records[0].Parts[0].Wrapped = nil }, true, true, seal.Mismatch{Record: recordA, Part: 1}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := share(t)
			e := s.evidence(s.manifest.Digest())
			c.change(s, &e)
			if c.resign {
				s.manifest.Sign(s.signing)
			}
			if c.released {
				e.Manifest = s.manifest.Digest()
			}
			err := s.manifest.Verify(e)
			var m *seal.Mismatch
			if !errors.As(err, &m) {
				t.Fatalf("got %v", err)
			}
			if m.Record != c.want.Record || m.Part != c.want.Part {
				t.Errorf("got %v", m)
			}
			t.Log(m)
		})
	}
}

func TestWhatWasErasedSinceIsNoLieOfTheCustodians(t *testing.T) {
	for _, parts := range [][]int{nil, {4}} {
		s := share(t)
		a, err := s.anchors[recordA].Erase("HospitalAMSP", parts, record.PatientRequest, nil, 1794000001)
		if err != nil {
			t.Fatal(err)
		}
		s.anchors[recordA] = a
		var mismatch *seal.Mismatch
		if err := s.manifest.Verify(s.evidence(s.manifest.Digest())); !errors.Is(err, refusal.New(record.Gone, "", "")) || errors.As(err, &mismatch) {
			t.Errorf("parts %v erased: %v", parts, err)
		}
	}
}

func TestRewrappingKeepsTheDigest(t *testing.T) {
	s := share(t)
	before, wrapped := s.manifest.Digest(), *s.manifest.Records[0].Parts[0].Wrapped
	s.wrap(t)
	if s.manifest.Digest() != before {
		t.Error("the ledger's release no longer covers it")
	}
	if cmp.Equal(wrapped, *s.manifest.Records[0].Parts[0].Wrapped) {
		t.Error("the same wrapped key twice: HPKE used no fresh randomness")
	}
	if err := s.manifest.Verify(s.evidence(before)); err != nil {
		t.Error(err)
	}
}

func TestTheDigestIsSalted(t *testing.T) {
	a := seal.NewManifest("p", "c", "r", 1)
	b := seal.NewManifest("p", "c", "r", 1)
	if a.Digest() == b.Digest() {
		t.Error("the digest of a known manifest can be guessed")
	}
}

// The digest is on the ledger for ever: its encoding is frozen here, by a value
// that another implementation computed.
func TestTheDigestIsFrozen(t *testing.T) {
	m := &seal.Manifest{Permit: "p", Custodian: "c", Requester: "r", Expires: 1795000000, Records: []seal.Content{{Anchor: "a", Total: 7}}}
	for i := range m.Salt {
		m.Salt[i] = byte(i)
	}
	const want = "28d766827660893ce37f8c85d8d445b4eb215472c62d7e78ae02aa8d38020de0"
	if got := m.Digest().String(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestAManifestWrapsOnlyTheAnchoredKey(t *testing.T) {
	s := share(t)
	err := s.manifest.Wrap(s.priv.Public(), func(string, int) (seal.Key, error) { return seal.NewKey(), nil })
	if !errors.Is(err, seal.ErrKey) {
		t.Errorf("got %v", err)
	}
}

func TestSigningKeysSurviveTheirEncoding(t *testing.T) {
	key := seal.GenerateSigningKey()
	k, err := seal.ParseSigningKey(key.Bytes())
	if err != nil || k.Public().ID() != key.Public().ID() {
		t.Error("the signing key changed on its way", err)
	}
	v, err := seal.ParseVerifyingKey(key.Public().Bytes())
	if err != nil || v.ID() != key.Public().ID() {
		t.Error("the verifying key changed on its way", err)
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := seal.ParseSigningKey(make([]byte, n)); err == nil {
			t.Errorf("seed of %d bytes", n)
		}
		if _, err := seal.ParseVerifyingKey(make([]byte, n)); err == nil {
			t.Errorf("key of %d bytes", n)
		}
	}
}
