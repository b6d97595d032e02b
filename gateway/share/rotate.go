package share

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/seal"
)

// destroyAfter is how long after its end, in seconds, a private key is kept: as far as two
// members' clocks may lie apart.
const destroyAfter = 2 * registry.MaxSkew

// keysPace is how often a gateway looks after its keys.
const keysPace = 30 * time.Second

// Rotated is a registered key that was replaced.
type Rotated struct {
	Use    string        // registry.UseHPKE or registry.UseSigning
	Before registry.Key  // with the end of its validity
	After  registry.Key  //
	Commit ledger.Commit // zero where it was on the ledger already
}

// Rotate replaces one of the two registered keys of this member by a new one. The old one
// stays good for grace, to the second: what was wrapped to it, or signed by it, and is on
// its way isn't lost. Grace 0 is for a key that was stolen.
//
//  1. the new key is kept beside the present one; what is wrapped to either opens
//  2. the registry shows the new one, and how long the old one is good
//  3. the new one takes the place of the present one
//
// After a crash, or a lost answer, between any two of these the same call goes on from
// there, and so does the gateway by itself (KeepKeys).
func (g *Gateway) Rotate(ctx context.Context, use string, grace time.Duration) (Rotated, error) {
	if use != registry.UseHPKE && use != registry.UseSigning {
		return Rotated{}, refusal.New(refusal.Malformed, "the registry has no key for that use", registry.UseHPKE+" or "+registry.UseSigning)
	}
	g.rotating.Lock()
	defer g.rotating.Unlock()
	before, err := g.members.fresh(ctx, g.Self.MSP)
	if err != nil {
		return Rotated{}, err
	}
	if done, err := g.settle(before.Keys); err != nil || slices.Contains(done, use) {
		return rotated(use, before.Keys, ledger.Commit{}), err
	}
	if err := g.stage(use); err != nil {
		return Rotated{}, err
	}
	wanted := g.registered()
	nextHPKE, nextSigning := g.ring.next()
	if use == registry.UseHPKE {
		wanted.HPKE = hpkeKey(*nextHPKE)
	} else {
		wanted.Signing = signingKey(*nextSigning)
	}
	seconds := int64(grace / time.Second)
	by, err := g.actor(ctx, chosenID(ctx), doneUpdating)
	if err != nil {
		return Rotated{}, err
	}
	var out contract.MemberEntry
	in := contract.Updating{Update: registry.Update{Keys: &wanted, Grace: &seconds}, Actor: by}
	commit, err := g.Ledger.Submit(ctx, contract.RegistryUpdate, in, &out)
	if err != nil {
		return Rotated{}, fmt.Errorf("registering the new key: %w", err)
	}
	g.members.forget()
	if _, err := g.settle(out.Keys); err != nil {
		return Rotated{}, fmt.Errorf("the new key is registered; taking it into use: %w", err)
	}
	done := rotated(use, out.Keys, commit)
	g.Log.Info("a key was replaced", "use", use, "before", done.Before.ID, "good-until", done.Before.Until.String(), "after", done.After.ID, "tx", commit.TxID)
	return done, nil
}

func rotated(use string, now registry.Keys, commit ledger.Commit) Rotated {
	after, retired := now.HPKE, now.Retired.HPKE
	if use == registry.UseSigning {
		after, retired = now.Signing, now.Retired.Signing
	}
	r := Rotated{Use: use, After: after, Commit: commit}
	if len(retired) > 0 {
		r.Before = retired[0]
	}
	return r
}

// stage makes a key to come, unless one is there already.
func (g *Gateway) stage(use string) error {
	name := secretNextHPKE
	if use == registry.UseSigning {
		name = secretNextSigning
	}
	err := g.Keys.Update(func(tx *keys.Tx) error {
		_, err := secret(tx, name)
		return err
	})
	if err != nil {
		return fmt.Errorf("making a new key: %w", err)
	}
	return g.Keys.View(g.ring.load)
}

// settle takes the keys to come that the registry shows into use, and says of which uses.
// An HPKE key whose place is taken is kept until its end.
func (g *Gateway) settle(shown registry.Keys) (done []string, err error) {
	hpke, _ := g.ring.present()
	nextHPKE, nextSigning := g.ring.next()
	takeHPKE := nextHPKE != nil && nextHPKE.Public().ID() == shown.HPKE.ID
	takeSigning := nextSigning != nil && nextSigning.Public().ID() == shown.Signing.ID
	if !takeHPKE && !takeSigning {
		return nil, nil
	}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		if takeHPKE {
			id := hpke.Public().ID()
			if err := save(tx, bucketRetired, id, retiredKey{Secret: hpke.Bytes(), Until: g.endOf(shown.Retired.HPKE, id)}); err != nil {
				return err
			}
			if err := replaceSecret(tx, secretHPKE, secretNextHPKE, nextHPKE.Bytes()); err != nil {
				return err
			}
			done = append(done, registry.UseHPKE)
		}
		if takeSigning {
			if err := replaceSecret(tx, secretSigning, secretNextSigning, nextSigning.Bytes()); err != nil {
				return err
			}
			done = append(done, registry.UseSigning)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("taking a new key into use: %w", err)
	}
	return done, errors.Join(g.Keys.View(g.ring.load), g.Keys.Scrub()) // a replaced signing key still lies in the file
}

// endOf is until when the registry says that a replaced key is good. One that it doesn't
// list any more is past its end.
func (g *Gateway) endOf(retired []registry.Key, id string) record.Instant {
	for _, k := range retired {
		if k.ID == id {
			return k.Until
		}
	}
	return g.now()
}

