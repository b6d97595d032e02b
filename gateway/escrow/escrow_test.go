package escrow_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/math/polynomial"
	"github.com/cloudflare/circl/secretsharing"
	"pgregory.net/rapid"

	"yitong/chaincode/record"
	"yitong/gateway/escrow"
	"yitong/gateway/seal"
)

const (
	custodian = "HospitalAMSP"
	recordID  = "cc0000000000000000000000000000cc"
)

func structure(regulators, others, threshold int) escrow.Structure {
	s := escrow.Structure{Threshold: threshold}
	for i := range regulators {
		s.Regulators = append(s.Regulators, fmt.Sprintf("Regulator%d", i))
	}
	for i := range others {
		s.Others = append(s.Others, fmt.Sprintf("Other%d", i))
	}
	return s
}

// lodged is a record in escrow, with what nobody but the test has together.
type lodged struct {
	pkg    *escrow.Package
	shares []escrow.Share
	keys   []seal.Key
}

func lodge(t rapid.TB, s escrow.Structure, parts int) lodged {
	l := lodged{keys: make([]seal.Key, parts)}
	for i := range l.keys {
		l.keys[i] = seal.NewKey()
	}
	var err error
	if l.pkg, l.shares, err = escrow.Split(custodian, recordID, s, l.keys); err != nil {
		t.Fatal(err)
	}
	if err := l.pkg.Check(); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l lodged) of(t rapid.TB, holder string) escrow.Share {
	i := slices.IndexFunc(l.shares, func(s escrow.Share) bool { return s.Holder == holder })
	if i < 0 {
		t.Fatalf("%s holds no share", holder)
	}
	return l.shares[i]
}

// Every set of members, of every structure: it opens the keys if and only if a regulator
// is in it and at least k-1 others are.
func TestASetOfMembersOpensTheKeysExactlyWhenItShould(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		others := rapid.IntRange(1, 5).Draw(t, "others")
		s := structure(rapid.IntRange(1, 2).Draw(t, "regulators"), others, rapid.IntRange(2, 1+others).Draw(t, "threshold"))
		l := lodge(t, s, 1)
		for set := range 1 << len(l.shares) {
			var shares []escrow.Share
			regulators, rest := 0, 0
			for i, share := range l.shares {
				if set>>i&1 == 0 {
					continue
				}
				shares = append(shares, share)
				if s.IsRegulator(share.Holder) {
					regulators++
				} else {
					rest++
				}
			}
			key, err := l.pkg.Combine(0, shares)
			switch enough := regulators > 0 && rest >= s.Threshold-1; {
			case enough && (err != nil || key != l.keys[0]):
				t.Fatalf("%d regulators and %d of %d others, k = %d: %v", regulators, rest, others, s.Threshold, err)
			case !enough && err == nil:
				t.Fatalf("%d regulators and %d of %d others, k = %d: it opened", regulators, rest, others, s.Threshold)
			case regulators == 0 && !errors.Is(err, escrow.ErrNoRegulator):
				t.Fatalf("without a regulator: %v", err)
			case regulators > 0 && !enough && !errors.Is(err, escrow.ErrTooFew):
				t.Fatalf("too few: %v", err)
			}
		}
	})
}

