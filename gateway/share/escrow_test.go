package share_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/escrow"
	"yitong/gateway/keys"
	"yitong/gateway/seal"
	"yitong/gateway/share"
)

// holders joins the gateways of one process for escrow, as gateway/api joins those of many.
type holders struct {
	c    *consortium
	from string
}

func (h holders) to(m registry.Member) (*share.Gateway, error) {
	if h.c.cut[m.MSP] {
		return nil, share.ErrUnavailable
	}
	return h.c.gateways[m.MSP], nil
}

func (h holders) Deposit(ctx context.Context, m registry.Member, d share.Deposit, sealed func(int) (io.ReadCloser, error)) error {
	g, err := h.to(m)
	if err != nil {
		return err
	}
	if h.c.deposit != nil {
		h.c.deposit(&d)
	}
	return g.Keep(ctx, h.from, d, func(part int) (io.Reader, error) {
		from, err := sealed(part)
		if err != nil {
			return nil, err
		}
		defer from.Close()
		raw, err := io.ReadAll(from)
		if h.c.sealed != nil {
			raw = h.c.sealed(raw)
		}
		return bytes.NewReader(raw), err
	})
}

func (h holders) Index(ctx context.Context, m registry.Member, entries []share.IndexEntry) error {
	g, err := h.to(m)
	if err != nil {
		return err
	}
	return g.Find(ctx, h.from, entries)
}

func (h holders) Recover(ctx context.Context, m registry.Member, custodian, permit string, height uint64) (share.RecoveryDelivery, error) {
	g, err := h.to(m)
	if err != nil {
		return nil, err
	}
	r, err := g.RecoverFor(ctx, h.from, custodian, permit, height)
	if err != nil {
		return nil, err
	}
	d := &recovery{delivery: delivery{manifest: r.Manifest}, packages: r.Packages, shares: r.Shares}
	for _, one := range r.Manifest.Records {
		for _, p := range one.Parts {
			sealed, err := r.Sealed(ctx, one.Anchor, p.Part)
			if err != nil {
				return nil, err
			}
			raw, err := io.ReadAll(sealed)
			sealed.Close()
			if err != nil {
				return nil, err
			}
			d.parts = append(d.parts, raw)
		}
	}
	if h.c.recovery != nil {
		h.c.recovery(d)
	}
	return d, nil
}

func (h holders) Share(ctx context.Context, m registry.Member, q share.ShareQuery) (seal.Message, error) {
	g, err := h.to(m)
	if err != nil {
		return seal.Message{}, err
	}
	return g.ShareFor(ctx, h.from, q)
}

func (h holders) Forget(ctx context.Context, m registry.Member, recordID string, parts []int) error {
	g, err := h.to(m)
	if err != nil {
		return err
	}
	return g.Forget(ctx, h.from, recordID, parts)
}

func (h holders) Alive(ctx context.Context, m registry.Member) error {
	g, err := h.to(m)
	if err != nil {
		return err
	}
	return g.Alive(ctx)
}

type recovery struct {
	delivery
	packages []*escrow.Package
	shares   seal.Message
}

func (r *recovery) Packages() []*escrow.Package { return r.packages }
func (r *recovery) Shares() seal.Message        { return r.shares }

// lodged is a consortium in which hospital A's record of Chen lies in escrow, hospital A is
// gone, and hospital B's clinician has broken the glass for some classes.
func lodged(t *testing.T, classes ...record.Class) (*consortium, share.Record, access.Access) {
	t.Helper()
	c := newConsortium(t)
	c.tick()
	r := c.submit(bundle(6))
	if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := c.emergencyOver(classes...)
	c.cut = map[string]bool{hospitalA: true}
	return c, r, a
}

