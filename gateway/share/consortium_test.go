package share_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/handle"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

const (
	hospitalA = "HospitalAMSP"
	hospitalB = "HospitalBMSP"
	insurer   = "InsurerMSP"
	regulator = "RegulatorMSP"
)

var kinds = map[string]registry.Kind{
	hospitalA: registry.Hospital, hospitalB: registry.Hospital, insurer: registry.Insurer, regulator: registry.Regulator,
}

var chen = share.Patient{System: "https://hospital-a.example/mrn", Value: "MRN-0042"}

// consortium is four members' gateways over one in-process ledger that simulates,
// validates and commits as Fabric does.
type consortium struct {
	t        testing.TB
	ledger   *ledgertest.Ledger
	mu       sync.Mutex
	gateways map[string]*share.Gateway
	chains   map[string]*chain
	deliver  func(share.Delivery) share.Delivery   // a hand on the wire between gateways
	line     func(io.Reader) io.Reader             // … on what passes there
	spared   int64                                 // bytes that requesters held already
	lie      *delivery                             // what a custodian sends instead of the truth
	disclose func(share.Disclosed) share.Disclosed // a hand on what a holder discloses
	forged   *share.Disclosed                      // what a holder sends without answering
	cut      map[string]bool                       // members whose gateway can't be reached
	deposit  func(*share.Deposit)                  // a hand on what a custodian puts into escrow
	sealed   func([]byte) []byte                   // … on the sealed bytes that go with it
	recovery func(*recovery)                       // … on what a regulator recovers
	vaults   map[string]vault.Vault
	// evaluated is a hand on what an evaluator sees and answers.
	evaluated func(evaluator string, r handle.Relation, blinded [][]byte, done handle.Evaluation) handle.Evaluation
	quota     share.Quota
	// evaluators of the founding; not those that are the default, so that a custodian is one.
	evaluators []string
}

func newConsortium(t testing.TB) *consortium { return newConsortiumOf(t, share.Quota{}) }

func newConsortiumOf(t testing.TB, quota share.Quota) *consortium {
	t.Helper()
	return newConsortiumBy(t, quota, hospitalA, regulator)
}

