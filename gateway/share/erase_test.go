package share_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/retention"
	"yitong/gateway/seal"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

// revive starts a member's gateway again over the key store that it has and the vault in dir, as
// after a crash: whoever holds the gateway before has to let go of it.
func (c *consortium) revive(msp, dir string, options ...func(*share.Config)) *share.Gateway {
	c.t.Helper()
	sealed, err := vault.OpenDir(dir)
	if err != nil {
		c.t.Fatal(err)
	}
	config := share.Config{
		Self:   registry.Candidate{MSP: msp, Name: msp[:len(msp)-3], Kind: kinds[msp], Gateway: "127.0.0.1:1"},
		Ledger: c.chains[msp], Keys: stores[msp], Vault: sealed, Exchange: wire{c, msp}, Channel: "test", Evaluator: msp == hospitalA || msp == regulator,
		Now: func() time.Time { return c.ledger.Now() }, Log: slog.New(slog.DiscardHandler), Gather: time.Millisecond,
	}
	for _, o := range options {
		o(&config)
	}
	g, err := share.New(config)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.gateways[msp].Close(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	c.gateways[msp] = g
	c.t.Cleanup(func() {
		g.Close(context.Background())
		sealed.Close()
	})
	if err := g.Resume(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
	c.tick()
	return g
}

// die takes a gateway's hands off its vault, as its process's end does.
func (c *consortium) die(msp, dir string) {
	c.t.Helper()
	g := c.gateways[msp]
	g.Close(context.Background())
	g.Vault.(*vault.Dir).Close()
}

// shared is a consortium in which the insurer has opened laboratory results out of a record of
// hospital A's. dir is hospital A's vault.
func shared(t *testing.T, options ...func(*share.Config)) (c *consortium, r share.Record, a access.Access, dir string) {
	t.Helper()
	c = newConsortium(t)
	dir = filepath.Join(t.TempDir(), "vault")
	c.revive(hospitalA, dir, options...)
	c.tick()
	r = c.submit(bundle(6))
	c.grant(toPayers())
	a = c.request(record.Laboratory)
	c.opens(a)
	return c, r, a, dir
}

func (c *consortium) opens(a access.Access) opened {
	c.t.Helper()
	parts := opened{}
	if _, err := c.gateways[insurer].Open(c.t.Context(), "HospitalA", a.ID, parts.sink); err != nil {
		c.t.Fatal(err)
	}
	return parts
}

func (c *consortium) anchor(id string) record.Anchor {
	c.t.Helper()
	var a record.Anchor
	if err := c.chains[regulator].Evaluate(c.t.Context(), contract.RecordRecord, contract.RecordQuery{Custodian: hospitalA, ID: id}, &a); err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *consortium) acknowledgements(id string) []record.Acknowledgement {
	c.t.Helper()
	var out contract.AcknowledgementPage
	if err := c.chains[regulator].Evaluate(c.t.Context(), contract.RecordAcknowledgements, contract.AcknowledgementsQuery{Custodian: hospitalA, ID: id}, &out); err != nil {
		c.t.Fatal(err)
	}
	return out.Acknowledgements
}

func (c *consortium) pending() []share.PendingErasure {
	c.t.Helper()
	p, err := c.gateways[hospitalA].PendingErasures()
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *consortium) notices() []share.NoticeOf {
	c.t.Helper()
	n, err := c.gateways[insurer].Notices()
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

// partOf is the index of the record's part of a class.
func partOf(t testing.TB, r share.Record, class record.Class) int {
	t.Helper()
	i := slices.IndexFunc(r.Parts, func(p share.Part) bool { return p.Class == class })
	if i < 0 {
		t.Fatalf("the record has no part of class %s", class)
	}
	return i
}

// files counts the sealed parts in a vault's folder.
func files(t testing.TB, dir string) int {
	t.Helper()
	parts, err := filepath.Glob(filepath.Join(dir, "??", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(parts)
}

// sealedKeys are the sealed values of a member's key store as they lie in the file.
func sealedKeys(t testing.TB, msp string) [][]byte {
	t.Helper()
	db, err := bolt.Open(copyOf(t, storePath(msp)), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var all [][]byte
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			return b.ForEach(func(_, v []byte) error {
				all = append(all, bytes.Clone(v))
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func copyOf(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// leftBehind counts values that the key store's file holds and that aren't in force any more.
func leftBehind(t testing.TB, msp string, ever [][]byte) int {
	t.Helper()
	raw, err := os.ReadFile(storePath(msp))
	if err != nil {
		t.Fatal(err)
	}
	now, n := sealedKeys(t, msp), 0
	for _, v := range ever {
		if !slices.ContainsFunc(now, func(w []byte) bool { return bytes.Equal(v, w) }) && bytes.Contains(raw, v) {
			n++
		}
	}
	return n
}

// erasedWhole wants the end state of an erased record, whatever the way there.
func (c *consortium) erasedWhole(r share.Record, dir string, ever [][]byte) {
	c.t.Helper()
	if a := c.anchor(r.ID); a.Status != record.Erased || a.Erasure.Number != 1 || a.Erasure.Reason != record.PatientRequest {
		c.t.Errorf("the anchor is %s, %+v", a.Status, a.Erasure)
	}
	for _, p := range r.Parts {
		if _, err := stores[hospitalA].Get(share.BucketPartKeys, share.ObjectOf(r.ID, p.Index)); !errors.Is(err, keys.ErrNotFound) {
			c.t.Errorf("the key of part %d: %v", p.Index, err)
		}
	}
	if n := files(c.t, dir); n != 0 {
		c.t.Errorf("%d sealed parts are left", n)
	}
	if n := leftBehind(c.t, hospitalA, ever); n != 0 {
		c.t.Errorf("%d values that were deleted are in the key store's file", n)
	}
	page, _, err := c.gateways[hospitalA].Records(&chen, "", 0)
	if err != nil || len(page) != 1 || page[0].Status != record.Erased || len(page[0].Parts) != 0 || page[0].Erasure == nil {
		c.t.Errorf("the catalogue has %+v, %v", page, err)
	}
	if n := c.notices(); len(n) != 1 || n[0].Record != r.ID || n[0].Custodian != hospitalA || !slices.Equal(n[0].Parts, []int{partOf(c.t, r, record.Laboratory)}) || n[0].Reason != record.PatientRequest {
		c.t.Errorf("the insurer's notices are %+v", n)
	}
}

func TestAnErasedRecordIsGoneAndItsRequestersSaySo(t *testing.T) {
	c, r, a, dir := shared(t)
	ever := sealedKeys(t, hospitalA)
	e, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e.Commit.TxID == "" || e.Record.Status != record.Erased || len(e.Requesters) != 1 || e.Requesters[0].Requester != insurer || !e.Requesters[0].Told {
		t.Errorf("erased %+v", e)
	}
	c.erasedWhole(r, dir, ever)

	// What was released can't be opened again, here or past the requester's gateway.
	_, err = c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink)
	wantRefusal(t, err, record.Gone)
	_, err = c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil)
	wantRefusal(t, err, record.Gone)
	// A new request gives what is left: nothing.
	if parts := c.opens(c.request(record.Laboratory)); len(parts) != 0 {
		t.Errorf("opened %v", parts)
	}
	// The id is used up.
	_, _, err = c.gateways[hospitalA].Submit(t.Context(), share.Submission{ID: r.ID, Patient: chen, MediaType: share.FHIR}, bytes.NewReader(bundle(6)))
	wantRefusal(t, err, record.Gone)
	_, err = c.gateways[hospitalA].Retract(t.Context(), r.ID, record.EnteredInError)
	wantRefusal(t, err, record.Gone)

	if p := c.pending(); len(p) != 1 || p[0].Record != r.ID || len(p[0].Requesters) != 1 || !p[0].Requesters[0].Told {
		t.Errorf("pending are %+v", p)
	}
	// Erased again, it is what it was.
	if again, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.LegalOrder, nil); err != nil || again.Commit.TxID != "" {
		t.Errorf("again: %+v, %v", again, err)
	}
	ack, commit, err := c.gateways[insurer].Acknowledge(t.Context(), "HospitalA", r.ID, record.Deleted, "")
	if err != nil || commit.TxID == "" || ack.Fate != record.Deleted || ack.Erasure != 1 {
		t.Fatalf("acknowledged %+v, %v", ack, err)
	}
	if n := c.notices(); len(n) != 0 {
		t.Errorf("notices after it: %+v", n)
	}
	if err := c.gateways[hospitalA].Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := c.pending(); len(p) != 0 {
		t.Errorf("pending after it: %+v", p)
	}
	if acks := c.acknowledgements(r.ID); len(acks) != 1 || acks[0].Requester != insurer {
		t.Errorf("on the ledger: %+v", acks)
	}
	// The trail of what happened stays whole.
	entry, err := c.gateways[regulator].Access(t.Context(), hospitalA, insurer, a.ID)
	if err != nil || entry.Release == nil || entry.Receipt == nil || entry.Receipt.Outcome != access.Opened {
		t.Errorf("the access is %+v, %v", entry, err)
	}
}

// TestTheKeysLeaveTheFileBeforeAnythingElseGoesOn: deleted from the store they still lie in its file, and
// the next step is that they don't.
func TestTheKeysLeaveTheFileBeforeAnythingElseGoesOn(t *testing.T) {
	c, r, _, _ := shared(t)
	ever := sealedKeys(t, hospitalA)
	left := map[string]int{}
	c.gateways[hospitalA].Interrupt(func(at string) error {
		left[at] = leftBehind(t, hospitalA, ever)
		return nil
	})
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); err != nil {
		t.Fatal(err)
	}
	if left["after destroyed"] < len(r.Parts) {
		t.Fatalf("only %d values were in the file once they were deleted: the test shows nothing", left["after destroyed"])
	}
	if left["before overwritten"] != 0 {
		t.Errorf("%d values are in the file once it was overwritten", left["before overwritten"])
	}
}

// TestAnErasureEndsInTheSameWhereverItIsCut kills the custodian at every step.
func TestAnErasureEndsInTheSameWhereverItIsCut(t *testing.T) {
	killed := errors.New("killed")
	type cut struct {
		name string
		set  func(c *consortium, g *share.Gateway)
	}
	var cuts []cut
	for _, s := range []string{"intended", "tombstoned", "destroyed", "overwritten", "deleted"} {
		for _, when := range []string{"before ", "after "} {
			at := when + s
			cuts = append(cuts, cut{at, func(_ *consortium, g *share.Gateway) {
				g.Interrupt(func(where string) error {
					if where == at {
						return killed
					}
					return nil
				})
			}})
		}
	}
	for _, done := range []bool{false, true} {
		name := map[bool]string{false: "before the ledger has it", true: "after the ledger has it"}[done]
		cuts = append(cuts, cut{name, func(c *consortium, _ *share.Gateway) {
			c.chains[hospitalA].fail = func(function string, d bool) error {
				if function == contract.RecordErase && d == done {
					return killed
				}
				return nil
			}
		}})
	}
	for _, cut := range cuts {
		t.Run(cut.name, func(t *testing.T) {
			c, r, _, dir := shared(t)
			ever := sealedKeys(t, hospitalA)
			cut.set(c, c.gateways[hospitalA])
			if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); !errors.Is(err, killed) {
				t.Fatalf("it wasn't cut: %v", err)
			}
			c.chains[hospitalA].fail = nil
			c.die(hospitalA, dir)
			g := c.revive(hospitalA, dir)
			if err := g.Recall(t.Context()); err != nil {
				t.Fatal(err)
			}
			if cut.name == "before intended" { // nothing is begun: the call again does it
				if _, err := g.Erase(t.Context(), r.ID, record.PatientRequest, nil); err != nil {
					t.Fatal(err)
				}
			}
			c.erasedWhole(r, dir, ever)
			if p := c.pending(); len(p) != 1 || p[0].Step != "" || p[0].Escrow || len(p[0].Requesters) != 1 || !p[0].Requesters[0].Told {
				t.Errorf("pending are %+v", p)
			}
		})
	}
}

// TestNothingIsReleasedOfWhatIsBeingErased: from the intent on, no permit gets it.
func TestNothingIsReleasedOfWhatIsBeingErased(t *testing.T) {
	c, r, a, _ := shared(t)
	fresh := c.request(record.Laboratory)
	killed := errors.New("killed")
	c.chains[hospitalA].fail = func(function string, _ bool) error {
		if function == contract.RecordErase {
			return killed
		}
		return nil
	}
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); !errors.Is(err, killed) {
		t.Fatal(err)
	}
	_, err := c.gateways[hospitalA].Release(t.Context(), insurer, a.ID, 0, nil)
	wantRefusal(t, err, record.Gone)
	if parts := c.opens(fresh); len(parts) != 0 {
		t.Errorf("opened %v", parts)
	}
}

func TestAHoldStopsErasuresUntilItIsLifted(t *testing.T) {
	c, r, a, dir := shared(t)
	if _, _, err := c.gateways[hospitalA].Hold(t.Context(), "HospitalA", r.ID, "case-7", 0); err == nil {
		t.Error("a hospital put a hold")
	}
	holds, commit, err := c.gateways[regulator].Hold(t.Context(), "HospitalA", r.ID, "case-7", 0)
	if err != nil || commit.TxID == "" || len(holds) != 1 {
		t.Fatalf("%+v, %v", holds, err)
	}
	_, err = c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil)
	wantRefusal(t, err, record.OnHold)
	if held, err := c.gateways[hospitalA].Held(t.Context()); err != nil || len(held[r.ID]) != 1 {
		t.Errorf("held are %+v, %v", held, err)
	}
	// It is as if nobody had asked: nothing is left to do, and everything opens.
	if p := c.pending(); len(p) != 0 {
		t.Errorf("pending are %+v", p)
	}
	c.opens(a)
	if parts := c.opens(c.request(record.Laboratory)); len(parts) != 1 {
		t.Errorf("opened %v", parts)
	}
	ever := sealedKeys(t, hospitalA)
	if _, _, err := c.gateways[regulator].Unhold(t.Context(), "HospitalA", r.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); err != nil {
		t.Fatal(err)
	}
	c.erasedWhole(r, dir, ever)
}

func TestOfAPartlyErasedRecordTheRestIsShared(t *testing.T) {
	c, r, a, dir := shared(t)
	before := files(t, dir)
	lab := partOf(t, r, record.Laboratory)
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, []int{lab}); err != nil {
		t.Fatal(err)
	}
	if n := files(t, dir); n != before-1 {
		t.Errorf("%d of %d sealed parts are left", n, before)
	}
	_, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink)
	wantRefusal(t, err, record.Gone)
	parts := c.opens(c.request(record.Laboratory, record.Condition))
	if len(parts) != 1 || parts[record.Condition] == nil {
		t.Errorf("opened %v", parts)
	}
	if n := c.notices(); len(n) != 1 || !slices.Equal(n[0].Parts, []int{lab}) {
		t.Errorf("notices %+v", n)
	}
	// Retained by law, and then deleted after all.
	if ack, _, err := c.gateways[insurer].Acknowledge(t.Context(), "HospitalA", r.ID, record.Retained, record.LegalObligation); err != nil || ack.Fate != record.Retained {
		t.Errorf("%+v, %v", ack, err)
	}
	if ack, _, err := c.gateways[insurer].Acknowledge(t.Context(), "HospitalA", r.ID, record.Deleted, ""); err != nil || ack.Fate != record.Deleted {
		t.Errorf("%+v, %v", ack, err)
	}
	// The rest goes later, and only what is still there is asked for.
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); err != nil {
		t.Fatal(err)
	}
	if n := c.notices(); len(n) != 1 || !slices.Equal(n[0].Parts, []int{partOf(t, r, record.Condition)}) || n[0].Erasure != 2 {
		t.Errorf("notices %+v", n)
	}
	if n := files(t, dir); n != 0 {
		t.Errorf("%d sealed parts are left", n)
	}
}

