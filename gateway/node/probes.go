package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/vault"
)

// peerWell says whether the own peer has the ledger and the chaincode: it tells its height,
// which never falls, and answers from its state. One that is up and hasn't loaded its ledger
// does neither.
func peerWell(chain *ledger.Ledger) func(context.Context) error {
	var mu sync.Mutex
	var seen uint64
	return func(ctx context.Context) error {
		height, err := chain.Height(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		before := seen
		seen = max(seen, height)
		mu.Unlock()
		if height < before {
			return fmt.Errorf("the peer has %d blocks, and had %d: its ledger was put back", height, before)
		}
		var clock registry.Clock
		return chain.Evaluate(ctx, contract.RegistryClock, contract.Nothing{}, &clock, ledger.OwnPeerOnly())
	}
}

// ordering is what is known of the ordering nodes.
type ordering interface {
	Orderers(context.Context) (all []ledger.Orderer, quorum int, err error)
	Greet(context.Context, ledger.Orderer) error
}

// orderersWell says whether as many ordering nodes as it takes can be reached. Which those are
// the own peer tells; while it is away they are those of before, for that is another's problem.
func orderersWell(chain ordering) func(context.Context) error {
	var known sync.Mutex
	var last []ledger.Orderer
	var needed int
	return func(ctx context.Context) error {
		all, quorum, err := chain.Orderers(ctx)
		known.Lock()
		if err == nil {
			last, needed = all, quorum
		} else if last != nil {
			all, quorum, err = last, needed, nil
		}
		known.Unlock()
		if err != nil {
			return err
		}
		var mu sync.Mutex
		var there int
		var problem error
		var greeting sync.WaitGroup
		for _, o := range all {
			greeting.Go(func() {
				err := chain.Greet(ctx, o)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					there++
				} else {
					problem = errors.Join(problem, fmt.Errorf("%s of %s: %w", o.Address, o.MSP, err))
				}
			})
		}
		greeting.Wait()
		if there < quorum {
			return fmt.Errorf("%d of %d ordering nodes can be reached, %d are needed: %w", there, len(all), quorum, problem)
		}
		return nil
	}
}

// vaultWell writes a few bytes to the vault, reads them and deletes them.
func vaultWell(sealed vault.Vault, member string) func(context.Context) error {
	name := vault.NameOf("readiness of "+member, 0)
	return func(ctx context.Context) error {
		wrote := make([]byte, 32)
		rand.Read(wrote)
		digest := sha256.Sum256(wrote)
		if err := sealed.Delete(ctx, name); err != nil { // of a probe that was cut off
			return err
		}
		if err := sealed.Put(ctx, name, func(w io.Writer) error { _, err := w.Write(wrote); return err }); err != nil {
			return err
		}
		b, err := sealed.Open(ctx, name, vault.Sum{Size: int64(len(wrote)), Digest: record.Hash(digest[:])})
		if err != nil {
			return err
		}
		read, err := io.ReadAll(b)
		if err = errors.Join(err, b.Close()); err != nil {
			return err
		}
		if !bytes.Equal(read, wrote) {
			return errors.New("the vault gives other bytes than were put there")
		}
		return sealed.Delete(ctx, name)
	}
}

// keysWell reads the key store and writes to it.
func keysWell(store *keys.Store) func(context.Context) error {
	return func(context.Context) error {
		return store.Update(func(tx *keys.Tx) error {
			if _, err := tx.Get("readiness", "probe"); !errors.Is(err, keys.ErrNotFound) {
				return err
			}
			return nil
		})
	}
}

// free is the room that is left where a folder lies, in bytes.
func free(folder string) (float64, error) {
	var s unix.Statfs_t
	err := unix.Statfs(folder, &s)
	return float64(s.Bavail) * float64(s.Bsize), err
}

// observedVault tells how long what is done with a vault takes.
type observedVault struct {
	vault.Vault
	told func(operation, outcome string, took time.Duration)
}

func (w observedVault) Put(ctx context.Context, name vault.Name, write func(io.Writer) error) error {
	begun := time.Now()
	err := w.Vault.Put(ctx, name, write)
	w.tell("put", begun, err)
	return err
}

func (w observedVault) Open(ctx context.Context, name vault.Name, want vault.Sum) (vault.Blob, error) {
	begun := time.Now()
	b, err := w.Vault.Open(ctx, name, want)
	w.tell("open", begun, err)
	return b, err
}

func (w observedVault) Delete(ctx context.Context, name vault.Name) error {
	begun := time.Now()
	err := w.Vault.Delete(ctx, name)
	w.tell("delete", begun, err)
	return err
}

func (w observedVault) tell(operation string, begun time.Time, err error) {
	how := "ok"
	switch {
	case errors.Is(err, vault.ErrCorrupt):
		how = "corrupt"
	case errors.Is(err, vault.ErrNotFound):
		how = "missing"
	case errors.Is(err, vault.ErrExists):
		how = "exists"
	case err != nil:
		how = "failed"
	}
	w.told(operation, how, time.Since(begun))
}
