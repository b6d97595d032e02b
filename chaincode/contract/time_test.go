package contract_test

import (
	"testing"
	"time"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// dated endorses a request whose author claims another time.
func (w *world) dated(claim time.Duration) error {
	p := w.Propose(w.Client(insurer), contract.AccessRequest, text(w, w.requestFor(insurer, patient)))
	p.Timestamp = p.Timestamp.Add(claim)
	_, err := w.EndorseProposal(w.Context(), p, w.Members()...)
	return err
}

func TestBackdatingIsRefused(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		name  string
		claim time.Duration
		want  refusal.Code
	}{
		{"now", 0, ""},
		{"90 s ago", -90 * time.Second, ""},
		{"91 s ago", -91 * time.Second, refusal.StaleClock},
		{"90 s ahead", 90 * time.Second, ""},
		{"91 s ahead", 91 * time.Second, refusal.StaleClock},
		{"a year ago", -8760 * time.Hour, refusal.StaleClock},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := codeOf(w.dated(test.claim)); got != test.want {
				t.Errorf("refusal %q, want %q", got, test.want)
			}
		})
	}
}

func TestEveryWritingFunctionRefusesAStaleClock(t *testing.T) {
	w := newWorld(t)
	permit := w.permitted(patient)
	for function, arg := range w.examples(permit) {
		if !writes[function] {
			continue
		}
		p := w.Propose(w.Client(callerOf(function)), function, text(t, arg))
		p.Timestamp = p.Timestamp.Add(-91 * time.Second)
		_, err := w.EndorseProposal(w.Context(), p, w.Members()...)
		if got := codeOf(err); got != refusal.StaleClock {
			t.Errorf("%s: refusal %q", function, got)
		}
	}
}

// The attack: have a request endorsed while the consent holds, hold it back, submit it
// when the consent is over. Nothing that it read changes by itself.
func TestATransactionHeldBackIsInvalidOnceItsMinuteIsClosed(t *testing.T) {
	w := newWorld(t)
	g := w.grantFor(insurer, patient)
	g.Period.End = w.clock() + 30
	w.must(hospitalA, contract.ConsentGrant, g)
	held := w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	if a := into[access.Access](t, held.Response); !a.Permitted() {
		t.Fatal("the held-back request should have been permitted when endorsed")
	}
	w.Advance(5 * minute)
	w.must(regulator, contract.RegistryClose, contract.Closing{Through: w.clock().Minute() - 3})
	if code := w.Commit(held)[0]; code != mvcc {
		t.Errorf("held back, it is %v", code)
	}
}

// The control: a chaincode that doesn't read the closing lets the same attack through.
func TestWithoutReadingTheClosingTheHeldBackTransactionPasses(t *testing.T) {
	w := newWorld(t)
	cc, err := contract.New(w.clock)
	if err != nil {
		t.Fatal(err)
	}
	w.Install(blindToClosings{cc})
	g := w.grantFor(insurer, patient)
	g.Period.End = w.clock() + 30
	w.must(hospitalA, contract.ConsentGrant, g)
	held := w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	w.Advance(5 * minute)
	w.must(regulator, contract.RegistryClose, contract.Closing{Through: w.clock().Minute() - 3})
	if code := w.Commit(held)[0]; code != valid {
		t.Errorf("without the safeguard it is %v, so the safeguard isn't what stops it", code)
	}
}

// blindToClosings is the chaincode without the safeguard: it reads no closed/ key.
type blindToClosings struct{ shim.Chaincode }

func (b blindToClosings) Invoke(stub shim.ChaincodeStubInterface) *peer.Response {
	return b.Chaincode.Invoke(blindStub{stub})
}

type blindStub struct{ shim.ChaincodeStubInterface }

func (b blindStub) GetMultipleStates(keys ...string) ([][]byte, error) {
	const closed = "\x00closed\x00"
	values := make([][]byte, len(keys))
	for i, k := range keys {
		if len(k) > len(closed) && k[:len(closed)] == closed {
			continue
		}
		v, err := b.GetState(k)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

func TestATransactionOfAClosedMinuteIsRefused(t *testing.T) {
	w := newWorld(t)
	start := w.clock().Minute()
	w.Advance(minute + 90*time.Second)
	w.must(insurer, contract.RegistryClose, contract.Closing{Through: start})
	// Another endorser's clock may lag: its skew check would still let the claim in.
	lagging, err := contract.New(func() record.Instant { return w.clock() - 80 })
	if err != nil {
		t.Fatal(err)
	}
	w.Install(lagging)
	w.wantRefusal(refusal.MinuteClosed, w.dated(-150*time.Second))
}

func TestClosingsHoldNobodyUp(t *testing.T) {
	w := newWorld(t)
	w.Advance(5 * minute)
	r := w.endorse(insurer, contract.AccessRequest, w.requestFor(insurer, patient))
	c := w.endorse(regulator, contract.RegistryClose, contract.Closing{Through: w.clock().Minute() - 3})
	if codes := w.Commit(c, r); codes[0] != valid || codes[1] != valid {
		t.Errorf("codes %v", codes)
	}
}

func TestMinutesAreClosedInOrderAndNotTooEarly(t *testing.T) {
	w := newWorld(t)
	clock := ask[registry.Clock](w, insurer, contract.RegistryClock, contract.Nothing{})
	founded := w.clock().Minute()
	// The founding is dated 07:00:00. An endorser whose clock is 90 s behind takes
	// proposals dated 90 s before that, so from 06:57:00 on minutes are still to close.
	if oldest := founded - 3; clock.Latest != oldest-1 || clock.Closed != record.Instant(oldest*60) {
		t.Errorf("clock at founding %+v", clock)
	}
	w.refused(registry.MinuteOpen, regulator, contract.RegistryClose, contract.Closing{Through: founded})
	w.Advance(minute + 89*time.Second)
	w.refused(registry.MinuteOpen, regulator, contract.RegistryClose, contract.Closing{Through: founded})
	w.Advance(time.Second)
	tx := w.must(regulator, contract.RegistryClose, contract.Closing{Through: founded})
	if len(tx.RWSet.Writes) != 5 { // four minutes and the newest one's number
		t.Errorf("writes %q", tx.Writes())
	}
	if again := w.must(hospitalA, contract.RegistryClose, contract.Closing{Through: founded}); len(again.RWSet.Writes) != 0 {
		t.Errorf("closing again writes %q", again.Writes())
	}
	w.refused(registry.MinuteOpen, regulator, contract.RegistryClose, contract.Closing{Through: 1 << 62})
	w.Advance(300 * minute)
	w.refused(refusal.TooLarge, regulator, contract.RegistryClose, contract.Closing{Through: founded + 257})
	w.must(regulator, contract.RegistryClose, contract.Closing{Through: founded + 256})
	if clock := ask[registry.Clock](w, insurer, contract.RegistryClock, contract.Nothing{}); clock.Latest != founded+256 {
		t.Errorf("clock %+v", clock)
	}
}

func TestADecisionUsesTheTransactionsTimeNotTheEndorsers(t *testing.T) {
	w := newWorld(t)
	for i, msp := range w.Members() {
		skew := record.Instant(20*i - 30)
		cc, err := contract.New(func() record.Instant { return w.clock() + skew })
		if err != nil {
			t.Fatal(err)
		}
		w.InstallAt(msp, cc)
	}
	g := w.grantFor(insurer, patient)
	g.Period.End = w.clock() + 5
	w.must(hospitalA, contract.ConsentGrant, g)
	if a := w.permit(patient); a.At != w.clock() || a.Decision.Outcome != consent.Permit {
		t.Errorf("access %+v", a)
	}
}
