package contract_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// The members of the test's consortium; Stranger is enrolled and not a member.
const (
	hospitalA = "HospitalA"
	hospitalB = "HospitalB"
	insurer   = "Insurer"
	regulator = "Regulator"
	stranger  = "Stranger"
)

var (
	patient = "1-" + strings.Repeat("ab", 32)
	other   = "1-" + strings.Repeat("cd", 32)
	digest  = strings.Repeat("0f", 32)
)

// world is a founded consortium on a ledger.
type world struct {
	testing.TB
	*ledgertest.Ledger
	serial int
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := unfounded(t)
	w.must(hospitalA, contract.RegistryFound, founding())
	return w
}

func unfounded(t testing.TB) *world {
	t.Helper()
	l := ledgertest.New(t, hospitalA, hospitalB, insurer, regulator)
	l.Enrol(stranger)
	w := &world{TB: t, Ledger: l}
	cc, err := contract.New(w.clock)
	if err != nil {
		t.Fatal(err)
	}
	l.Install(cc)
	return w
}

func (w *world) clock() record.Instant { return record.At(w.Now()) }

func founding() contract.Founding {
	return contract.Founding{Members: []registry.Candidate{
		candidate(hospitalA, registry.Hospital), candidate(hospitalB, registry.Hospital),
		candidate(insurer, registry.Insurer), candidate(regulator, registry.Regulator),
	}}
}

func candidate(msp string, kind registry.Kind) registry.Candidate {
	c := registry.Candidate{MSP: msp, Name: "The " + msp, Kind: kind, Gateway: "127.0.0.1:7443", Keys: keysOf(1)}
	if msp == hospitalA || msp == regulator {
		c.Evaluator = evaluatorKey(1)
	}
	return c
}

func evaluatorKey(b byte) *registry.Key {
	return &registry.Key{ID: fmt.Sprint("e", b), Public: bytes.Repeat([]byte{b}, epoch.KeySize)}
}

func keysOf(b byte) registry.Keys {
	k := registry.Keys{HPKE: registry.Key{ID: fmt.Sprint("h", b), Public: make([]byte, registry.HPKEKeySize)}, Signing: registry.Key{ID: fmt.Sprint("s", b), Public: make([]byte, registry.SigningKeySize)}}
	k.HPKE.Public[0], k.Signing.Public[0] = b, b
	return k
}

// id draws a new id.
func (w *world) id() string {
	w.serial++
	return fmt.Sprintf("%032x", w.serial)
}

func text(w testing.TB, arg any) string {
	w.Helper()
	if s, ok := arg.(string); ok {
		return s
	}
	b, err := json.Marshal(arg)
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

// try invokes: endorsed by all, in a block of its own.
func (w *world) try(who, function string, arg any) (*ledgertest.Tx, error) {
	w.Helper()
	return w.Invoke(w.Context(), w.Client(who), function, text(w, arg))
}

func (w *world) must(who, function string, arg any) *ledgertest.Tx {
	w.Helper()
	tx, err := w.try(who, function, arg)
	if err != nil {
		w.Fatalf("%s by %s: %v", function, who, err)
	}
	return tx
}

// endorse has all endorse, and commits nothing.
func (w *world) endorse(who, function string, arg any) *ledgertest.Tx {
	w.Helper()
	tx, err := w.Endorse(w.Context(), w.Client(who), w.Members(), function, text(w, arg))
	if err != nil {
		w.Fatalf("endorse %s by %s: %v", function, who, err)
	}
	return tx
}

// refused wants a refusal with the given code that says what would be allowed.
func (w *world) refused(code refusal.Code, who, function string, arg any) {
	w.Helper()
	_, err := w.try(who, function, arg)
	w.wantRefusal(code, err)
}

func (w *world) wantRefusal(code refusal.Code, err error) {
	w.Helper()
	if err == nil {
		w.Fatalf("passed, want refusal %s", code)
	}
	r, ok := refusal.Parse(err.Error())
	if !ok {
		w.Fatalf("error %q holds no refusal, want %s", err, code)
	}
	if r.Code != code {
		w.Fatalf("refusal %v, want %s", r, code)
	}
	if r.Allowed == "" || r.Message == "" {
		w.Errorf("refusal %v doesn't say what would be allowed", r)
	}
}

// into decodes an answer.
func into[T any](w testing.TB, answer []byte) T {
	w.Helper()
	var doc T
	if err := json.Unmarshal(answer, &doc); err != nil {
		w.Fatalf("decode %s: %v", answer, err)
	}
	return doc
}

func ask[T any](w *world, who, function string, arg any) T {
	w.Helper()
	b, err := w.Evaluate(w.Context(), w.Client(who), who, function, text(w, arg))
	if err != nil {
		w.Fatalf("%s by %s: %v", function, who, err)
	}
	return into[T](w, b)
}

// permitAll is a consent that permits everything to the requester.
func (w *world) grantFor(requester, handle string) contract.Grant {
	return contract.Grant{ID: w.id(), Requester: requester, Handle: handle, Provision: consent.Provision{Type: consent.Permit}, Evidence: digest}
}

// request asks for laboratory data, as the requester's kind may.
func (w *world) requestFor(requester, handle string) access.Request {
	r := access.Request{
		ID: w.id(), Custodian: hospitalA, Handle: handle, Purpose: consent.CLMATTCH, Action: consent.Access,
		Classes: record.ClassesOf(record.Laboratory),
	}
	if requester != insurer {
		r.Purpose = consent.TREAT
	}
	return r
}

// permitted grants, requests and returns the permit.
func (w *world) permitted(handle string) access.Access {
	w.Helper()
	w.must(hospitalA, contract.ConsentGrant, w.grantFor(insurer, handle))
	return w.permit(handle)
}

func (w *world) permit(handle string) access.Access {
	w.Helper()
	a := into[access.Access](w, w.must(insurer, contract.AccessRequest, w.requestFor(insurer, handle)).Response)
	if !a.Permitted() {
		w.Fatalf("the decision is %+v, want a permit", a.Decision)
	}
	return a
}

func releaseOf(a access.Access) contract.Releasing {
	return contract.Releasing{Releases: []contract.ReleaseOrder{{Permit: a.ID, Requester: a.Requester, Handle: a.Handle, Manifest: digest, Emergency: a.BreakGlass()}}}
}

func receiptOf(a access.Access) contract.Receiving {
	return contract.Receiving{Receipts: []contract.ReceiptOrder{{Permit: a.ID, Custodian: a.Custodian, Manifest: digest, Outcome: access.Opened}}}
}

func (w *world) draft() contract.AnchorDraft {
	return contract.AnchorDraft{ID: w.id(), Root: record.Hash{1}, Parts: 3, Bytes: 1000}
}

func (w *world) suspend(msp string) {
	w.Helper()
	for _, m := range w.Members() {
		if m != msp {
			w.must(m, contract.RegistryMove, registry.Motion{Suspend: &registry.Suspension{MSP: msp, Reason: "audit"}})
		}
	}
}

// codeOf is the code of the refusal in an error; "" if there is none.
func codeOf(err error) refusal.Code {
	var invalid *ledgertest.InvalidError
	if err == nil || errors.As(err, &invalid) {
		return ""
	}
	if r, ok := refusal.Parse(err.Error()); ok {
		return r.Code
	}
	return refusal.Code(err.Error())
}

const minute = time.Minute
