package events

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"yitong/gateway/keys"
)

// Secrets keeps what signs deliveries (*keys.Store).
type Secrets interface {
	Get(bucket, name string) ([]byte, error)
	Put(bucket, name string, value []byte) error
	Delete(bucket, name string) error
}

// bucketSecrets is theirs in the key store; each is under its subscription's id.
const bucketSecrets = "webhooks"

// secretPrefix begins every secret's text (Standard Webhooks, "Signature scheme").
const secretPrefix = "whsec_"

// secret signs a subscription's deliveries; Old does so too until Until.
type secret struct {
	Present []byte    `json:"present"`
	Old     []byte    `json:"old,omitempty"`
	Until   time.Time `json:"until,omitzero"`
}

func newSecret() []byte {
	b := make([]byte, 32)
	rand.Read(b) // never fails (crypto/rand)
	return b
}

func secretText(s []byte) string { return secretPrefix + base64.StdEncoding.EncodeToString(s) }

func (f *Feed) loadSecret(id string) (s secret, err error) {
	raw, err := f.Secrets.Get(bucketSecrets, id)
	if err != nil {
		return s, fmt.Errorf("the secret of subscription %s: %w", id, err)
	}
	return s, json.Unmarshal(raw, &s)
}

func (f *Feed) saveSecret(id string, s secret) error {
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return f.Secrets.Put(bucketSecrets, id, raw)
}

func (f *Feed) forgetSecret(id string) error {
	if err := f.Secrets.Delete(bucketSecrets, id); err != nil && !errors.Is(err, keys.ErrNotFound) {
		return err
	}
	return nil
}

// sign is the value of the header webhook-signature: "v1," and the base64 of HMAC-SHA-256
// over "ID.SECONDS.BODY", for each secret that holds.
func (s secret) sign(id string, at time.Time, body []byte) string {
	signatures := []string{signature(s.Present, id, at, body)}
	if len(s.Old) > 0 && at.Before(s.Until) {
		signatures = append(signatures, signature(s.Old, id, at, body))
	}
	return strings.Join(signatures, " ")
}

func signature(secret []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
