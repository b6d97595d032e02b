package share_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/keys"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

// study submits a file of so many random bytes at hospital A, as imaging.
func (c *consortium) study(size int) (share.Record, []byte) {
	c.t.Helper()
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{7}).Read(content)
	r, _, err := c.gateways[hospitalA].Submit(c.t.Context(), share.Submission{Patient: chen, MediaType: "video/mp4", Class: record.Laboratory}, bytes.NewReader(content))
	if err != nil {
		c.t.Fatal(err)
	}
	return r, content
}

// kept counts what lies in a member's vault.
func (c *consortium) kept(msp string) (n int) {
	c.t.Helper()
	for _, err := range c.gateways[msp].Vault.List(c.t.Context()) {
		if err != nil {
			c.t.Fatal(err)
		}
		n++
	}
	return n
}

func (c *consortium) contents(msp string, q share.ContentQuery) []share.Content {
	c.t.Helper()
	all, _, err := c.gateways[msp].Contents(c.t.Context(), q, "", 0)
	if err != nil {
		c.t.Fatal(err)
	}
	return all
}

func (c *consortium) read(msp string, of share.Content, off, n int64) ([]byte, error) {
	r, err := c.gateways[msp].ReadContent(c.t.Context(), of.Custodian, of.Access, of.Record, of.Part.Index, off, n)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = r.WriteTo(&b)
	return b.Bytes(), err
}

// opened is a consortium in which the insurer has opened a file of three segments.
func openedStudy(t *testing.T) (c *consortium, of share.Content, a access.Access, content []byte) {
	t.Helper()
	c = newConsortium(t)
	c.tick()
	_, content = c.study(5<<20 + 4711)
	c.grant(toPayers())
	a = c.request(record.Laboratory)
	c.opens(a)
	all := c.contents(insurer, share.ContentQuery{})
	if len(all) != 1 {
		t.Fatalf("%d contents can be read", len(all))
	}
	return c, all[0], a, content
}

func TestWhatWasOpenedIsReadAgainInAnyRange(t *testing.T) {
	c, of, a, content := openedStudy(t)
	if of.Access != a.ID || of.Custodian != hospitalA || of.Part.ContentSize != int64(len(content)) || of.Until != a.Expires {
		t.Errorf("the content is listed as %+v", of)
	}
	size := int64(len(content))
	for _, at := range [][2]int64{{0, 0}, {0, size}, {0, 1}, {size - 1, 1}, {size, 0}, {size + 5, 3}, {1<<20 - 57, 2}, {1<<20 - 56, 1}, {1 << 20, 3 << 20}, {2<<20 + 17, 0}, {17, size}} {
		want := content[min(at[0], size):]
		if at[1] > 0 {
			want = want[:min(at[1], int64(len(want)))]
		}
		got, err := c.read(insurer, of, at[0], at[1])
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes from %d on: %d bytes, %v", at[1], at[0], len(got), err)
		}
	}
	for _, q := range []share.ContentQuery{{Patient: &chen}, {Access: a.ID}, {Custodian: "HospitalA"}} {
		if all := c.contents(insurer, q); len(all) != 1 {
			t.Errorf("%+v finds %d contents", q, len(all))
		}
	}
	stranger := share.Patient{System: chen.System, Value: "MRN-0043"}
	for _, q := range []share.ContentQuery{{Patient: &stranger}, {Access: share.NewID()}, {Custodian: "HospitalB"}} {
		if all := c.contents(insurer, q); len(all) != 0 {
			t.Errorf("%+v finds %d contents", q, len(all))
		}
	}
	own := c.contents(hospitalA, share.ContentQuery{Patient: &chen})
	if len(own) != 1 || own[0].Custodian != "" || *own[0].Patient != chen || own[0].Part.Content != of.Part.Content {
		t.Fatalf("the hospital's own are %+v", own)
	}
	if got, err := c.read(hospitalA, own[0], 100, 1<<20); err != nil || !bytes.Equal(got, content[100:100+1<<20]) {
		t.Errorf("of its own the hospital reads %d bytes, %v", len(got), err)
	}
	if _, err := c.read(hospitalB, own[0], 0, 0); err == nil {
		t.Error("another hospital reads it")
	}
}