func TestWhoNeverOpenedItAcknowledgesByItself(t *testing.T) {
	c, r, _, _ := shared(t)
	c.cut = map[string]bool{}
	unopened := c.request(record.Condition)
	if _, err := c.gateways[hospitalA].Release(t.Context(), insurer, unopened.ID, 0, nil); err != nil { // goes out and is never opened
		t.Fatal(err)
	}
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, []int{partOf(t, r, record.Condition)}); err != nil {
		t.Fatal(err)
	}
	if n := c.notices(); len(n) != 0 {
		t.Errorf("notices %+v", n)
	}
	if acks := c.acknowledgements(r.ID); len(acks) != 1 || acks[0].Fate != record.Deleted {
		t.Errorf("on the ledger: %+v", acks)
	}
	if p := c.pending(); len(p) != 0 {
		t.Errorf("pending are %+v", p)
	}
	// Told over and over, it makes no further transaction.
	height := c.ledger.Height()
	for range 3 {
		if err := c.gateways[insurer].Erased(t.Context(), hospitalA, share.Notice{Record: r.ID, Erasure: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if now := c.ledger.Height(); now != height {
		t.Errorf("the notices made %d blocks", now-height)
	}
}

func TestARequesterBelievesItsOwnPeerOnly(t *testing.T) {
	c, r, _, _ := shared(t)
	err := c.gateways[insurer].Erased(t.Context(), hospitalA, share.Notice{Record: r.ID, Erasure: 1})
	wantRefusal(t, err, refusal.WrongState)
	err = c.gateways[insurer].Erased(t.Context(), hospitalB, share.Notice{Record: r.ID, Erasure: 1}) // another member's word
	wantRefusal(t, err, refusal.WrongState)
	if n := c.notices(); len(n) != 0 {
		t.Errorf("notices %+v", n)
	}
	_, _, err = c.gateways[insurer].Acknowledge(t.Context(), "HospitalA", r.ID, record.Deleted, "")
	wantRefusal(t, err, refusal.NotFound)
}

func TestARequesterThatCanNotBeReachedIsToldLater(t *testing.T) {
	c, r, _, dir := shared(t)
	c.cut = map[string]bool{insurer: true}
	e, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil)
	if err != nil || len(e.Requesters) != 1 || e.Requesters[0].Told || e.Requesters[0].Problem == "" {
		t.Fatalf("%+v, %v", e, err)
	}
	first := e.Requesters[0].Next
	c.die(hospitalA, dir)
	g := c.revive(hospitalA, dir)
	recall := func() share.Informed {
		t.Helper()
		if err := g.Recall(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c.pending()[0].Requesters[0]
	}
	if now := recall(); now.Next != first {
		t.Errorf("told before its time: %+v", now)
	}
	c.ledger.Advance(61 * time.Second)
	second := recall()
	if second.Told || second.Next-record.At(c.ledger.Now()) != 120 {
		t.Errorf("after a second try at %v: %+v", record.At(c.ledger.Now()), second)
	}
	c.cut = nil
	c.ledger.Advance(121 * time.Second)
	c.tick()
	if now := recall(); !now.Told {
		t.Errorf("still not told: %+v", now)
	}
	if n := c.notices(); len(n) != 1 {
		t.Errorf("notices %+v", n)
	}
}

func TestARequesterFindsOutWithoutBeingTold(t *testing.T) {
	c, r, _, _ := shared(t)
	c.cut = map[string]bool{insurer: true}
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); err != nil {
		t.Fatal(err)
	}
	if err := c.gateways[insurer].CheckOpened(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := c.notices(); len(n) != 1 || n[0].Record != r.ID {
		t.Errorf("notices %+v", n)
	}
	// Its word is kept while the ledger can't be written, and then sent.
	c.chains[insurer].fail = func(string, bool) error { return ledger.ErrUnavailable }
	if _, _, err := c.gateways[insurer].Acknowledge(t.Context(), "HospitalA", r.ID, record.Deleted, ""); !errors.Is(err, ledger.ErrUnavailable) {
		t.Fatal(err)
	}
	if n := c.notices(); len(n) != 1 || !n[0].Sent {
		t.Errorf("notices %+v", n)
	}
	c.chains[insurer].fail = nil
	if err := c.gateways[insurer].CheckOpened(t.Context()); err != nil {
		t.Fatal(err)
	}
	if acks := c.acknowledgements(r.ID); len(acks) != 1 {
		t.Errorf("on the ledger: %+v", acks)
	}
	if err := c.gateways[hospitalA].Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := c.pending(); len(p) != 0 {
		t.Errorf("pending are %+v", p)
	}
}

var strings32 = regexp.MustCompile(`"([A-Za-z0-9+/]{43}=|[0-9a-f]{64})"`)

// openable tries to open every sealed part in a vault's folder with everything that a key store holds,
// knowing all else there is to know of the record, and returns how many parts opened.
func openable(t *testing.T, vaultDir, store string, r share.Record) int {
	t.Helper()
	s, err := keys.Open(store, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var candidates []seal.Key
	for _, bucket := range share.Buckets {
		all, err := s.List(bucket)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range all {
			if len(v) == len(seal.Key{}) {
				candidates = append(candidates, seal.Key(v))
			}
			for _, m := range strings32.FindAllSubmatch(v, -1) {
				raw, err := base64.StdEncoding.DecodeString(string(m[1]))
				if len(m[1]) == 64 {
					raw, err = hex.DecodeString(string(m[1]))
				}
				if err == nil && len(raw) == len(seal.Key{}) {
					candidates = append(candidates, seal.Key(raw))
				}
			}
		}
	}
	n := 0
	for _, p := range r.Parts {
		name := vault.NameOf(r.ID, p.Index).String()
		raw, err := os.ReadFile(filepath.Join(vaultDir, name[:2], name))
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(candidates, func(k seal.Key) bool {
			return seal.Open(io.Discard, bytes.NewReader(raw), k, seal.AD{Record: r.ID, Part: p.Index, Class: p.Class}, seal.SealedOf(p.Part)) == nil
		}) {
			n++
		}
	}
	return n
}

// TestNoBackupOpensWhatWasErased: all that was there before the erasure but the key store, with the key
// store as it is after, opens nothing. The same with the key store of before opens everything, so it
// is the erasure that does it.
func TestNoBackupOpensWhatWasErased(t *testing.T) {
	c, r, _, dir := shared(t)
	backup := filepath.Join(t.TempDir(), "vault")
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if n := openable(t, backup, copyOf(t, storePath(hospitalA)), r); n != len(r.Parts) {
		t.Fatalf("before the erasure %d of %d parts open: the test shows nothing", n, len(r.Parts))
	}
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); err != nil {
		t.Fatal(err)
	}
	if n := openable(t, backup, copyOf(t, storePath(hospitalA)), r); n != 0 {
		t.Errorf("%d parts open out of backups", n)
	}
	if n := openable(t, backup, copyOf(t, storePath(insurer)), r); n != 0 {
		t.Errorf("%d parts open with what the requester's gateway keeps", n)
	}
}

// TestARestoredKeyStoreErasesAgain: a gateway that starts on a key store of before the erasure destroys
// what the ledger says is erased.
func TestARestoredKeyStoreErasesAgain(t *testing.T) {
	c, r, _, dir := shared(t)
	backup := filepath.Join(t.TempDir(), "vault")
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	old := copyOf(t, storePath(hospitalA))
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); err != nil {
		t.Fatal(err)
	}
	c.die(hospitalA, dir)
	restored, err := keys.Open(old, []byte(passphrase))
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	g := c.revive(hospitalA, backup, func(o *share.Config) { o.Keys = restored })
	if _, err := restored.Get(share.BucketPartKeys, share.ObjectOf(r.ID, 0)); err != nil {
		t.Fatalf("the backup has no key: %v; the test shows nothing", err)
	}
	if err := g.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Parts {
		if _, err := restored.Get(share.BucketPartKeys, share.ObjectOf(r.ID, p.Index)); !errors.Is(err, keys.ErrNotFound) {
			t.Errorf("the key of part %d: %v", p.Index, err)
		}
	}
	if n := files(t, backup); n != 0 {
		t.Errorf("%d sealed parts are left", n)
	}
}

func laboratoryFor(t testing.TB, span string) func(*share.Config) {
	p, err := retention.Parse(map[string]string{"laboratory": span}, "")
	if err != nil {
		t.Fatal(err)
	}
	return func(o *share.Config) { o.Retention = p }
}

func TestRetentionErasesByItselfAfterAWarning(t *testing.T) {
	c, r, _, dir := shared(t, laboratoryFor(t, "15y"))
	g := c.gateways[hospitalA]
	lab := partOf(t, r, record.Laboratory)
	end := r.Parts[lab].Period.End
	if end == 0 {
		t.Fatalf("the laboratory part has no end of data: %+v", r.Parts[lab])
	}
	due := retention.Span{Years: 15}.After(end)
	sweep := func() {
		t.Helper()
		if err := g.SweepRetention(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	until := func(at record.Instant) {
		c.ledger.Advance(at.Time().Sub(c.ledger.Now()))
	}
	sweep()
	if list, err := g.FallDue(t.Context(), 0); err != nil || len(list) != 0 {
		t.Errorf("years before: %+v, %v", list, err)
	}
	if list, err := g.FallDue(t.Context(), 20*365*24*time.Hour); err != nil || len(list) != 1 || list[0].Warned != 0 || list[0].Due != due {
		t.Errorf("what falls due within twenty years: %+v, %v", list, err)
	}
	until(due - 30*86400)
	sweep()
	list, err := g.FallDue(t.Context(), 0)
	if err != nil || len(list) != 1 || list[0].Warned == 0 || list[0].Erased != due || !slices.Equal(list[0].Parts, []int{lab}) {
		t.Fatalf("warned of: %+v, %v", list, err)
	}
	until(due - 1)
	sweep()
	if a := c.anchor(r.ID); a.Erasure != nil {
		t.Fatalf("erased before its time: %+v", a.Erasure)
	}
	// A hold stops it, for as long as it stands.
	if _, _, err := c.gateways[regulator].Hold(t.Context(), "HospitalA", r.ID, "case-7", 0); err != nil {
		t.Fatal(err)
	}
	until(due + 86400)
	sweep()
	if list, err := g.FallDue(t.Context(), 0); err != nil || len(list) != 1 || len(list[0].Holds) != 1 {
		t.Errorf("held: %+v, %v", list, err)
	}
	if a := c.anchor(r.ID); a.Erasure != nil {
		t.Fatalf("erased under a hold: %+v", a.Erasure)
	}
	if _, _, err := c.gateways[regulator].Unhold(t.Context(), "HospitalA", r.ID); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	sweep()
	if a := c.anchor(r.ID); a.Status != record.Anchored || !slices.Equal(a.Erasure.Parts, []int{lab}) || a.Erasure.Reason != record.RetentionOver {
		t.Errorf("the anchor is %s, %+v", a.Status, a.Erasure)
	}
	if n := files(t, dir); n != before-1 {
		t.Errorf("%d of %d sealed parts are left", n, before)
	}
	if list, err := g.FallDue(t.Context(), 0); err != nil || len(list) != 0 {
		t.Errorf("after it: %+v, %v", list, err)
	}
	if n := c.notices(); len(n) != 1 || n[0].Reason != record.RetentionOver {
		t.Errorf("the insurer's notices are %+v", n)
	}
}

func TestALateWarningStandsItsTimeAllTheSame(t *testing.T) {
	c, r, _, _ := shared(t, laboratoryFor(t, "31d")) // the data is years old: long due when it is submitted
	g := c.gateways[hospitalA]
	for day := range 30 {
		if err := g.SweepRetention(t.Context()); err != nil {
			t.Fatal(err)
		}
		if a := c.anchor(r.ID); a.Erasure != nil {
			t.Fatalf("erased on day %d after the warning", day)
		}
		c.ledger.Advance(24 * time.Hour)
	}
	if err := g.SweepRetention(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := c.anchor(r.ID); a.Erasure == nil {
		t.Error("not erased once the warning had stood")
	}
}

func TestWithoutAPolicyNothingFallsDue(t *testing.T) {
	c, r, _, _ := shared(t)
	c.ledger.Advance(100 * 365 * 24 * time.Hour)
	for range 2 {
		if err := c.gateways[hospitalA].SweepRetention(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.ledger.Advance(365 * 24 * time.Hour)
	}
	if a := c.anchor(r.ID); a.Erasure != nil {
		t.Errorf("erased: %+v", a.Erasure)
	}
}

func TestWhatCanNotBeErased(t *testing.T) {
	c, r, _, _ := shared(t)
	g := c.gateways[hospitalA]
	_, err := g.Erase(t.Context(), share.NewID(), record.PatientRequest, nil)
	wantRefusal(t, err, refusal.NotFound)
	_, err = g.Erase(t.Context(), r.ID, "because", nil)
	wantRefusal(t, err, refusal.Malformed)
	_, err = g.Erase(t.Context(), r.ID, record.PatientRequest, []int{len(r.Parts)})
	wantRefusal(t, err, refusal.Malformed)
	_, err = g.Erase(t.Context(), r.ID, record.PatientRequest, []int{-1})
	wantRefusal(t, err, refusal.Malformed)
	_, err = c.gateways[insurer].Erase(t.Context(), r.ID, record.PatientRequest, nil)
	wantRefusal(t, err, refusal.NotFound)
	if p := c.pending(); len(p) != 0 {
		t.Errorf("pending are %+v", p)
	}
}

// TestAnErasureTakesTheKeysOutOfEscrow: a holder that can't be reached is told later, and what holders
// forget is gone from the files of their key stores, too.
func TestAnErasureTakesTheKeysOutOfEscrow(t *testing.T) {
	c, r, a := lodged(t, record.Laboratory)
	c.cut = map[string]bool{insurer: true}
	ever := map[string][][]byte{}
	for _, msp := range []string{hospitalB, insurer, regulator} {
		if all, err := stores[msp].List(share.BucketKept); err != nil || len(all) == 0 {
			t.Fatalf("%s keeps nothing in escrow (%v): the test shows nothing", msp, err)
		}
		ever[msp] = sealedKeys(t, msp)
	}
	if _, err := c.gateways[hospitalA].Erase(t.Context(), r.ID, record.PatientRequest, nil); err != nil {
		t.Fatal(err)
	}
	if p := c.pending(); len(p) != 1 || !p[0].Escrow || p[0].Step != "" {
		t.Errorf("with a holder out of reach, pending are %+v", p)
	}
	c.cut = nil
	if err := c.gateways[hospitalA].Recall(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := c.pending(); len(p) != 0 {
		t.Errorf("pending are %+v", p)
	}
	for _, msp := range []string{hospitalB, insurer, regulator} {
		if all, err := stores[msp].List(share.BucketKept); err != nil || len(all) != 0 {
			t.Errorf("%s keeps %d shares, %v", msp, len(all), err)
		}
		if n := leftBehind(t, msp, ever[msp]); n != 0 {
			t.Errorf("%d values that %s forgot are in its key store's file", n, msp)
		}
	}
	c.cut = map[string]bool{hospitalA: true}
	if parts, _, err := c.openInEmergency(a); err == nil || len(parts) > 0 {
		t.Errorf("out of escrow it opened %v", parts)
	}
}