// What a regulator and k-2 others hold fits every secret alike: for any So whatsoever,
// drawn at random here, there are shares of the others that complete theirs to it, and
// exactly one polynomial. As the coefficients are drawn evenly, no So is more likely than
// another after seeing theirs. (Sr is drawn on its own, so all others together are where
// they would be if it were any other 32 bytes.)
func TestFewerThanTheThresholdHoldSharesThatFitEverySecret(t *testing.T) {
	field := group.Ristretto255
	rapid.Check(t, func(t *rapid.T) {
		others := rapid.IntRange(2, 6).Draw(t, "others")
		s := structure(1, others, rapid.IntRange(3, 1+others).Draw(t, "threshold"))
		l := lodge(t, s, 1)
		degree := s.Threshold - 2
		seen := rapid.Permutation(s.Others).Draw(t, "order")[:degree] // with the regulator: k-1 members
		any := field.RandomNonZeroScalar(rand.Reader)
		x, y := []group.Scalar{field.NewScalar()}, []group.Scalar{any}
		value := func(holder string) (id, v group.Scalar) {
			id, v = field.NewScalar().SetUint64(uint64(slices.Index(s.Others, holder)+1)), field.NewScalar()
			if err := v.UnmarshalBinary(l.of(t, holder).Parts[0].Value); err != nil {
				t.Fatal(err)
			}
			return id, v
		}
		for _, holder := range seen {
			id, v := value(holder)
			x, y = append(x, id), append(y, v)
		}
		completed := polynomial.NewLagrangePolynomial(x, y)
		if completed.Degree() != degree {
			t.Fatalf("degree %d, want %d", completed.Degree(), degree)
		}
		var shares []secretsharing.Share
		for i, holder := range s.Others {
			id := field.NewScalar().SetUint64(uint64(i + 1))
			share := secretsharing.Share{ID: id, Value: completed.Evaluate(id)}
			if _, v := value(holder); slices.Contains(seen, holder) && !v.IsEqual(share.Value) {
				t.Fatalf("the completion changes the share of %s, who is in the set", holder)
			}
			shares = append(shares, share)
		}
		// Whichever k-1 others combine, the completed shares give that So.
		for range 3 {
			i := rapid.IntRange(0, others-degree-1).Draw(t, "from")
			got, err := secretsharing.Recover(uint(degree), shares[i:i+degree+1])
			if err != nil || !got.IsEqual(any) {
				t.Fatalf("the completed shares give another secret: %v", err)
			}
		}
	})
}

// A share says as much about the secret as a coin: over many lodgings of one and the same
// key, no bit of any holder's share keeps to one side. (A mean of 400 throws of a fair coin
// lies outside 0.5 ± 0.2 about once in 10^15.) The three topmost bits of a scalar are left
// out: they follow from its being below the prime.
func TestTheSharesOfOneKeyAreNewEachTime(t *testing.T) {
	const lodgings = 400
	s, key := structure(1, 3, 3), seal.NewKey()
	counts := map[string][]int{}
	for range lodgings {
		_, shares, err := escrow.Split(custodian, recordID, s, []seal.Key{key})
		if err != nil {
			t.Fatal(err)
		}
		for _, share := range shares {
			if counts[share.Holder] == nil {
				counts[share.Holder] = make([]int, 252)
			}
			for bit := range counts[share.Holder] {
				counts[share.Holder][bit] += int(share.Parts[0].Value[bit/8] >> (bit % 8) & 1)
			}
		}
	}
	for holder, bits := range counts {
		for bit, n := range bits {
			if n < lodgings*3/10 || n > lodgings*7/10 {
				t.Errorf("bit %d of the share of %s was set %d times of %d", bit, holder, n, lodgings)
			}
		}
	}
}