// A copy is read only as long as it could be released, and then there is nothing left of it.
func TestACopyEndsWithWhatItRestsOn(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(c *consortium, of share.Content)
		want refusal.Code
		read bool // the read finds out; otherwise it is gone before
	}{
		"the consent is withdrawn":   {func(c *consortium, _ share.Content) { c.withdraw(); c.ledger.Advance(2 * time.Second) }, refusal.ConsentChanged, true},
		"the permit expires":         {func(c *consortium, _ share.Content) { c.ledger.Advance(25 * time.Hour); c.tick() }, refusal.Expired, true},
		"the requester is suspended": {func(c *consortium, _ share.Content) { c.suspend(insurer); c.ledger.Advance(2 * time.Second) }, refusal.MemberSuspended, true},
		"the record is erased": {func(c *consortium, of share.Content) {
			if _, err := c.gateways[hospitalA].Erase(c.t.Context(), of.Record, record.PatientRequest, nil); err != nil {
				c.t.Fatal(err)
			}
			c.tick() // until then the insurer's own gateway isn't told
		}, record.Gone, false},
		"the record is erased and nobody tells": {func(c *consortium, of share.Content) {
			c.cut = map[string]bool{insurer: true}
			if _, err := c.gateways[hospitalA].Erase(c.t.Context(), of.Record, record.PatientRequest, nil); err != nil {
				c.t.Fatal(err)
			}
			c.ledger.Advance(2 * time.Second)
		}, record.Gone, true},
	} {
		t.Run(name, func(t *testing.T) {
			c, of, _, _ := openedStudy(t)
			if _, err := c.read(insurer, of, 0, 10); err != nil {
				t.Fatalf("before, it can't be read: %v", err)
			}
			// The copy's entry is the longest by far; others, which hold no key, stay or change.
			ever := slices.DeleteFunc(sealedKeys(t, insurer), func(v []byte) bool { return len(v) < 500 })
			if len(ever) != 1 {
				t.Fatalf("%d entries could be the copy's", len(ever))
			}
			tc.end(c, of)
			if !tc.read && c.kept(insurer) != 0 {
				t.Error("sealed parts are left before anybody reads")
			}
			_, err := c.read(insurer, of, 0, 10)
			wantRefusal(t, err, tc.want)
			if n := c.kept(insurer); n != 0 {
				t.Errorf("%d sealed parts are left", n)
			}
			if n := leftBehind(t, insurer, ever); n != 0 {
				t.Errorf("%d values that were deleted are in the key store's file", n)
			}
			if all := c.contents(insurer, share.ContentQuery{}); len(all) != 0 {
				t.Errorf("%d contents are listed", len(all))
			}
		})
	}
}

func TestACopyIsNotReadOnAnOldViewOfTheLedger(t *testing.T) {
	c, of, _, content := openedStudy(t)
	c.ledger.Advance(10 * time.Minute)
	_, err := c.read(insurer, of, 0, 10)
	wantRefusal(t, err, refusal.StaleClock)
	for range 10 { // each member has its turn
		c.ledger.Advance(15 * time.Second)
		c.tick()
	}
	if got, err := c.read(insurer, of, 0, 10); err != nil || !bytes.Equal(got, content[:10]) {
		t.Errorf("once the minutes are closed again: %v", err)
	}
}

