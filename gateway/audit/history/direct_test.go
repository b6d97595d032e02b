package history_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gojson "github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/ledger"
)

// world is the real chaincode on an in-process ledger, and the blocks that come of it.
type world struct {
	*testing.T
	*rand.Rand
	ledger *ledgertest.Ledger
	chain  projectiontest.Chain
	refuse int
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{T: t, Rand: rand.New(rand.NewPCG(seed, 1)), ledger: ledgertest.New(t, "H1", "H2", "I1", "R1")}
	cc, err := contract.New(func() record.Instant { return record.At(w.ledger.Now()) })
	if err != nil {
		t.Fatal(err)
	}
	w.ledger.Install(cc)
	var founders []registry.Candidate
	for i, m := range []string{"H1", "H2", "I1", "R1"} {
		founders = append(founders, registry.Candidate{
			MSP: m, Name: "member " + m, Kind: []registry.Kind{registry.Hospital, registry.Hospital, registry.Insurer, registry.Regulator}[i], Gateway: "127.0.0.1:" + strconv.Itoa(7000+i),
			Keys:      registry.Keys{HPKE: registry.Key{ID: "h", Public: make([]byte, registry.HPKEKeySize)}, Signing: registry.Key{ID: "s", Public: make([]byte, registry.SigningKeySize)}},
			Evaluator: &registry.Key{ID: "e", Public: []byte("32 bytes that nobody evaluates by")[:32]},
		})
	}
	w.submit("R1", contract.RegistryFound, contract.Founding{Members: founders}, nil)
	return w
}

func (w *world) hex(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "0123456789abcdef"[w.IntN(16)]
	}
	return string(b)
}

// submit sends a transaction and keeps the block that it makes. A refusal by a rule is
// fine: the ledger has nothing of it then.
func (w *world) submit(msp, function string, in, out any) bool {
	w.Helper()
	return w.submitAs(w.ledger.Client(msp), function, in, out)
}

func (w *world) submitAs(who ledgertest.Identity, function string, in, out any) bool {
	w.Helper()
	arg, err := gojson.Marshal(in)
	if err != nil {
		w.Fatal(err)
	}
	tx, err := w.ledger.Invoke(w.Context(), who, function, string(arg))
	if tx == nil {
		if w.refuse++; err == nil || !strings.Contains(err.Error(), `"code"`) {
			w.Fatal(err)
		}
		return false
	}
	t := ledger.Transaction{
		ID: tx.ID, Creator: ledger.Identity{MSP: who.MSP, Name: "gateway"}, Timestamp: tx.Timestamp, Chaincode: projectiontest.Chaincode, Function: function,
		Argument: arg, Endorsers: tx.Endorsers, Code: tx.Code,
	}
	for _, s := range tx.RWSet.Writes {
		write := ledger.Write{Namespace: projectiontest.Chaincode, Key: s.Key, Value: s.Value, Delete: s.IsDelete}
		if parts := strings.Split(strings.Trim(s.Key, "\x00"), "\x00"); s.Key[0] == 0 {
			write.ObjectType, write.Attributes = parts[0], parts[1:]
		}
		t.Writes = append(t.Writes, write)
	}
	var previous []byte
	if n := len(w.chain); n > 0 {
		previous = w.chain[n-1].Hash[:]
	}
	w.chain = append(w.chain, projectiontest.Link(previous, uint64(len(w.chain)), []ledger.Transaction{t}))
	if out != nil && err == nil {
		if err := gojson.Unmarshal(tx.Response, out); err != nil {
			w.Fatal(err)
		}
	}
	return err == nil
}

func ask[Out any](w *world, function string, in any) Out {
	w.Helper()
	arg, err := gojson.Marshal(in)
	if err != nil {
		w.Fatal(err)
	}
	answer, err := w.ledger.Evaluate(w.Context(), w.ledger.Client("R1"), "R1", function, string(arg))
	if err != nil {
		w.Fatal(err)
	}
	var out Out
	if err := gojson.Unmarshal(answer, &out); err != nil {
		w.Fatal(err)
	}
	return out
}