func replaceSecret(tx *keys.Tx, name, next string, raw []byte) error {
	if err := tx.Put(bucketSecrets, name, raw); err != nil {
		return err
	}
	return tx.Delete(bucketSecrets, next)
}

// renew replaces, in the key store alone, a present key that the registry takes back from
// nobody: it was replaced once, and this key store was restored from an older one.
func (g *Gateway) renew(shown registry.Keys) error {
	hpke, signing := g.ring.present()
	for use, lost := range map[string]bool{
		registry.UseHPKE:    shown.HPKE.ID != hpke.Public().ID(),
		registry.UseSigning: shown.Signing.ID != signing.Public().ID(),
	} {
		if !lost {
			continue
		}
		err := g.Keys.Update(func(tx *keys.Tx) error {
			raw := make([]byte, 32)
			rand.Read(raw)
			if use == registry.UseSigning {
				return replaceSecret(tx, secretSigning, secretNextSigning, raw)
			}
			return replaceSecret(tx, secretHPKE, secretNextHPKE, raw)
		})
		if err != nil {
			return fmt.Errorf("making a new key: %w", err)
		}
		g.Log.Warn("this key store is older than the registry's keys: a new one is registered", "use", use)
	}
	return g.Keys.View(g.ring.load)
}

// KeepKeys looks after the member's keys until the gateway is closed.
func (g *Gateway) KeepKeys() {
	g.work.Go(func() {
		ticker := time.NewTicker(keysPace)
		defer ticker.Stop()
		for {
			if err := g.TendKeys(g.ctx); err != nil && g.ctx.Err() == nil {
				g.Log.Warn("the member's keys could not be looked after", "error", err)
			}
			select {
			case <-ticker.C:
			case <-g.ctx.Done():
				return
			}
		}
	})
}

// TendKeys takes a key into use whose registration was cut off, reports keys in the
// registry that this member never registered, and destroys the private keys that were
// replaced and whose time is over.
func (g *Gateway) TendKeys(ctx context.Context) error {
	g.rotating.Lock()
	defer g.rotating.Unlock()
	if hpke, signing := g.ring.next(); hpke != nil || signing != nil {
		shown, err := g.members.fresh(ctx, g.Self.MSP)
		if err != nil {
			return err
		}
		if _, err := g.settle(shown.Keys); err != nil {
			return err
		}
	}
	if err := g.watchOwn(ctx); err != nil {
		return err
	}
	over := g.ring.over(g.now())
	if len(over) == 0 {
		return nil
	}
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for _, id := range over {
			if err := tx.Delete(bucketRetired, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = g.Keys.Scrub() // deleted, they still lie in the file
	}
	if err != nil {
		return fmt.Errorf("destroying replaced keys: %w", err)
	}
	for _, id := range over {
		g.Log.Info("a replaced private key was destroyed", "key", id)
	}
	return g.Keys.View(g.ring.load)
}

// registered are the public keys of the present private ones.
func (g *Gateway) registered() registry.Keys {
	hpke, signing := g.ring.present()
	return registry.Keys{HPKE: hpkeKey(hpke), Signing: signingKey(signing)}
}

func hpkeKey(k seal.PrivateKey) registry.Key {
	return registry.Key{ID: k.Public().ID(), Public: k.Public().Bytes()}
}

func signingKey(k seal.SigningKey) registry.Key {
	return registry.Key{ID: k.Public().ID(), Public: k.Public().Bytes()}
}

// KeyState is how a key of this member stands.
type KeyState string

// The states.
const (
	KeyPresent  KeyState = "present"
	KeyNext     KeyState = "next"     // made, and not registered yet
	KeyReplaced KeyState = "replaced" // good until its end
)

// OwnKey is a registered key of this member.
type OwnKey struct {
	Use   string
	State KeyState
	registry.Key
	Private bool // this gateway has the private key
}

// KeyLifetime is after how long a registered key is to be replaced: a year.
const KeyLifetime = 365 * 24 * time.Hour

// Due is by when a present key is to be replaced; 0 for others.
func (k OwnKey) Due() record.Instant {
	if k.State != KeyPresent || k.From == 0 {
		return 0
	}
	return k.From + record.Instant(KeyLifetime/time.Second)
}

// OwnKeys lists the keys that the registry shows of this member, the present ones first.
func (g *Gateway) OwnKeys(ctx context.Context) ([]OwnKey, error) {
	shown, err := g.members.fresh(ctx, g.Self.MSP)
	if err != nil {
		return nil, err
	}
	hpke, signing := g.ring.present()
	nextHPKE, nextSigning := g.ring.next()
	has := func(id string) bool { _, err := g.ring.private(id); return err == nil }
	list := []OwnKey{
		{registry.UseHPKE, KeyPresent, shown.Keys.HPKE, shown.Keys.HPKE.ID == hpke.Public().ID()},
		{registry.UseSigning, KeyPresent, shown.Keys.Signing, shown.Keys.Signing.ID == signing.Public().ID()},
	}
	if nextHPKE != nil {
		list = append(list, OwnKey{registry.UseHPKE, KeyNext, hpkeKey(*nextHPKE), true})
	}
	if nextSigning != nil {
		list = append(list, OwnKey{registry.UseSigning, KeyNext, signingKey(*nextSigning), true})
	}
	for _, k := range shown.Keys.Retired.HPKE {
		list = append(list, OwnKey{registry.UseHPKE, KeyReplaced, k, has(k.ID)})
	}
	for _, k := range shown.Keys.Retired.Signing {
		list = append(list, OwnKey{registry.UseSigning, KeyReplaced, k, false})
	}
	return list, nil
}
