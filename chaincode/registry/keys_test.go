package registry_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// keysNumbered are keys that differ from those of every other number, in id and content.
func keysNumbered(hpke, signing int) registry.Keys {
	k := registry.Keys{
		HPKE:    registry.Key{ID: fmt.Sprint("h", hpke), Public: make([]byte, registry.HPKEKeySize)},
		Signing: registry.Key{ID: fmt.Sprint("s", signing), Public: make([]byte, registry.SigningKeySize)},
	}
	k.HPKE.Public[0], k.Signing.Public[0] = byte(hpke), byte(signing)
	return k
}

func TestKeysClaimNothingThatTheLedgerSets(t *testing.T) {
	for name, change := range map[string]func(*registry.Keys){
		"a start":                    func(k *registry.Keys) { k.HPKE.From = 1 },
		"an end":                     func(k *registry.Keys) { k.Signing.Until = 1 },
		"a key that they replace":    func(k *registry.Keys) { k.Retired.Signing = []registry.Key{{ID: "x"}} },
		"an HPKE key without an id":  func(k *registry.Keys) { k.HPKE.ID = "" },
		"an HPKE key of another use": func(k *registry.Keys) { k.HPKE.Public = k.Signing.Public },
	} {
		t.Run(name, func(t *testing.T) {
			k := keysNumbered(1, 1)
			change(&k)
			_, _, _, err := registry.Update{Keys: &k}.Apply(registry.Member{}, keysNumbered(0, 0), registry.Spent{}, 1)
			if codeOf(err) != refusal.Malformed {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTheGraceIsBounded(t *testing.T) {
	k := keysNumbered(1, 1)
	gateway := "host:1"
	for _, test := range []struct {
		name  string
		u     registry.Update
		grace int64
		want  refusal.Code
	}{
		{"none", registry.Update{Keys: &k}, 0, ""},
		{"the longest", registry.Update{Keys: &k}, registry.MaxGrace, ""},
		{"a second more", registry.Update{Keys: &k}, registry.MaxGrace + 1, refusal.Malformed},
		{"a negative one", registry.Update{Keys: &k}, -1, refusal.Malformed},
		{"without a key", registry.Update{Gateway: &gateway}, 60, refusal.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.u.Grace = &test.grace
			_, got, _, err := test.u.Apply(registry.Member{}, keysNumbered(0, 0), registry.Spent{}, 1000)
			if codeOf(err) != test.want {
				t.Fatalf("%v", err)
			}
			if test.want == "" && got.Retired.HPKE[0].Until != record.Instant(1000+test.grace) {
				t.Errorf("until %d", got.Retired.HPKE[0].Until)
			}
		})
	}
}

// Whatever a member registers in whatever order: there is one key of each use in force,
// none that was replaced ever is again, the newest ones replaced are remembered with when
// they were good, and a signing key is good at an instant exactly if it was the one in force
// then, or in its grace.
func TestKeysStateMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := record.Instant(1_000_000)
		roster, members, all, err := registry.Found([]registry.Candidate{{MSP: "A", Name: "A", Kind: registry.Insurer, Gateway: "h:1", Keys: keysNumbered(0, 0)}}, "A", at)
		if err != nil || len(roster) != 1 {
			t.Fatal(err)
		}
		keys := all[0]
		spent := map[string]bool{} // digests, as the ledger keeps them
		type reign struct{ from, until record.Instant }
		reigns := map[string]reign{"s0": {from: at}}
		for range rapid.IntRange(1, 60).Draw(t, "changes") {
			at += record.Instant(rapid.Int64Range(0, 3*registry.DefaultGrace).Draw(t, "pause"))
			next := keysNumbered(rapid.IntRange(0, 40).Draw(t, "hpke"), rapid.IntRange(0, 40).Draw(t, "signing"))
			grace := rapid.Int64Range(0, registry.MaxGrace).Draw(t, "grace")
			_, got, changed, err := registry.Update{Keys: &next, Grace: &grace}.Apply(members[0], keys,
				registry.Spent{HPKE: spent["h"+next.HPKE.Digest()], Signing: spent["s"+next.Signing.Digest()]}, at)
			back := next.HPKE.ID != keys.HPKE.ID && spent["h"+next.HPKE.Digest()] || next.Signing.ID != keys.Signing.ID && spent["s"+next.Signing.Digest()]
			switch {
			case back: // which of two reasons is told first is no matter
				if codeOf(err) != registry.KeySpent && codeOf(err) != refusal.TooLarge {
					t.Fatalf("a key comes back: %v", err)
				}
				continue
			case err != nil:
				wantCode(t, err, refusal.TooLarge)
				full := keys.Retired.HPKE
				if next.HPKE.ID == keys.HPKE.ID || len(full) < registry.MaxRetired || full[len(full)-1].Until <= at {
					full = keys.Retired.Signing
				}
				if grace == 0 || len(full) < registry.MaxRetired || full[len(full)-1].Until <= at {
					t.Fatalf("refused with %d remembered and a grace of %d: %v", len(full), grace, err)
				}
				continue
			}
			if changed.HPKE != (next.HPKE.ID != keys.HPKE.ID) || changed.Signing != (next.Signing.ID != keys.Signing.ID) {
				t.Fatalf("%+v", changed)
			}
			if changed.HPKE {
				spent["h"+keys.HPKE.Digest()] = true
			}
			if changed.Signing {
				spent["s"+keys.Signing.Digest()] = true
				reigns[keys.Signing.ID] = reign{reigns[keys.Signing.ID].from, at + record.Instant(grace)}
				reigns[next.Signing.ID] = reign{from: at}
			}
			keys = got
			if keys.HPKE.ID != next.HPKE.ID || keys.Signing.ID != next.Signing.ID || keys.HPKE.Until != 0 || keys.Signing.Until != 0 {
				t.Fatalf("in force is %s and %s", keys.HPKE.ID, keys.Signing.ID)
			}
			if len(keys.Retired.HPKE) > registry.MaxRetired || len(keys.Retired.Signing) > registry.MaxRetired {
				t.Fatal("too many are remembered")
			}
			for _, r := range keys.Retired.HPKE {
				if r.ID == keys.HPKE.ID || r.Until == 0 || r.Public != nil {
					t.Fatalf("replaced: %+v", r)
				}
			}
			for _, r := range append([]registry.Key{keys.Signing}, keys.Retired.Signing...) {
				was, ok := reigns[r.ID]
				found, known := keys.SigningKey(r.ID)
				if !ok || !known || found.ID != r.ID || len(found.Public) != registry.SigningKeySize {
					t.Fatalf("key %s isn't remembered", r.ID)
				}
				when := record.Instant(rapid.Int64Range(int64(was.from)-2*registry.MaxSkew, int64(at)+registry.MaxGrace+1).Draw(t, "when"))
				if good := when >= was.from-registry.MaxSkew && (was.until == 0 || when < was.until); r.ValidAt(when) != good {
					t.Fatalf("key of %+v at %d", was, when)
				}
			}
		}
	})
}