// What the projection answers is what the chaincode answers of its own state: every
// consent with every version, every access with its release and receipt, every record,
// every member, after a history drawn at random through the real chaincode.
func TestTheProjectionAgreesWithTheChaincode(t *testing.T) {
	w := newWorld(t, 5)
	type between = contract.Relationship
	relationships := []between{{Custodian: "H1", Requester: "I1", Handle: "1-" + w.hex(64)}, {Custodian: "H2", Requester: "I1", Handle: "1-" + w.hex(64)}, {Custodian: "H1", Requester: "H2", Handle: "1-" + w.hex(64)}}
	consents, versions := map[string]between{}, map[string]int{}
	asked, records := map[string]between{}, map[string]string{}
	var released []contract.ReceiptOrder
	var permits []access.Access
	steps := 250
	if testing.Short() {
		steps = 120
	}
	for range steps {
		w.ledger.Advance(time.Duration(w.IntN(40)) * time.Second)
		r := relationships[w.IntN(len(relationships))]
		purpose := map[string]consent.Purpose{"I1": consent.CLMATTCH, "H2": consent.TREAT}[r.Requester]
		var ids []string
		for id, of := range consents {
			if of == r {
				ids = append(ids, id)
			}
		}
		switch n := w.IntN(10); {
		case n < 1:
			id := w.hex(32)
			p := consent.Provision{Type: consent.Permit, Purposes: consent.PurposesOf(purpose), Classes: record.ClassesOf(record.Laboratory, record.Imaging)}
			if w.submit(r.Custodian, contract.ConsentGrant, contract.Grant{ID: id, Requester: r.Requester, Handle: r.Handle, Provision: p, Evidence: w.hex(64)}, nil) {
				consents[id], versions[id] = r, 1
			}
		case n == 1 && len(ids) > 0 && w.IntN(3) == 0:
			id := ids[w.IntN(len(ids))]
			if w.submit(r.Custodian, contract.ConsentWithdraw, contract.Withdrawal{ID: id, Requester: r.Requester, Handle: r.Handle, Reason: "patient-request"}, nil) {
				versions[id] = len(ask[contract.ConsentPage](w, contract.ConsentHistory, contract.HistoryQuery{Custodian: r.Custodian, Requester: r.Requester, Handle: r.Handle, ID: id, Size: 100}).Versions)
			}
		case n == 2 && len(ids) > 0 && w.IntN(2) == 0:
			id := ids[w.IntN(len(ids))]
			p := consent.Provision{Type: consent.Permit, Purposes: consent.PurposesOf(purpose)}
			if w.submit(r.Custodian, contract.ConsentAmend, contract.Amendment{ID: id, Version: versions[id] + 1, Requester: r.Requester, Handle: r.Handle, Provision: p, Evidence: w.hex(64)}, nil) {
				versions[id]++
			}
		case n < 6:
			var a access.Access
			in := access.Request{ID: w.hex(32), Custodian: r.Custodian, Handle: r.Handle, Purpose: purpose, Action: consent.Access, Classes: record.ClassesOf(record.Laboratory, record.Genomics)}
			if w.submit(r.Requester, contract.AccessRequest, in, &a) {
				asked[a.ID] = r
				if a.Permitted() {
					permits = append(permits, a)
				}
			}
		case n < 8 && len(permits) > 0:
			a := permits[len(permits)-1] // the newest: the consents may have changed since older ones
			permits = permits[:len(permits)-1]
			digest := w.hex(64)
			in := contract.Releasing{Releases: []contract.ReleaseOrder{{Permit: a.ID, Requester: a.Requester, Handle: a.Handle, Manifest: digest}}}
			if w.submit(a.Custodian, contract.AccessRelease, in, nil) && w.IntN(3) > 0 {
				released = append(released, contract.ReceiptOrder{Permit: a.ID, Custodian: a.Custodian, Manifest: digest, Outcome: access.Opened})
			}
		case n == 8 && len(released) > 0:
			if w.submit(asked[released[0].Permit].Requester, contract.AccessReceive, contract.Receiving{Receipts: released[:1]}, nil) {
				released = released[1:]
			}
		case n == 9:
			id := w.hex(32)
			draft := contract.AnchorDraft{ID: id, Root: record.Hash{1, byte(w.IntN(256))}, Parts: 1 + w.IntN(4), Bytes: 100}
			for old, at := range records {
				if at == r.Custodian && w.IntN(4) == 0 {
					draft.Supersedes = old
				}
			}
			if w.submit(r.Custodian, contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{draft}}, nil) {
				records[id] = r.Custodian
			}
		}
	}
	ordered := 0
	for n, id := range slices.Sorted(maps.Keys(asked)) {
		if ordered == 12 {
			break
		}
		r, order := asked[id], w.hex(32)
		draft := disclosure.Draft{ID: order, Subject: disclosure.Subject{What: disclosure.Manifest, Custodian: r.Custodian, Requester: r.Requester, ID: id}, Reason: "case-1"}
		if !w.submit("R1", contract.DisclosureOrder, draft, nil) {
			continue // what wasn't released has no manifest
		}
		if ordered++; n%3 == 0 {
			continue // nobody answers
		}
		word := contract.Answering{Order: order, Regulator: "R1", Word: disclosure.Given}
		if n%2 == 0 {
			word.Word, word.Reason = disclosure.Refused, "privileged"
		}
		if w.submit(r.Custodian, contract.DisclosureAnswer, word, nil) && word.Word == disclosure.Given {
			w.submit("R1", contract.DisclosureConclude, contract.Concluding{Order: order, Holder: r.Custodian, Outcome: disclosure.Disclosed}, nil)
		}
	}
	if ordered < 3 {
		t.Errorf("%d orders were given", ordered)
	}
	h := made(t, w.chain)
	if len(consents) == 0 || len(asked) == 0 || len(records) == 0 {
		t.Fatal("nothing to compare")
	}
	trail := everything(t, h, history.Filter{}, 1000, false)

	for id, r := range consents {
		direct := ask[contract.ConsentPage](w, contract.ConsentHistory, contract.HistoryQuery{Custodian: r.Custodian, Requester: r.Requester, Handle: r.Handle, ID: id, Size: 100})
		list, _, _, err := h.Consent(t.Context(), id, history.Page{Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		var got []contract.ConsentVersion
		for _, v := range list {
			got = append(got, v.ConsentVersion)
		}
		agree(t, "versions of consent "+id, direct.Versions, got)
	}
	disclosed := map[string]history.Access{}
	for _, r := range relationships {
		list, _, _, err := h.Disclosures(t.Context(), []contract.Relationship{r}, record.Period{}, history.Page{Size: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			disclosed[a.ID] = a
		}
	}
	decided := map[string]history.Entry{}
	for _, e := range trail {
		if e.Kind == projection.KindRequest {
			decided[e.Object] = e
		}
	}
	for id, r := range asked {
		direct := ask[contract.AccessList](w, contract.AccessAccess, contract.AccessQuery{Custodian: r.Custodian, Requester: r.Requester, IDs: []string{id}}).Accesses[0]
		e := decided[id]
		d := direct.Access.Decision
		if e.Handle != r.Handle || (e.Outcome == projection.Success) != direct.Access.Permitted() || e.Reason != string(d.Rule.Reason) || e.Policy.Consent != d.Rule.Consent || e.Policy.Version != d.Rule.Version {
			t.Errorf("decision on %s: chaincode %+v, trail %+v", id, d, e)
		}
		a, released := disclosed[id]
		if released != (direct.Release != nil) {
			t.Errorf("access %s: the chaincode has release %v, the projection %v", id, direct.Release, a.Release)
		}
		if released {
			agree(t, "access "+id, direct, contract.AccessEntry{ID: a.ID, Access: a.Asked, Release: a.Release, Receipt: a.Receipt})
		}
	}
	for id, custodian := range records {
		direct := ask[record.Anchor](w, contract.RecordRecord, contract.RecordQuery{Custodian: custodian, ID: id})
		entries := everything(t, h, history.Filter{Records: []string{id}}, 50, true)
		if len(entries) == 0 || string(entries[0].Action) != string(direct.Status) || entries[0].Custodian != custodian {
			t.Errorf("record %s is %s, the trail ends with %+v", id, direct.Status, entries)
		}
	}
	for _, holder := range []string{"H1", "H2", "I1"} {
		direct := ask[contract.DisclosurePage](w, contract.DisclosureDisclosures, contract.DisclosuresQuery{Holder: holder, Size: 100}).Disclosures
		list, _, _, err := h.Orders(t.Context(), history.OrderFilter{Holder: holder}, history.Page{Size: 100})
		if err != nil {
			t.Fatal(err)
		}
		var got []disclosure.Disclosure
		for _, o := range list {
			got = append(got, o.Disclosure)
		}
		byID := func(a, b disclosure.Disclosure) int { return strings.Compare(a.Order.ID, b.Order.ID) }
		slices.SortFunc(got, byID)
		slices.SortFunc(direct, byID)
		if len(direct) > 0 {
			agree(t, "orders to "+holder, direct, got)
		} else if len(got) > 0 {
			t.Errorf("orders to %s that the chaincode hasn't: %v", holder, got)
		}
		open, _, _, err := h.Orders(t.Context(), history.OrderFilter{Holder: holder, Open: true}, history.Page{Size: 1})
		if err != nil || len(open) > 0 && open[0].Conclusion != nil {
			t.Errorf("open orders to %s: %v, %v", holder, open, err)
		}
	}
	for _, m := range ask[contract.MemberList](w, contract.RegistryMembers, contract.Nothing{}).Members {
		entries := everything(t, h, history.Filter{Object: m.MSP, Kinds: []projection.Kind{projection.KindMember}}, 50, true)
		if len(entries) == 0 || entries[0].Reason != string(m.Status) {
			t.Errorf("member %s is %s, the trail ends with %+v", m.MSP, m.Status, entries)
		}
	}
	t.Logf("%d blocks, %d entries, %d consents, %d accesses, %d released, %d records, %d refused", len(w.chain), len(trail), len(consents), len(asked), len(disclosed), len(records), w.refuse)
}

// agree compares as the ledger would write it.
func agree(t *testing.T, what string, direct, projected any) {
	t.Helper()
	a, errA := json.Marshal(direct)
	b, errB := json.Marshal(projected)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	if diff := cmp.Diff(string(a), string(b)); diff != "" {
		t.Errorf("%s: -chaincode +projection\n%s", what, diff)
	}
}