func TestABadShareIsKnownAndNamed(t *testing.T) {
	l := lodge(t, structure(1, 3, 3), 2)
	alterations := map[string]func(s *escrow.Share){
		"a flipped bit":                func(s *escrow.Share) { s.Parts[0].Value[5] ^= 1 },
		"another salt":                 func(s *escrow.Share) { s.Parts[0].Salt[5] ^= 1 },
		"another holder's":             func(s *escrow.Share) { s.Parts = l.of(t, "Other2").Parts },
		"another part's":               func(s *escrow.Share) { s.Parts[0].Value = s.Parts[1].Value },
		"shorter":                      func(s *escrow.Share) { s.Parts[0].Value = s.Parts[0].Value[:31] },
		"nothing":                      func(s *escrow.Share) { s.Parts = nil },
		"one part too few":             func(s *escrow.Share) { s.Parts = s.Parts[:1] },
		"one part twice":               func(s *escrow.Share) { s.Parts = append(s.Parts, s.Parts[0]) },
		"a part that isn't there":      func(s *escrow.Share) { s.Parts[1].Part = 7 },
		"a part before the first":      func(s *escrow.Share) { s.Parts[1].Part = -1 },
		"another record's":             func(s *escrow.Share) { s.Record = strings.Repeat("0", 32) },
		"no scalar below the prime":    func(s *escrow.Share) { copy(s.Parts[0].Value, bytes.Repeat([]byte{0xff}, 32)) },
		"a second spelling of a share": func(s *escrow.Share) { copy(s.Parts[0].Value, plusOrder(s.Parts[0].Value)) },
	}
	for name, alter := range alterations {
		t.Run(name, func(t *testing.T) {
			s := clone(t, l.of(t, "Other1"))
			alter(&s)
			err := l.pkg.CheckShare(s, []int{0, 1})
			var bad *escrow.BadShare
			if !errors.As(err, &bad) || bad.Holder != "Other1" {
				t.Fatalf("got %v, want a bad share of Other1", err)
			}
		})
	}
	for holder := range map[string]bool{"Other1": true, "Regulator0": true} {
		s := clone(t, l.of(t, holder))
		s.Parts[1].Value[0] ^= 1
		shares := []escrow.Share{s}
		for _, other := range l.shares {
			if other.Holder != holder {
				shares = append(shares, other)
			}
		}
		_, err := l.pkg.Combine(1, shares)
		if !strings.Contains(fmt.Sprint(err), "the share of "+holder+" in part 1") {
			t.Errorf("combining with a bad share of %s: %v", holder, err)
		}
		if key, err := l.pkg.Combine(0, shares); err != nil || key != l.keys[0] {
			t.Errorf("the other part, whose share is good: %v", err)
		}
	}
	if err := l.pkg.CheckShare(escrow.Share{Record: recordID, Holder: "Stranger"}, []int{0}); err == nil {
		t.Error("a share of who holds none passed")
	}
}

// plusOrder adds the group's order 2^252 + 27742317777372353535851937790883648493, so that
// the bytes are another spelling of the same scalar.
func plusOrder(value []byte) []byte {
	order := []byte{0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 31: 0x10}
	sum, carry := make([]byte, 32), 0
	for i := range sum {
		n := int(value[i]) + int(order[i]) + carry
		sum[i], carry = byte(n), n>>8
	}
	return sum
}