// emergencyOver has a clinician of hospital B break the glass at hospital A, for some classes.
func (c *consortium) emergencyOver(classes ...record.Class) access.Access {
	c.t.Helper()
	e := emergencyBy(doctor)
	e.Classes = record.ClassesOf(classes...)
	a, _, err := c.gateways[hospitalB].BreakGlass(c.t.Context(), e)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

func (c *consortium) openInEmergency(a access.Access) (opened, share.Opened, error) {
	parts := opened{}
	sum, err := c.gateways[hospitalB].Open(c.t.Context(), hospitalA, a.ID, parts.sink)
	return parts, sum, err
}

func TestThePatientIsServedWhenTheCustodianIsGone(t *testing.T) {
	c, _, a := lodged(t, record.Laboratory)
	parts, sum, err := c.openInEmergency(a)
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != 1 || !strings.Contains(parts[record.Laboratory].String(), `"id":"o1"`) {
		t.Errorf("opened %v", parts)
	}
	if sum.Recovery == nil || sum.Recovery.Regulator != regulator || len(sum.Recovery.Bad) > 0 ||
		!slices.Equal(sum.Recovery.Shares, []string{hospitalB, insurer, regulator}) {
		t.Errorf("recovered by %+v", sum.Recovery)
	}
	entry, err := c.gateways[regulator].Access(t.Context(), hospitalA, hospitalB, a.ID)
	if err != nil {
		t.Fatal(err)
	}
	if entry.Release != nil || entry.Recovery == nil || entry.Receipt == nil || entry.Receipt.Outcome != access.Opened || entry.Recovery.Manifest != sum.Manifest {
		t.Errorf("the ledger holds release %+v, recovery %+v, receipt %+v", entry.Release, entry.Recovery, entry.Receipt)
	}
	again, sum2, err := c.openInEmergency(a) // as a release is: the same parts, as long as the permit holds
	if err != nil || len(again) != 1 || sum2.Manifest != sum.Manifest {
		t.Errorf("opened again: %v, %v", again, err)
	}
}

func TestWithoutTheRegulatorOrBelowTheThresholdNothingOpens(t *testing.T) {
	t.Run("the regulator is out of reach", func(t *testing.T) {
		c, _, a := lodged(t, record.Laboratory)
		c.cut[regulator] = true
		parts, _, err := c.openInEmergency(a)
		if !errors.Is(err, share.ErrUnavailable) || !strings.Contains(err.Error(), "nothing is recovered without a regulator's share") || len(parts) > 0 {
			t.Errorf("opened %v: %v", parts, err)
		}
	})
	t.Run("a holder is out of reach", func(t *testing.T) {
		c, _, a := lodged(t, record.Laboratory)
		c.cut[insurer] = true
		parts, _, err := c.openInEmergency(a)
		wantRefusal(t, err, share.EscrowShort)
		if !strings.Contains(err.Error(), insurer+" gave none") || len(parts) > 0 {
			t.Errorf("opened %v: %v", parts, err)
		}
		delete(c.cut, insurer) // and back again: the same call completes
		if parts, _, err = c.openInEmergency(a); err != nil || len(parts) != 1 {
			t.Errorf("once it is back, opened %v: %v", parts, err)
		}
	})
}

// alter changes what a member keeps of a record, in its key store.
func (c *consortium) alter(msp, recordID string, change func(k map[string]any)) {
	c.t.Helper()
	name := hospitalA + "/" + recordID
	err := stores[msp].Update(func(tx *keys.Tx) error {
		raw, err := tx.Get(share.BucketKept, name)
		if err != nil {
			return err
		}
		var k map[string]any
		if err := json.Unmarshal(raw, &k); err != nil {
			return err
		}
		change(k)
		if raw, err = json.Marshal(k); err != nil {
			return err
		}
		return tx.Put(share.BucketKept, name, raw)
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// spoil gives every part's share another value.
func spoil(k map[string]any) {
	for _, p := range k["share"].(map[string]any)["parts"].([]any) {
		p.(map[string]any)["value"] = make([]byte, 32)
	}
}

func TestABadShareIsRefusedAndItsHolderNamed(t *testing.T) {
	for _, holder := range []string{insurer, regulator} {
		t.Run(holder, func(t *testing.T) {
			c, r, a := lodged(t, record.Laboratory)
			c.alter(holder, r.ID, spoil)
			parts, _, err := c.openInEmergency(a)
			wantRefusal(t, err, share.EscrowShort)
			if !strings.Contains(err.Error(), "the share of "+holder) || strings.Contains(err.Error(), "the share of "+hospitalB) || len(parts) > 0 {
				t.Errorf("opened %v: %v", parts, err)
			}
		})
	}
	t.Run("where another's does as well", func(t *testing.T) {
		c := newConsortium(t)
		c.tick()
		c.gateways[hospitalA].Escrow.Threshold = 2
		r := c.submit(bundle(6))
		if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil {
			t.Fatal(err)
		}
		a := c.emergencyOver(record.Laboratory)
		c.cut = map[string]bool{hospitalA: true}
		c.alter(hospitalB, r.ID, spoil) // the requester's own; the insurer's is good
		parts, sum, err := c.openInEmergency(a)
		if err != nil || len(parts) != 1 {
			t.Fatalf("opened %v: %v", parts, err)
		}
		if len(sum.Recovery.Bad) != 1 || !strings.Contains(sum.Recovery.Bad[0], "the share of "+hospitalB) {
			t.Errorf("bad shares: %q", sum.Recovery.Bad)
		}
	})
}

func TestWhatARegulatorSendsIsHeldAgainstTheLedger(t *testing.T) {
	alterations := map[string]func(r *recovery){
		"another package": func(r *recovery) {
			r.packages[0].Parts[0].Key[0] ^= 1
		},
		"a lower threshold": func(r *recovery) { r.packages[0].Threshold = 2 },
		"no package":        func(r *recovery) { r.packages = nil },
		"an altered manifest": func(r *recovery) {
			m := *r.manifest
			m.Salt[0] ^= 1
			r.manifest = &m
		},
		"other sealed bytes":     func(r *recovery) { r.parts[0][9000%len(r.parts[0])] ^= 1 },
		"shares of another's":    func(r *recovery) { r.shares.Ciphertext[0] ^= 1 },
		"sealed bytes cut short": func(r *recovery) { r.parts[0] = r.parts[0][:len(r.parts[0])-1] },
	}
	for name, alter := range alterations {
		t.Run(name, func(t *testing.T) {
			c, _, a := lodged(t, record.Laboratory)
			c.recovery = alter
			if _, sum, err := c.openInEmergency(a); err == nil {
				t.Errorf("it opened: %+v", sum)
			}
			c.recovery = nil
			if parts, _, err := c.openInEmergency(a); err != nil || len(parts) != 1 {
				t.Errorf("unaltered, the same call gives %v: %v", parts, err)
			}
		})
	}
}

// What leaves the holders for a permit is searched whole: of parts that the permit doesn't
// cover there is no share and no sealed byte in it.
func TestNothingOfPartsThatThePermitDoesNotCoverIsDelivered(t *testing.T) {
	c, r, a := lodged(t, record.Laboratory)
	recovered, err := c.gateways[regulator].RecoverFor(t.Context(), hospitalB, hospitalA, a.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	covered := map[int]bool{}
	for _, one := range recovered.Manifest.Records {
		for _, p := range one.Parts {
			if p.Part.Class != record.Laboratory {
				t.Errorf("the manifest names part %d of class %v", p.Part.Index, p.Part.Class)
			}
			covered[p.Part.Index] = true
		}
	}
	if len(covered) == 0 || len(covered) == len(r.Parts) {
		t.Fatalf("%d of %d parts are covered: nothing to show", len(covered), len(r.Parts))
	}
	messages := map[string]seal.Message{regulator: recovered.Shares}
	q := share.ShareQuery{Custodian: hospitalA, Permit: a.ID, Manifest: recovered.Manifest}
	if messages[insurer], err = c.gateways[insurer].ShareFor(t.Context(), hospitalB, q); err != nil {
		t.Fatal(err)
	}
	for holder, m := range messages {
		for _, s := range c.sharesIn(recovered.Manifest, holder, m) {
			for _, p := range s.Parts {
				if !covered[p.Part] {
					t.Errorf("%s delivered its share of part %d", holder, p.Part)
				}
			}
			if len(s.Parts) != len(covered) {
				t.Errorf("%s delivered shares of %d parts, %d are covered", holder, len(s.Parts), len(covered))
			}
		}
	}
}

// sharesIn opens a message to hospital B.
func (c *consortium) sharesIn(m *seal.Manifest, holder string, sealed seal.Message) []escrow.Share {
	c.t.Helper()
	raw, err := stores[hospitalB].Get(share.BucketSecrets, "hpke")
	if err != nil {
		c.t.Fatal(err)
	}
	priv, err := seal.ParsePrivateKey(raw)
	if err != nil {
		c.t.Fatal(err)
	}
	content, err := seal.OpenFrom(priv, share.RecoveryPlace(m, holder), sealed)
	if err != nil {
		c.t.Fatal(err)
	}
	var shares []escrow.Share
	if err := json.Unmarshal(content, &shares); err != nil {
		c.t.Fatal(err)
	}
	return shares
}

// A share that was given for one permit is of no use under another: not its message, and
// not the manifest that asked for it.
func TestASharesMessageIsForOneRecovery(t *testing.T) {
	c, _, a := lodged(t, record.Laboratory)
	first, err := c.gateways[regulator].RecoverFor(t.Context(), hospitalB, hospitalA, a.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	delete(c.cut, hospitalA)
	b := c.emergencyOver(record.Condition)
	c.cut[hospitalA] = true
	c.recovery = func(r *recovery) { r.shares = first.Shares }
	_, _, err = c.openInEmergency(b)
	wantRefusal(t, err, share.EscrowShort)
	if !strings.Contains(err.Error(), regulator) {
		t.Errorf("%v doesn't name who sent it", err)
	}
	// The first permit's manifest under the second permit.
	_, err = c.gateways[insurer].ShareFor(t.Context(), hospitalB, share.ShareQuery{Custodian: hospitalA, Permit: b.ID, Manifest: first.Manifest})
	wantRefusal(t, err, refusal.Malformed)
}

func TestAHolderGivesNoShareWhere(t *testing.T) {
	c, _, a := lodged(t, record.Laboratory)
	m := seal.NewManifest(a.ID, hospitalA, hospitalB, a.Expires)
	q := share.ShareQuery{Custodian: hospitalA, Permit: a.ID, Manifest: m}
	_, err := c.gateways[insurer].ShareFor(t.Context(), hospitalB, q)
	wantRefusal(t, err, refusal.NotFound) // no recovery is on the ledger

	r, err := c.gateways[regulator].RecoverFor(t.Context(), hospitalB, hospitalA, a.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.gateways[insurer].ShareFor(t.Context(), hospitalB, q)
	wantRefusal(t, err, refusal.Malformed) // the manifest isn't the recovery's
	q.Manifest = r.Manifest
	_, err = c.gateways[insurer].ShareFor(t.Context(), regulator, q)
	wantRefusal(t, err, refusal.NotFound) // the permit is another member's
	if _, err = c.gateways[insurer].ShareFor(t.Context(), hospitalB, q); err != nil {
		t.Fatal(err) // the control
	}
	c.ledger.Advance(10 * time.Minute)
	_, err = c.gateways[insurer].ShareFor(t.Context(), hospitalB, q)
	wantRefusal(t, err, refusal.StaleClock) // it can't know of a rejection
	c.tick()
	c.ledger.Advance(access.DefaultEmergency * time.Second)
	c.tick()
	_, err = c.gateways[insurer].ShareFor(t.Context(), hospitalB, q)
	wantRefusal(t, err, refusal.Expired)
}

func TestARegulatorRecoversNothingWhere(t *testing.T) {
	c, _, a := lodged(t, record.Laboratory)
	recover := func(by, requester, permit string) error {
		_, err := c.gateways[by].RecoverFor(t.Context(), requester, hospitalA, permit, 0)
		return err
	}
	wantRefusal(t, recover(insurer, hospitalB, a.ID), refusal.KindNotAllowed)
	wantRefusal(t, recover(regulator, insurer, a.ID), refusal.NotFound)
	delete(c.cut, hospitalA)
	wantRefusal(t, recover(regulator, hospitalB, a.ID), share.CustodianReachable)
	byConsent, _, err := c.gateways[hospitalB].Request(t.Context(), share.Claim{
		Custodian: "HospitalA", Patient: chen, Purpose: consent.TREAT, Action: consent.Access, Classes: record.ClassesOf(record.Laboratory),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.cut[hospitalA] = true
	wantRefusal(t, recover(regulator, hospitalB, byConsent.ID), refusal.NotPermitted)
	if _, _, err := c.openInEmergency(byConsent); err == nil {
		t.Error("a request that was denied opened something")
	}
	other := c.stranger()
	wantRefusal(t, recover(regulator, hospitalB, other.ID), refusal.NotFound) // nothing of this patient is in escrow
}

// stranger is a break-glass permit for a patient of whom hospital A holds nothing.
func (c *consortium) stranger() access.Access {
	before := chen
	chen.Value = "MRN-9999"
	defer func() { chen = before }()
	delete(c.cut, hospitalA)
	defer func() { c.cut[hospitalA] = true }()
	return c.emergencyOver(record.Laboratory)
}

func TestADepositIsHeldAgainstTheLedger(t *testing.T) {
	cases := map[string]struct {
		deposit func(d *share.Deposit)
		sealed  func([]byte) []byte
	}{
		"an altered package": {deposit: func(d *share.Deposit) { d.Package.Parts[0].Key[0] ^= 1 }},
		"a part said to be other": {deposit: func(d *share.Deposit) {
			if d.Parts = slices.Clone(d.Parts); len(d.Parts) > 0 {
				d.Parts[0].Salt[0] ^= 1
			}
		}},
		"too few parts":          {deposit: func(d *share.Deposit) { d.Parts = d.Parts[:max(len(d.Parts)-1, 0)] }},
		"an altered share":       {deposit: func(d *share.Deposit) { d.Share.Ciphertext[0] ^= 1 }},
		"other sealed bytes":     {sealed: func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
		"sealed bytes cut short": {sealed: func(b []byte) []byte { return b[:len(b)-1] }},
		"sealed bytes with more": {sealed: func(b []byte) []byte { return append(b, 0) }},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			c.tick()
			r := c.submit(bundle(6))
			c.deposit, c.sealed = tc.deposit, tc.sealed
			err := c.gateways[hospitalA].Lodge(t.Context())
			wantRefusal(t, err, refusal.Malformed)
			if !strings.Contains(err.Error(), regulator) {
				t.Errorf("the regulator took it: %v", err)
			}
			l, ok, err := c.gateways[hospitalA].RecordEscrow(r.ID)
			if err != nil || !ok || l.Complete() || slices.Contains(l.Kept, regulator) || l.Problem == "" {
				t.Errorf("the record is told to be in escrow as %+v: %v", l, err)
			}
			for e, err := range c.vaults[regulator].List(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if name == "other sealed bytes" || tc.deposit != nil {
					t.Errorf("%s is left in the regulator's vault", e.Name)
				}
			}
		})
	}
}

func TestADownHolderDelaysEscrowAndNotTheSubmission(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.cut = map[string]bool{insurer: true}
	r := c.submit(bundle(6))
	if err := c.gateways[hospitalA].Lodge(t.Context()); !errors.Is(err, share.ErrUnavailable) {
		t.Fatalf("lodging: %v", err)
	}
	l, ok, err := c.gateways[hospitalA].RecordEscrow(r.ID)
	if err != nil || !ok || l.Complete() || !slices.Equal(l.Kept, []string{regulator, hospitalB}) || !strings.Contains(l.Problem, insurer) {
		t.Fatalf("the record is told to be in escrow as %+v: %v", l, err)
	}
	delete(c.cut, insurer)
	if err := c.gateways[hospitalA].Lodge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l, _, err = c.gateways[hospitalA].RecordEscrow(r.ID); err != nil || !l.Complete() || l.Threshold != 3 {
		t.Errorf("the record is told to be in escrow as %+v: %v", l, err)
	}
	if left, err := stores[hospitalA].List(share.BucketLodgings); err != nil || len(left) > 0 {
		t.Errorf("the custodian keeps the shares of %d records: %v", len(left), err)
	}
}

// Vault and ledger together hold nothing that opens: not at a regulator either, who keeps
// all that is needed but the shares of the others.
func TestNoPackageAndNoShareLiesInAVault(t *testing.T) {
	c, _, _ := lodged(t, record.Laboratory)
	for msp, v := range c.vaults {
		for e, err := range v.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if msp != hospitalA && msp != regulator {
				t.Errorf("%s keeps %d bytes", msp, e.Size)
			}
		}
	}
}

// erase has the ledger say that parts of a record, or all of it, are erased.
func (c *consortium) erase(id string, parts ...int) {
	c.t.Helper()
	var out json.RawMessage
	if _, err := c.chains[hospitalA].Submit(c.t.Context(), contract.RecordErase, contract.Erasing{ID: id, Parts: parts, Reason: record.PatientRequest}, &out); err != nil {
		c.t.Fatal(err)
	}
}

func TestAnErasedPartIsErasedWithEveryHolderAndTheOthersOpen(t *testing.T) {
	c, r, a := lodged(t, record.Laboratory, record.Condition)
	var lab int
	for _, p := range r.Parts {
		if p.Class == record.Laboratory {
			lab = p.Index
		}
	}
	wantRefusal(t, c.gateways[regulator].Forget(t.Context(), hospitalA, r.ID, []int{lab}), refusal.WrongState)
	c.erase(r.ID, lab)
	if err := c.gateways[hospitalA].ForgetEscrow(t.Context(), r.ID, []int{lab}); err != nil {
		t.Fatal(err)
	}
	for _, msp := range []string{hospitalB, insurer, regulator} {
		wantRefusal(t, c.gateways[msp].Forget(t.Context(), hospitalA, r.ID, nil), refusal.WrongState) // the rest stands
		c.alter(msp, r.ID, func(k map[string]any) {
			for _, p := range k["share"].(map[string]any)["parts"].([]any) {
				if int(p.(map[string]any)["part"].(float64)) == lab {
					t.Errorf("%s keeps its share of the erased part", msp)
				}
			}
		})
	}
	parts, _, err := c.openInEmergency(a)
	if err != nil || parts[record.Laboratory] != nil || parts[record.Condition] == nil {
		t.Errorf("opened %v: %v", parts, err)
	}
}

func TestWhatIsErasedIsErasedWithEveryHolder(t *testing.T) {
	keeps := func(c *consortium, msp string) (n int) {
		c.t.Helper()
		for _, bucket := range []string{share.BucketKept, share.BucketEscrowIndex} {
			all, err := stores[msp].List(bucket)
			if err != nil {
				c.t.Fatal(err)
			}
			n += len(all)
		}
		for _, err := range c.vaults[msp].List(c.t.Context()) {
			if err != nil {
				c.t.Fatal(err)
			}
			n++
		}
		return n
	}
	c, r, a := lodged(t, record.Laboratory)
	delete(c.cut, hospitalA)
	for _, msp := range []string{insurer, regulator} {
		wantRefusal(t, c.gateways[msp].Forget(t.Context(), hospitalA, r.ID, nil), refusal.WrongState) // nobody's word but the ledger's
		if err := c.gateways[msp].SweepEscrow(t.Context()); err != nil || keeps(c, msp) == 0 {
			t.Fatalf("%s keeps %d: %v", msp, keeps(c, msp), err)
		}
	}
	c.erase(r.ID)
	c.cut[insurer] = true
	if err := c.gateways[hospitalA].ForgetEscrow(t.Context(), r.ID, nil); !errors.Is(err, share.ErrUnavailable) {
		t.Fatalf("with a holder out of reach: %v", err)
	}
	if keeps(c, regulator) != 0 || keeps(c, hospitalB) != 0 {
		t.Errorf("the regulator keeps %d things, hospital B %d", keeps(c, regulator), keeps(c, hospitalB))
	}
	if err := c.gateways[insurer].SweepEscrow(t.Context()); err != nil || keeps(c, insurer) != 0 {
		t.Errorf("the insurer, who wasn't told, keeps %d things after its own sweep: %v", keeps(c, insurer), err)
	}
	c.cut = map[string]bool{hospitalA: true}
	if parts, _, err := c.openInEmergency(a); err == nil || len(parts) > 0 {
		t.Errorf("after the erasure it opened %v", parts)
	}
}

func TestARestartLeavesWhatIsKeptForOthers(t *testing.T) {
	c, _, a := lodged(t, record.Laboratory)
	for _, msp := range []string{hospitalB, insurer, regulator} {
		if err := c.gateways[msp].Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if parts, _, err := c.openInEmergency(a); err != nil || len(parts) != 1 {
		t.Errorf("opened %v: %v", parts, err)
	}
}

func TestARecordIsSubmittedWithoutEscrowWhereItCantBeMet(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	c.gateways[hospitalA].Escrow.Threshold = 4
	if err := c.gateways[hospitalA].CheckEscrow(t.Context()); err == nil || !strings.Contains(err.Error(), "threshold of 4") {
		t.Errorf("the threshold is accepted: %v", err)
	}
	r := c.submit(bundle(6))
	if _, ok, err := c.gateways[hospitalA].RecordEscrow(r.ID); ok || err != nil || !r.Escrow.IsZero() {
		t.Errorf("the record is in escrow: %v, %v", ok, err)
	}
	c.gateways[hospitalA].Escrow = share.EscrowPolicy{Off: true}
	if err := c.gateways[hospitalA].CheckEscrow(t.Context()); err != nil {
		t.Error(err)
	}
}

// What escrow costs beside what a submission costs anyway; the ledger is in memory, so this
// is the gateway's own work.
func BenchmarkSubmit(b *testing.B) {
	for _, off := range []bool{true, false} {
		b.Run(fmt.Sprintf("escrow=%v", !off), func(b *testing.B) {
			c := newConsortium(b)
			c.tick()
			g := c.gateways[hospitalA]
			g.Escrow.Off = off
			content := bundle(6)
			for b.Loop() {
				if _, _, err := g.Submit(b.Context(), share.Submission{Patient: chen, MediaType: share.FHIR}, bytes.NewReader(content)); err != nil {
					b.Fatal(err)
				}
				if err := g.Lodge(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
