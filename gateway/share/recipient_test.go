package share_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/seal"
	"yitong/gateway/share"
)

// substitute puts a thief's key into the registry in the insurer's place, as a majority
// with a chaincode of its own can, or whoever stole the insurer's enrolment.
func (c *consortium) substitute() seal.PrivateKey {
	c.t.Helper()
	thief, err := seal.GenerateKeyPair()
	if err != nil {
		c.t.Fatal(err)
	}
	keys := c.gateways[insurer].Candidate().Keys
	keys.HPKE = registry.Key{ID: thief.Public().ID(), Public: thief.Public().Bytes()}
	c.submitAs(insurer, contract.RegistryUpdate, registry.Update{Keys: &keys})
	c.ledger.Advance(6 * time.Second) // longer than what the registry said is used
	c.tick()
	return thief
}

// alarms collects what a gateway reports as an error.
func (c *consortium) alarms(msp string) *bytes.Buffer {
	var out bytes.Buffer
	c.gateways[msp].Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))
	return &out
}

// A36: a custodian wraps keys to the requester's registered key only if the requester's
// own gateway says that it is one of its own; and both report what the registry shows.
func TestNoKeyIsWrappedToWhatIsPutInTheRequestersPlace(t *testing.T) {
	c := sharing(t)
	before := c.request(record.Laboratory)
	if n, err := c.open(before.ID); err != nil || n == 0 {
		t.Fatalf("control: with its own key %d parts open, %v", n, err)
	}
	after := c.request(record.Laboratory)
	thief := c.substitute()
	custodian, requester := c.alarms(hospitalA), c.alarms(insurer)

	_, err := c.open(after.ID)
	wantRefusal(t, err, share.KeySubstituted)
	if e, err := c.gateways[regulator].Access(t.Context(), hospitalA, insurer, after.ID); err != nil || e.Release != nil {
		t.Errorf("the ledger has the release %+v, %v: the permit is spent", e.Release, err)
	}
	if !strings.Contains(custodian.String(), thief.Public().ID()) {
		t.Errorf("the custodian reports %q", custodian)
	}
	if err := c.gateways[insurer].TendKeys(t.Context()); err != nil || !strings.Contains(requester.String(), thief.Public().ID()) {
		t.Errorf("the member itself reports %q, %v", requester, err)
	}

	t.Run("control: a gateway that isn't told wraps to the thief's key", func(t *testing.T) {
		parcel, err := c.gateways[hospitalA].Release(t.Context(), insurer, after.ID, 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := parcel.Manifest.Records[0]
		if _, err := seal.Unwrap(thief, parcel.Manifest.Context(r.Anchor, r.Parts[0].Part.Index), *r.Parts[0].Wrapped); err != nil {
			t.Errorf("the thief can't open it, so nothing is shown: %v", err)
		}
	})
	t.Run("the member's next key mends it", func(t *testing.T) {
		requester.Reset()
		c.rotate(insurer, registry.UseHPKE, time.Hour)
		c.ledger.Advance(6 * time.Second)
		c.tick()
		if n, err := c.open(c.request(record.Laboratory).ID); err != nil || n == 0 {
			t.Errorf("%d parts open, %v", n, err)
		}
		if err := c.gateways[insurer].TendKeys(t.Context()); err != nil || requester.Len() != 0 {
			t.Errorf("the member reports %q, %v", requester, err)
		}
	})
}

// The same for what comes out of escrow, share by share.
func TestNoShareIsEncryptedToWhatIsPutInTheRequestersPlace(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	own := []string{strings.Repeat("0", 32)}
	for _, holder := range []string{hospitalA, regulator} {
		log := c.alarms(holder)
		_, err := c.gateways[holder].Recipient(share.Expecting(t.Context(), own), insurer)
		wantRefusal(t, err, share.KeySubstituted)
		if log.Len() == 0 {
			t.Error("nothing is reported")
		}
		if _, err := c.gateways[holder].Recipient(t.Context(), insurer); err != nil {
			t.Errorf("control: %v", err)
		}
	}
}