func clone(t *testing.T, s escrow.Share) escrow.Share {
	t.Helper()
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var c escrow.Share
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOneMembersShareCountsOnce(t *testing.T) {
	l := lodge(t, structure(2, 3, 3), 1)
	r, o := l.of(t, "Regulator0"), l.of(t, "Other1")
	if _, err := l.pkg.Combine(0, []escrow.Share{r, o, o, o}); !errors.Is(err, escrow.ErrTooFew) {
		t.Errorf("one share three times: %v", err)
	}
	if _, err := l.pkg.Combine(0, []escrow.Share{r, l.of(t, "Regulator1"), o}); !errors.Is(err, escrow.ErrTooFew) {
		t.Errorf("two regulators hold one share: %v", err)
	}
}

// The digest is on the ledger: whatever is altered in a package alters it.
func TestAnAlteredPackageHasAnotherDigest(t *testing.T) {
	l := lodge(t, structure(2, 3, 3), 2)
	raw, err := json.Marshal(l.pkg)
	if err != nil {
		t.Fatal(err)
	}
	alterations := map[string]func(p *escrow.Package){
		"custodian":   func(p *escrow.Package) { p.Custodian = "HospitalBMSP" },
		"record":      func(p *escrow.Package) { p.Record = strings.Repeat("0", 32) },
		"threshold":   func(p *escrow.Package) { p.Threshold-- },
		"a regulator": func(p *escrow.Package) { p.Regulators = p.Regulators[:1] },
		"a regulator moved": func(p *escrow.Package) {
			p.Others, p.Regulators = append(p.Regulators[1:2:2], p.Others...), p.Regulators[:1]
		},
		"a holder":          func(p *escrow.Package) { p.Others[0] = "Stranger" },
		"order":             func(p *escrow.Package) { p.Others[0], p.Others[1] = p.Others[1], p.Others[0] },
		"a key":             func(p *escrow.Package) { p.Parts[1].Key[3] ^= 1 },
		"a commitment":      func(p *escrow.Package) { p.Parts[1].Commitments[2][3] ^= 1 },
		"parts exchanged":   func(p *escrow.Package) { p.Parts[0], p.Parts[1] = p.Parts[1], p.Parts[0] },
		"a part less":       func(p *escrow.Package) { p.Parts = p.Parts[:1] },
		"salt":              func(p *escrow.Package) { p.Salt[0] ^= 1 },
		"nothing (control)": func(p *escrow.Package) {},
	}
	seen := map[record.Hash]string{}
	for name, alter := range alterations {
		var p escrow.Package
		if err := json.Unmarshal(raw, &p); err != nil {
			t.Fatal(err)
		}
		alter(&p)
		if other, ok := seen[p.Digest()]; ok {
			t.Errorf("%q and %q have one digest", name, other)
		}
		seen[p.Digest()] = name
	}
	if seen[l.pkg.Digest()] != "nothing (control)" {
		t.Error("the digest doesn't survive JSON")
	}
}

// Two keys under one package: the encryption is bound to its part and record.
func TestAKeyDoesNotMoveToAnotherPart(t *testing.T) {
	l := lodge(t, structure(1, 2, 2), 2)
	l.pkg.Parts[0].Key, l.pkg.Parts[1].Key = l.pkg.Parts[1].Key, l.pkg.Parts[0].Key
	if _, err := l.pkg.Combine(0, l.shares); !errors.Is(err, escrow.ErrPackage) {
		t.Errorf("got %v", err)
	}
}

func TestAStructureThatCantBeMetIsRefused(t *testing.T) {
	twice := structure(1, 3, 3)
	twice.Others[1] = twice.Others[0]
	for name, s := range map[string]escrow.Structure{
		"no regulator":              structure(0, 3, 3),
		"nobody but a regulator":    structure(1, 0, 2),
		"a regulator alone":         structure(1, 3, 1),
		"more than hold shares":     structure(1, 3, 5),
		"one holder twice":          twice,
		"a regulator on both lists": {Threshold: 2, Regulators: []string{"A"}, Others: []string{"A"}},
	} {
		if _, _, err := escrow.Split(custodian, recordID, s, []seal.Key{seal.NewKey()}); err == nil {
			t.Errorf("%s: it was split", name)
		}
	}
	for others, want := range map[int]int{1: 2, 2: 3, 3: 3, 4: 4, 5: 4} {
		if got := escrow.DefaultThreshold(others); got != want || structure(1, others, got).Check() != nil {
			t.Errorf("%d others: k = %d, want %d", others, got, want)
		}
	}
}

func TestAShareShowsNothingOfItselfInALog(t *testing.T) {
	l := lodge(t, structure(1, 2, 2), 1)
	s := l.shares[0]
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if got := fmt.Sprintf(verb, s); strings.Contains(got, fmt.Sprintf("%x", s.Parts[0].Value)) || !strings.Contains(got, "hidden") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// What lodging costs beside sealing: a record of 20 parts, with four members and with ten.
func BenchmarkSplit(b *testing.B) {
	for _, others := range []int{2, 8} {
		b.Run(fmt.Sprintf("parts=20/others=%d", others), func(b *testing.B) {
			s, keys := structure(1, others, escrow.DefaultThreshold(others)), make([]seal.Key, 20)
			for b.Loop() {
				if _, _, err := escrow.Split(custodian, recordID, s, keys); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCombine(b *testing.B) {
	for _, others := range []int{2, 8} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			pkg, shares, err := escrow.Split(custodian, recordID, structure(1, others, escrow.DefaultThreshold(others)), []seal.Key{seal.NewKey()})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := pkg.Combine(0, shares); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