// newConsortiumBy is one whose handles are evaluated by the members given.
func newConsortiumBy(t testing.TB, quota share.Quota, evaluators ...string) *consortium {
	t.Helper()
	c := &consortium{
		t: t, quota: quota, evaluators: evaluators, ledger: ledgertest.New(t, hospitalA, hospitalB, insurer, regulator),
		gateways: map[string]*share.Gateway{}, chains: map[string]*chain{}, vaults: map[string]vault.Vault{},
		deliver: func(d share.Delivery) share.Delivery { return d },
	}
	cc, err := contract.New(func() record.Instant { return record.At(c.ledger.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	c.ledger.Install(cc)
	var founders []registry.Candidate
	for _, msp := range []string{hospitalA, hospitalB, insurer, regulator} {
		c.start(msp, t.TempDir())
		founders = append(founders, c.gateways[msp].Candidate())
	}
	if err := c.gateways[regulator].Found(t.Context(), founders); err != nil {
		t.Fatal(err)
	}
	return c
}

// start starts a member's gateway with a vault in dir and an empty key store.
func (c *consortium) start(msp, dir string) *share.Gateway {
	c.t.Helper()
	store := emptyStore(c.t, msp)
	sealed, err := vault.OpenDir(filepath.Join(dir, "vault"))
	if err != nil {
		c.t.Fatal(err)
	}
	link := &chain{c: c, msp: msp, as: c.ledger.Client(msp)}
	clinicians := &chain{c: c, msp: msp, as: c.ledger.EnrolWith(msp, "clinicians", map[string]string{access.RoleAttribute: string(access.Clinician)})}
	g, err := share.New(share.Config{
		Self:   registry.Candidate{MSP: msp, Name: msp[:len(msp)-3], Kind: kinds[msp], Gateway: "127.0.0.1:1"},
		Ledger: link, Clinicians: clinicians, Keys: store, Vault: sealed, Exchange: wire{c, msp},
		Channel: "test", Evaluator: slices.Contains(c.evaluators, msp), Quota: c.quota,
		Now: func() time.Time { return c.ledger.Now() }, Log: slog.New(slog.DiscardHandler), Gather: time.Millisecond,

		Holders: holders{c, msp},
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.gateways[msp], c.chains[msp], c.vaults[msp] = g, link, sealed
	c.t.Cleanup(func() {
		if err := g.Close(context.Background()); err != nil {
			c.t.Error(err)
		}
		sealed.Close()
	})
	return g
}

// stores are real key stores, one a member. Opening one costs a tenth of a second on
// purpose, so the tests of this package take turns with one set.
var stores = map[string]*keys.Store{}

// storePath is the file of a member's store.
func storePath(msp string) string { return filepath.Join(storesDir, msp) }

var storesDir string

const passphrase = "correct horse"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "share")
	storesDir = dir
	if err != nil {
		panic(err)
	}
	for msp := range kinds {
		if stores[msp], err = keys.Create(storePath(msp), []byte(passphrase)); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	for _, s := range stores {
		s.Close()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func emptyStore(t testing.TB, msp string) *keys.Store {
	t.Helper()
	err := stores[msp].Update(func(tx *keys.Tx) error {
		for _, bucket := range share.Buckets {
			var names []string
			for e, err := range tx.List(bucket) {
				if err != nil {
					return err
				}
				names = append(names, e.Name)
			}
			for _, name := range names {
				if err := tx.Delete(bucket, name); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return stores[msp]
}

// chain is the ledger as one member's gateway sees it. fail, where set, may break a
// call before it happens or, after it happened, lose the answer.
type chain struct {
	c    *consortium
	msp  string
	as   ledgertest.Identity // who signs
	fail func(function string, done bool) error
	// twist, where set, changes what the ledger answers to a transaction.
	twist func(function string, out any)
}

func (l *chain) broken(function string, done bool) error {
	l.c.mu.Lock()
	defer l.c.mu.Unlock()
	if l.fail == nil {
		return nil
	}
	return l.fail(function, done)
}

func (l *chain) Submit(ctx context.Context, function string, in, out any) (ledger.Commit, error) {
	if err := l.broken(function, false); err != nil {
		return ledger.Commit{}, err
	}
	arg, err := json.Marshal(in)
	if err != nil {
		return ledger.Commit{}, err
	}
	tx, err := l.c.ledger.Invoke(ctx, l.as, function, string(arg))
	if err != nil {
		return ledger.Commit{}, refused(err)
	}
	if err := l.broken(function, true); err != nil {
		return ledger.Commit{}, err
	}
	err = json.Unmarshal(tx.Response, out)
	if l.twist != nil {
		l.twist(function, out)
	}
	return ledger.Commit{TxID: tx.ID, Block: tx.Block, Own: true}, err
}

func (l *chain) Evaluate(ctx context.Context, function string, in, out any, _ ...ledger.Option) error {
	arg, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := l.c.ledger.Evaluate(ctx, l.c.ledger.Client(l.msp), l.msp, function, string(arg))
	if err != nil {
		return refused(err)
	}
	return json.Unmarshal(answer, out)
}

// Height counts the blocks: the genesis block, which the ledger leaves out, is one.
func (l *chain) Height(context.Context) (uint64, error) { return l.c.ledger.Height() + 1, nil }

// refused finds the refusal in an endorser's answer, as gateway/ledger does.
func refused(err error) error {
	if r, ok := refusal.Parse(err.Error()); ok {
		return &ledger.Refused{Refusal: r}
	}
	return err
}

// wire joins the gateways of one process, as gateway/api joins those of many.
type wire struct {
	c    *consortium
	from string
}

func (w wire) Evaluate(ctx context.Context, evaluator registry.Member, r handle.Relation, blinded [][]byte) (handle.Evaluation, error) {
	if w.c.cut[evaluator.MSP] {
		return handle.Evaluation{}, share.ErrUnavailable
	}
	done, err := w.c.gateways[evaluator.MSP].EvaluateFor(ctx, w.from, r, blinded)
	if err == nil && w.c.evaluated != nil {
		done = w.c.evaluated(evaluator.MSP, r, blinded, done)
	}
	return done, err
}

func (w wire) Release(ctx context.Context, custodian registry.Member, q share.ReleaseQuery) (share.Delivery, error) {
	switch {
	case w.c.cut[custodian.MSP]:
		return nil, share.ErrUnavailable
	case w.c.lie != nil:
		return w.c.lie, nil
	}
	parcel, err := w.c.gateways[custodian.MSP].Release(ctx, w.from, q.Permit, q.Height, q.Whom)
	if err != nil {
		return nil, err
	}
	held := map[share.Held]int64{}
	for _, h := range q.Held {
		held[share.Held{Record: h.Record, Part: h.Part}] = h.Bytes
		w.c.spared += h.Bytes
	}
	d := &delivery{manifest: parcel.Manifest, line: w.c.line}
	for _, r := range parcel.Manifest.Records {
		for _, p := range r.Parts {
			sealed, err := parcel.SealedFrom(ctx, r.Anchor, p.Part, held[share.Held{Record: r.Anchor, Part: p.Part.Index}])
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
	return w.c.deliver(d), nil
}

func (w wire) Disclose(ctx context.Context, holder registry.Member, order string, height uint64) (share.Disclosed, error) {
	switch {
	case w.c.cut[holder.MSP]:
		return share.Disclosed{}, share.ErrUnavailable
	case w.c.forged != nil:
		return *w.c.forged, nil
	}
	d, err := w.c.gateways[holder.MSP].Disclose(ctx, w.from, order, height)
	if err == nil && w.c.disclose != nil {
		d = w.c.disclose(d)
	}
	return d, err
}

func (w wire) Erased(ctx context.Context, requester registry.Member, n share.Notice) error {
	if w.c.cut[requester.MSP] {
		return share.ErrUnavailable
	}
	return w.c.gateways[requester.MSP].Erased(ctx, w.from, n)
}

type delivery struct {
	manifest *seal.Manifest
	parts    [][]byte
	line     func(io.Reader) io.Reader
}

func (d *delivery) Manifest() *seal.Manifest { return d.manifest }
func (d *delivery) Close() error             { return nil }

func (d *delivery) Part() (io.Reader, error) {
	if len(d.parts) == 0 {
		return nil, io.EOF
	}
	part := d.parts[0]
	d.parts = d.parts[1:]
	if d.line != nil {
		return d.line(bytes.NewReader(part)), nil
	}
	return bytes.NewReader(part), nil
}

// opened collects what a requester opens.
type opened map[record.Class]*bytes.Buffer

func (o opened) sink(_ string, p record.Part) (io.Writer, error) {
	b := &bytes.Buffer{}
	o[p.Class] = b
	return b, nil
}

// bundle is a small FHIR R4 Bundle with a laboratory result, a condition, and one
// condition under psychiatric sensitivity.
func bundle(value int) []byte {
	return fmt.Appendf(nil, `{"resourceType":"Bundle","type":"collection","entry":[
{"resource":{"resourceType":"Patient","id":"p1","identifier":[{"system":"https://hospital-a.example/mrn","value":"MRN-0042"}]}},
{"resource":{"resourceType":"Observation","id":"o1","status":"final","category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/observation-category","code":"laboratory"}]}],"code":{"coding":[{"system":"http://loinc.org","code":"4548-4"}]},"effectiveDateTime":"2024-03-01T08:00:00Z","valueQuantity":{"value":%d,"unit":"%%"}}},
{"resource":{"resourceType":"Condition","id":"c1","code":{"coding":[{"system":"http://snomed.info/sct","code":"44054006"}]},"subject":{"reference":"Patient/p1"},"recordedDate":"2024-03-01"}},
{"resource":{"resourceType":"Condition","id":"c2","meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]},"code":{"coding":[{"system":"http://snomed.info/sct","code":"35489007"}]},"subject":{"reference":"Patient/p1"},"recordedDate":"2024-03-02"}}
]}`, value)
}
