package share_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

// sharing is a consortium with a record that the insurer may open parts of.
func sharing(t *testing.T) *consortium {
	t.Helper()
	c := newConsortium(t)
	c.tick()
	c.submit(bundle(6))
	c.grant(toPayers())
	return c
}

// open opens what a permit covers and returns how many parts that was.
func (c *consortium) open(permit string) (int, error) {
	sum, err := c.gateways[insurer].Open(c.t.Context(), "HospitalA", permit, opened{}.sink)
	return sum.Parts, err
}

func (c *consortium) rotate(msp, use string, grace time.Duration) share.Rotated {
	c.t.Helper()
	r, err := c.gateways[msp].Rotate(c.t.Context(), use, grace)
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// restart starts a member's gateway again over the key store that it had.
func (c *consortium) restart(msp string) *share.Gateway {
	c.t.Helper()
	if err := c.gateways[msp].Close(context.Background()); err != nil {
		c.t.Fatal(err)
	}
	sealed, err := vault.OpenDir(c.t.TempDir())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { sealed.Close() })
	g, err := share.New(share.Config{
		Self:   registry.Candidate{MSP: msp, Name: msp[:len(msp)-3], Kind: kinds[msp], Gateway: "127.0.0.1:1"},
		Ledger: c.chains[msp], Keys: stores[msp], Vault: sealed, Exchange: wire{c, msp}, Channel: "test", Evaluator: msp == hospitalA || msp == regulator,
		Now: func() time.Time { return c.ledger.Now() }, Log: slog.New(slog.DiscardHandler), Gather: time.Millisecond,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { g.Close(context.Background()) })
	c.gateways[msp] = g
	return g
}

func TestRotationUnderLoadLosesNothing(t *testing.T) {
	c := sharing(t)
	ctx, done := context.WithCancel(t.Context())
	defer done()
	const workers, accesses = 6, 8
	const changes = workers * accesses / 4
	opening := make(chan struct{}, workers*accesses) // one for each access that begins
	var changing, working errgroup.Group
	changing.Go(func() error {
		for n := range changes {
			for range workers * accesses / changes {
				select {
				case <-opening:
				case <-ctx.Done(): // an access failed
					return nil
				}
			}
			c.ledger.Advance(4 * time.Second) // others ask the registry again, some sooner, some later
			for msp, use := range map[string]string{insurer: registry.UseHPKE, hospitalA: registry.UseSigning} {
				if _, err := c.gateways[msp].Rotate(t.Context(), use, time.Hour); err != nil {
					return fmt.Errorf("rotation %d of %s: %w", n, use, err)
				}
				if err := c.gateways[msp].TendKeys(t.Context()); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for range workers {
		working.Go(func() error {
			for range accesses {
				a, _, err := c.gateways[insurer].Request(t.Context(), share.Claim{
					Custodian: "HospitalA", Patient: chen, Purpose: consent.CLMATTCH, Action: consent.Access,
					Classes: record.ClassesOf(record.Laboratory, record.Condition), Reference: "claim 77",
				})
				opening <- struct{}{}
				if err != nil {
					return fmt.Errorf("requesting: %w", err)
				}
				sum, err := c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, opened{}.sink)
				if err != nil {
					return fmt.Errorf("opening: %w", err)
				}
				if sum.Parts != 2 || sum.Receipt.TxID == "" {
					return fmt.Errorf("opened %+v", sum)
				}
			}
			return nil
		})
	}
	err := working.Wait()
	if err != nil {
		done()
	}
	if err := errors.Join(err, changing.Wait()); err != nil {
		t.Fatal(err)
	}
	members, err := c.gateways[regulator].Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Member.MSP == insurer && len(m.Keys.Retired.HPKE) < changes || m.Member.MSP == hospitalA && len(m.Keys.Retired.Signing) < changes {
			t.Errorf("%s changed its keys %d and %d times", m.Member.MSP, len(m.Keys.Retired.HPKE), len(m.Keys.Retired.Signing))
		}
	}
}

// What is on its way while the key that it is wrapped to, or signed by, is replaced, opens
// under a grace and doesn't without one; and then the same call opens it.
func TestAGraceIsForWhatIsOnItsWay(t *testing.T) {
	for name, change := range map[string]func(c *consortium, grace time.Duration){
		"the requester's HPKE key":    func(c *consortium, grace time.Duration) { c.rotate(insurer, registry.UseHPKE, grace) },
		"the custodian's signing key": func(c *consortium, grace time.Duration) { c.rotate(hospitalA, registry.UseSigning, grace) },
	} {
		for _, grace := range []time.Duration{time.Hour, 0} {
			t.Run(fmt.Sprint(name, " with a grace of ", grace), func(t *testing.T) {
				c := sharing(t)
				permit := c.request(record.Laboratory, record.Condition)
				c.deliver = func(d share.Delivery) share.Delivery {
					change(c, grace)
					c.ledger.Advance(4 * time.Minute)
					c.tick()
					if err := c.gateways[insurer].TendKeys(t.Context()); err != nil {
						t.Error(err)
					}
					c.deliver = func(d share.Delivery) share.Delivery { return d }
					return d
				}
				parts, err := c.open(permit.ID)
				if grace > 0 {
					if err != nil || parts != 2 {
						t.Fatalf("%d parts, %v", parts, err)
					}
					return
				}
				if err == nil {
					t.Fatal("it opened with a key that isn't good any more")
				}
				entry, err := c.gateways[regulator].Access(t.Context(), hospitalA, insurer, permit.ID)
				if err != nil || entry.Receipt != nil {
					t.Fatalf("the custodian is blamed for it: %+v, %v", entry.Receipt, err)
				}
				if parts, err := c.open(permit.ID); err != nil || parts != 2 {
					t.Errorf("once more: %d parts, %v", parts, err)
				}
			})
		}
	}
}

func TestAReplacedPrivateKeyIsDestroyedAfterItsGrace(t *testing.T) {
	c := sharing(t)
	before := c.rotate(insurer, registry.UseHPKE, time.Hour).Before.ID
	private := func() bool {
		t.Helper()
		if err := c.gateways[insurer].TendKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := c.gateways[insurer].OwnKeys(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range list {
			if k.ID == before {
				return k.Private
			}
		}
		t.Fatal("the replaced key isn't listed")
		return false
	}
	if !private() {
		t.Error("it is gone before its end")
	}
	c.ledger.Advance(time.Hour + 4*time.Minute)
	c.tick()
	if private() {
		t.Error("it is there after its end")
	}
	if left, err := stores[insurer].List(share.BucketRetired); err != nil || len(left) != 0 {
		t.Errorf("the key store holds %d replaced keys, %v", len(left), err)
	}
}

func TestARotationCutOffAnywhereIsCompletedOnce(t *testing.T) {
	lost := fmt.Errorf("cut off: %w", ledger.ErrUnavailable)
	for _, use := range []string{registry.UseHPKE, registry.UseSigning} {
		for _, registered := range []bool{false, true} {
			for how, complete := range map[string]func(c *consortium, msp string) error{
				"by the same call": func(c *consortium, msp string) error {
					_, err := c.gateways[msp].Rotate(c.t.Context(), use, time.Hour)
					return err
				},
				"by a restart":     func(c *consortium, msp string) error { return c.restart(msp).Enrol(c.t.Context()) },
				"by the caretaker": func(c *consortium, msp string) error { return c.gateways[msp].TendKeys(c.t.Context()) },
			} {
				t.Run(fmt.Sprintf("%s, registered %v, %s", use, registered, how), func(t *testing.T) {
					c := sharing(t)
					first := c.request(record.Laboratory)
					c.chains[insurer].fail = func(function string, done bool) error {
						if function == contract.RegistryUpdate && done == registered {
							return lost
						}
						return nil
					}
					if _, err := c.gateways[insurer].Rotate(t.Context(), use, time.Hour); !errors.Is(err, ledger.ErrUnavailable) {
						t.Fatalf("got %v", err)
					}
					if parts, err := c.open(first.ID); err != nil || parts != 1 {
						t.Errorf("in between: %d parts, %v", parts, err)
					}
					c.ledger.Advance(10 * time.Second) // the others ask the registry again
					second := c.request(record.Laboratory)
					if parts, err := c.open(second.ID); err != nil || parts != 1 {
						t.Errorf("in between, once the others know: %d parts, %v", parts, err)
					}
					c.chains[insurer].fail = nil
					if err := complete(c, insurer); err != nil {
						t.Fatal(err)
					}
					list, err := c.gateways[insurer].OwnKeys(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					changes := 0
					for _, k := range list {
						if k.State == share.KeyPresent && !k.Private {
							t.Errorf("the registry shows %s key %s, and the gateway holds another", k.Use, k.ID)
						}
						if k.State == share.KeyReplaced {
							changes++
						}
					}
					if want := map[bool]int{true: 1, false: 0}[registered || how == "by the same call"]; changes != want {
						t.Errorf("%d changes, want %d", changes, want)
					}
					third := c.request(record.Laboratory)
					if parts, err := c.open(third.ID); err != nil || parts != 1 {
						t.Errorf("afterwards: %d parts, %v", parts, err)
					}
				})
			}
		}
	}
}

func TestAKeyStoreRestoredFromBeforeARotationRegistersNewKeys(t *testing.T) {
	c := sharing(t)
	var backup [][]byte
	for _, name := range []string{"hpke", "signing"} {
		raw, err := stores[insurer].Get(share.BucketSecrets, name)
		if err != nil {
			t.Fatal(err)
		}
		backup = append(backup, raw)
	}
	spent := []string{c.rotate(insurer, registry.UseHPKE, 0).Before.ID, c.rotate(insurer, registry.UseSigning, 0).Before.ID}
	for i, name := range []string{"hpke", "signing"} {
		if err := stores[insurer].Put(share.BucketSecrets, name, backup[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.restart(insurer).Enrol(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := c.gateways[insurer].OwnKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range list[:2] {
		if k.State != share.KeyPresent || !k.Private || k.ID == spent[0] || k.ID == spent[1] {
			t.Errorf("%s key %s is %s, the gateway has it: %v", k.Use, k.ID, k.State, k.Private)
		}
	}
	c.ledger.Advance(10 * time.Second)
	if parts, err := c.open(c.request(record.Laboratory).ID); err != nil || parts != 1 {
		t.Errorf("%d parts, %v", parts, err)
	}
}

func TestASuspensionEndsPermitsForGood(t *testing.T) {
	c := sharing(t)
	opened, unopened := c.request(record.Laboratory), c.request(record.Laboratory)
	if _, err := c.open(opened.ID); err != nil {
		t.Fatal(err)
	}
	c.suspend(insurer)
	for _, voter := range []string{hospitalA, hospitalB, regulator} {
		if _, _, err := c.gateways[voter].Reinstate(t.Context(), "Insurer"); err != nil {
			t.Fatal(err)
		}
	}
	c.ledger.Advance(10 * time.Second)
	for _, permit := range []access.Access{opened, unopened} {
		_, err := c.open(permit.ID)
		wantRefusal(t, err, access.Lapsed)
	}
	if parts, err := c.open(c.request(record.Laboratory).ID); err != nil || parts != 1 {
		t.Errorf("a permit from after the reinstatement: %d parts, %v", parts, err)
	}
}

// A key that the registry doesn't know, or knew until before, signs nothing.
func TestOnlyAKeyInItsTimeSigns(t *testing.T) {
	c := sharing(t)
	raw, err := stores[hospitalA].Get(share.BucketSecrets, "signing")
	if err != nil {
		t.Fatal(err)
	}
	stolen, err := seal.ParseSigningKey(raw)
	if err != nil {
		t.Fatal(err)
	}
	c.rotate(hospitalA, registry.UseSigning, 0)
	permit := c.request(record.Laboratory)
	c.deliver = func(d share.Delivery) share.Delivery {
		d.Manifest().Sign(stolen)
		return d
	}
	_, err = c.open(permit.ID)
	wantRefusal(t, err, share.OldKey)
}