func TestASweepAtTheStartDeletesWhatIsOver(t *testing.T) {
	c, _, _, _ := openedStudy(t)
	dir := filepath.Join(t.TempDir(), "vault")
	if err := c.gateways[insurer].SweepCopies(t.Context()); err != nil || c.kept(insurer) == 0 {
		t.Fatalf("what stands is swept: %v", err)
	}
	c.withdraw()
	if err := c.gateways[insurer].SweepCopies(t.Context()); err != nil || c.kept(insurer) != 0 {
		t.Errorf("after the withdrawal %d sealed parts are left, %v", c.kept(insurer), err)
	}
	c.revive(insurer, dir)
}

// Nothing is listed that reading would refuse: a list would promise it, and $everything end in it.
func TestWhatAWithdrawalEndedIsNotListed(t *testing.T) {
	c, _, _, _ := openedStudy(t)
	listed := func() int {
		t.Helper()
		page, _, err := c.gateways[insurer].Contents(t.Context(), share.ContentQuery{}, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(page)
	}
	if listed() == 0 {
		t.Fatal("what was opened isn't listed")
	}
	c.withdraw()
	c.ledger.Advance(2 * time.Second)
	if n := listed(); n != 0 || c.kept(insurer) != 0 {
		t.Errorf("after the withdrawal %d are listed, %d sealed parts are left", n, c.kept(insurer))
	}
}

func TestTwoPermitsShareOneCopy(t *testing.T) {
	c, of, _, content := openedStudy(t)
	one := c.kept(insurer)
	b := c.request(record.Laboratory)
	c.opens(b)
	if n := c.kept(insurer); n != one {
		t.Errorf("%d sealed parts are kept, not %d", n, one)
	}
	if all := c.contents(insurer, share.ContentQuery{}); len(all) != 2 {
		t.Fatalf("%d contents are listed", len(all))
	}
	of.Access = b.ID
	if got, err := c.read(insurer, of, 0, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("under the other permit: %v", err)
	}
	of.Access = share.NewID()
	_, err := c.read(insurer, of, 0, 0)
	wantRefusal(t, err, refusal.NotFound)
}

func TestWithCopiesOffNothingIsKept(t *testing.T) {
	c := newConsortium(t)
	c.revive(insurer, filepath.Join(t.TempDir(), "vault"), func(conf *share.Config) { conf.NoCopies = true })
	c.tick()
	_, content := c.study(3 << 20)
	c.grant(toPayers())
	a := c.request(record.Laboratory)
	if got := c.opens(a)[record.Laboratory]; !bytes.Equal(got.Bytes(), content) {
		t.Error("something else was opened")
	}
	if n := c.kept(insurer); n != 0 {
		t.Errorf("%d sealed parts are kept", n)
	}
}

// tamperedVault changes what is read from a vault.
type tamperedVault struct {
	vault.Vault
	change func([]byte) []byte
}

func (v tamperedVault) Range(ctx context.Context, name vault.Name, want vault.Sum, off, n int64) (io.ReadCloser, error) {
	r, err := v.Vault.Range(ctx, name, want, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(v.change(raw))), nil
}

// A22, for copies: whoever runs the store changes what lies there.
func TestAChangedCopyIsNeverRead(t *testing.T) {
	const mib = 1 << 20
	for name, change := range map[string]func([]byte) []byte{
		"a bit of the header":              func(b []byte) []byte { b[3] ^= 1; return b },
		"a bit of the content":             func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"a bit of the last tag":            func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"cut within a segment":             func(b []byte) []byte { return b[:len(b)-1] },
		"cut exactly between two segments": func(b []byte) []byte { return b[:(len(b)-1)/mib*mib] },
		"two segments swapped": func(b []byte) []byte {
			if len(b) < 4*mib {
				return b[:0]
			}
			return slices.Concat(b[:mib], b[2*mib:3*mib], b[mib:2*mib], b[3*mib:])
		},
		"a segment twice": func(b []byte) []byte {
			if len(b) < 4*mib {
				return b[:0]
			}
			return slices.Concat(b[:2*mib], b[mib:2*mib], b[3*mib:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, of, _, content := openedStudy(t)
			g := c.gateways[insurer]
			if got, err := c.read(insurer, of, 0, 0); err != nil || !bytes.Equal(got, content) {
				t.Fatalf("unchanged, it can't be read: %v", err)
			}
			sound := g.Vault
			g.Vault = tamperedVault{sound, change}
			defer func() { g.Vault = sound }()
			got, err := c.read(insurer, of, 0, 0)
			if err == nil {
				t.Error("it was read to its end")
			}
			if len(got) > 0 && !bytes.HasPrefix(content, got) {
				t.Error("bytes that weren't sealed were read")
			}
		})
	}
}

// A transfer that broke off, and a gateway that was killed, go on where they were.
func TestAnOpeningThatBrokeOffGoesOnWhereItWas(t *testing.T) {
	c := newConsortium(t)
	dir := filepath.Join(t.TempDir(), "vault")
	c.revive(insurer, dir)
	c.tick()
	_, content := c.study(6 << 20)
	c.grant(toPayers())
	a := c.request(record.Laboratory)
	broken := errors.New("the line is cut")
	taken := &bytes.Buffer{}
	_, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, func(string, record.Part) (io.Writer, error) {
		return writerOf(func(b []byte) (int, error) {
			if taken.Len() > 2<<20 {
				return 0, broken
			}
			return taken.Write(b)
		}), nil
	})
	if !errors.Is(err, broken) {
		t.Fatalf("it opened with %v", err)
	}
	if n := c.kept(insurer); n != 1 {
		t.Fatalf("%d segments are kept of what has come: the test shows nothing", n)
	}
	if all := c.contents(insurer, share.ContentQuery{}); len(all) != 0 {
		t.Errorf("what hasn't all come is listed: %+v", all)
	}
	c.die(insurer, dir)
	c.revive(insurer, dir)
	if n := c.kept(insurer); n != 1 {
		t.Fatalf("after the restart %d segments are kept", n)
	}
	if got := c.opens(a)[record.Laboratory]; !bytes.Equal(got.Bytes(), content) {
		t.Error("what was opened in the end isn't what was submitted")
	}
	of := c.contents(insurer, share.ContentQuery{})[0]
	if got, err := c.read(insurer, of, 0, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("read again: %v", err)
	}
}

type writerOf func([]byte) (int, error)

func (f writerOf) Write(b []byte) (int, error) { return f(b) }

func TestTheKeyOfACopyLiesInTheKeyStoreAlone(t *testing.T) {
	c, _, _, _ := openedStudy(t)
	var names int
	err := stores[insurer].View(func(tx *keys.Tx) error {
		for e, err := range tx.List(share.BucketCopies) {
			if err != nil {
				return err
			}
			names++
			var entry struct{ Key []byte }
			if err := json.Unmarshal(e.Value, &entry); err != nil || len(entry.Key) != 32 {
				t.Fatalf("the entry holds a key of %d bytes, %v", len(entry.Key), err)
			}
			for part, err := range c.gateways[insurer].Vault.List(t.Context()) {
				if err != nil {
					return err
				}
				raw, err := c.gateways[insurer].Vault.Range(t.Context(), part.Name, vault.Sum{Size: part.Size}, 0, part.Size)
				if err != nil {
					return err
				}
				sealed, err := io.ReadAll(raw)
				raw.Close()
				if err != nil || bytes.Contains(sealed, entry.Key) {
					t.Errorf("the vault holds what belongs into the key store: %v", err)
				}
			}
		}
		return nil
	})
	if err != nil || names != 1 {
		t.Errorf("%d entries, %v", names, err)
	}
}

// cutAfter is a line that breaks after so many bytes.
func cutAfter(r io.Reader, n int64) io.Reader {
	return io.MultiReader(io.LimitReader(r, n), iotest.ErrReader(fmt.Errorf("%w: the line is cut", share.ErrUnavailable)))
}

// F13, F15: the line between the gateways breaks at many places, and what is opened is what was
// sealed, each byte once; what had come isn't sent again.
func TestALineThatBreaksIsTakenUpWhereItBroke(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	_, content := c.study(3 << 20)
	c.grant(toPayers())
	const mib = 1 << 20
	for _, off := range []bool{false, true} {
		for _, first := range []int64{0, 1, 39, 40, 41, mib - 1, mib, mib + 1, 2*mib + 17, 3 * mib} {
			t.Run(fmt.Sprintf("after %d bytes, copies off %t", first, off), func(t *testing.T) {
				c.t = t
				c.gateways[insurer].NoCopies = off
				if err := c.gateways[insurer].SweepCopies(t.Context()); err != nil {
					t.Fatal(err)
				}
				a := c.request(record.Laboratory)
				breaks, passed := []int64{first, 1, 0, mib}, int64(0)
				c.spared, c.line = 0, func(r io.Reader) io.Reader {
					counted := io.TeeReader(r, writerOf(func(b []byte) (int, error) { passed += int64(len(b)); return len(b), nil }))
					if len(breaks) == 0 {
						return counted
					}
					n := breaks[0]
					breaks = breaks[1:]
					return cutAfter(counted, n)
				}
				defer func() { c.line = nil }()
				got := c.opens(a)[record.Laboratory]
				if !bytes.Equal(got.Bytes(), content) {
					t.Error("what was opened isn't what was sealed")
				}
				if len(breaks) != 0 {
					t.Errorf("the line still has to break %d times: the test shows nothing", len(breaks))
				}
				if sealed := c.sealedSize(a); passed != sealed {
					t.Errorf("%d bytes passed, of %d", passed, sealed)
				}
				if err := c.gateways[insurer].EndPermit(t.Context(), hospitalA, a.ID); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// sealedSize is what was released under a permit.
func (c *consortium) sealedSize(a access.Access) (n int64) {
	c.t.Helper()
	parcel, err := c.gateways[hospitalA].Release(c.t.Context(), insurer, a.ID, 0, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, r := range parcel.Manifest.Records {
		for _, p := range r.Parts {
			n += p.Part.SealedSize
		}
	}
	return n
}

// A withdrawal while a transfer is broken ends it.
func TestATransferIsNotTakenUpOnceTheConsentIsWithdrawn(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.study(3 << 20)
	c.grant(toPayers())
	a := c.request(record.Laboratory)
	c.line = func(r io.Reader) io.Reader {
		c.withdraw()
		c.line = nil
		return cutAfter(r, 1<<20)
	}
	parts := opened{}
	_, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, parts.sink)
	wantRefusal(t, err, refusal.ConsentChanged)
	if parts[record.Laboratory].Len() > 1<<20 {
		t.Errorf("%d bytes were opened", parts[record.Laboratory].Len())
	}
}

// readWhole is a file of a member's vault.
func readWhole(t testing.TB, c *consortium, msp string, name vault.Name, size int64) []byte {
	t.Helper()
	r, err := c.gateways[msp].Vault.Range(t.Context(), name, vault.Sum{Size: size}, 0, size)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A peer that was restored from an older copy may not know of a withdrawal: what refuses a
// release then refuses reading as well, and ends nothing.
func TestNothingIsReadWhileTheOwnPeerLacksBlocksThatWereSeen(t *testing.T) {
	c, of, _, content := openedStudy(t)
	g := c.gateways[insurer]
	g.Config.Current = func() error { return refusal.New(refusal.StaleClock, "the own peer lacks blocks", "later") }
	_, err := c.read(insurer, of, 0, 10)
	wantRefusal(t, err, refusal.StaleClock)
	g.Config.Current = nil
	c.ledger.Advance(2 * time.Second) // longer than such an answer is good for
	if got, err := c.read(insurer, of, 0, 10); err != nil || !bytes.Equal(got, content[:10]) {
		t.Errorf("once the peer has caught up: %d bytes, %v", len(got), err)
	}
}
