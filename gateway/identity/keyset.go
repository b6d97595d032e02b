package identity

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

// Bounds of a key set. Keys that aren't named have to be tried one by one.
const (
	maxKeys  = 100
	maxTries = 16
	maxBody  = 1 << 20 // bytes
	minRSA   = 2048    // bits
)

// keyset are the public keys of an issuer or a client (RFC 7517), fetched when they are
// needed and again when they are old, or when a token names one that isn't there.
type keyset struct {
	fetch  func(context.Context) ([]byte, error)
	now    func() time.Time
	flight singleflight.Group

	mu      sync.Mutex
	keys    []jose.JSONWebKey
	fetched time.Time // zero: never
	tried   time.Time
	err     error // of the last try
}

func newKeyset(fetch func(context.Context) ([]byte, error), now func() time.Time) *keyset {
	return &keyset{fetch: fetch, now: now}
}

// fetchURL reads a key set from where it is published.
func fetchURL(client *http.Client, url string) func(context.Context) ([]byte, error) {
	return func(ctx context.Context) ([]byte, error) {
		ask, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, err
		}
		ask.Header.Set("Accept", "application/jwk-set+json, application/json")
		answer, err := client.Do(ask)
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s answers %s", url, answer.Status)
		}
		return io.ReadAll(answer.Body)
	}
}

// fetchFile reads a key set from a file.
func fetchFile(path string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return os.ReadFile(path) }
}

// bounded bounds the answers of a transport: one longer than maxBody is cut, and so can't
// be read.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxBody), answer.Body}
	}
	return answer, err
}

// ParseKeys reads the public keys of a JSON Web Key Set that can verify. Those of a kind
// that isn't known, symmetric ones and short ones are left out.
func ParseKeys(doc []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(doc, &set); err != nil {
		return nil, fmt.Errorf("that is no JSON Web Key Set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(raw) != nil || !k.Valid() || k.Use != "" && k.Use != "sig" {
			continue
		}
		k = k.Public() // the zero key for a symmetric one
		if r, ok := k.Key.(*rsa.PublicKey); k.Key == nil || ok && r.N.BitLen() < minRSA {
			continue
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// refresh fetches the keys, once for all who ask at the same time, and doesn't end with one
// of them.
func (k *keyset) refresh(ctx context.Context) error {
	_, err, _ := k.flight.Do("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTime)
		defer cancel()
		doc, err := k.fetch(ctx)
		var keys []jose.JSONWebKey
		if err == nil {
			keys, err = ParseKeys(doc)
		}
		if err == nil && len(keys) == 0 {
			err = errors.New("the key set has no key that can verify")
		}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tried, k.err = k.now(), err
		if err == nil {
			k.keys, k.fetched = keys, k.tried
		}
		return nil, err
	})
	return err
}

// stale reports whether the keys are too old to be believed, or were never fetched.
func (k *keyset) stale() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fetched.IsZero() || k.now().Sub(k.fetched) > keysHold
}

// candidates are the keys that a token may be signed with: the one that it names, or all
// where it names none.
func (k *keyset) candidates(ctx context.Context, kid, algorithm string) ([]jose.JSONWebKey, error) {
	for again := false; ; again = true {
		k.mu.Lock()
		old := k.fetched.IsZero() || k.now().Sub(k.fetched) > keepEvery
		rested := k.tried.IsZero() || k.now().Sub(k.tried) >= askEvery
		var found []jose.JSONWebKey
		for _, one := range k.keys {
			if (kid == "" || one.KeyID == kid) && (one.Algorithm == "" || one.Algorithm == algorithm) {
				found = append(found, one)
			}
		}
		k.mu.Unlock()
		if !again && rested && (old || len(found) == 0) {
			_ = k.refresh(ctx) // what was known before goes on, until it is stale
			continue
		}
		if k.stale() {
			return nil, ErrUnavailable
		}
		return found[:min(len(found), maxTries)], nil
	}
}

var errSignature = errors.New("the signature is none of a key that is known")

// verify returns what a token signs.
func (k *keyset) verify(ctx context.Context, text string, algorithms []string) ([]byte, error) {
	allowed := make([]jose.SignatureAlgorithm, len(algorithms))
	for i, a := range algorithms {
		allowed[i] = jose.SignatureAlgorithm(a)
	}
	signed, err := jose.ParseSignedCompact(text, allowed)
	if err != nil {
		return nil, err
	}
	h := signed.Signatures[0].Protected
	keys, err := k.candidates(ctx, h.KeyID, h.Algorithm)
	if err != nil {
		return nil, err
	}
	for _, one := range keys {
		if payload, err := signed.Verify(one.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errSignature
}

// accepting is the key set as [oidc.KeySet], for tokens signed by one of some algorithms.
func (k *keyset) accepting(algorithms []string) accepting { return accepting{k, algorithms} }

type accepting struct {
	*keyset
	algorithms []string
}

// VerifySignature implements [oidc.KeySet].
func (a accepting) VerifySignature(ctx context.Context, text string) ([]byte, error) {
	return a.verify(ctx, text, a.algorithms)
}
