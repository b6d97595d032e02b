package wallet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"filippo.io/age"
	"github.com/google/renameio/v2"
)

// The errors that a caller tells apart.
var (
	ErrPassphrase = errors.New("the passphrase doesn't open the wallet")
	ErrNoWallet   = errors.New("there is no wallet")
	ErrExists     = errors.New("there is a wallet already")
)

// WorkFactor is scrypt's for files written from now on, as a power of two: 128 MiB and some 0.4 s a
// try. Tests lower it.
var WorkFactor = 17

// Wallet is an open wallet. Nothing reaches the file before Save.
type Wallet struct {
	path, passphrase string
	saved            []byte // what the file holds
	content
}

// content is what the file holds, as JSON.
type content struct {
	Version       int            `json:"version"` // 1
	Entropy       []byte         `json:"entropy"` // 16 or 32 bytes: what the words say
	Relationships []Relationship `json:"relationships,omitempty"`
}

// Relationship is what the wallet remembers of one.
type Relationship struct {
	Channel    string    `json:"channel"`
	Custodian  string    `json:"custodian"`       // MSP id
	Requester  string    `json:"requester"`       // MSP id
	Label      string    `json:"label,omitempty"` // of whom this wallet speaks for; "" is its owner
	Handle     string    `json:"handle"`
	Generation int       `json:"generation,omitzero"` // how often the key was replaced
	Consents   []Consent `json:"consents,omitempty"`
}

// Consent is one that the wallet signed, or was shown.
type Consent struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
	Status  string `json:"status"`
	Says    string `json:"says"` // for people
}

// Create makes a wallet file over entropy of 16 or 32 bytes. One that exists isn't touched (ErrExists).
func Create(path, passphrase string, entropy []byte) (*Wallet, error) {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(ErrExists, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	w := &Wallet{path: path, passphrase: passphrase, content: content{Version: 1, Entropy: entropy}}
	return w, w.Save()
}

// Open opens a wallet file: ErrNoWallet, ErrPassphrase.
func Open(path, passphrase string) (*Wallet, error) {
	sealed, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s", ErrNoWallet, path)
	}
	if err != nil {
		return nil, err
	}
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, ErrPassphrase
	}
	identity.SetMaxWorkFactor(20)
	r, err := age.Decrypt(bytes.NewReader(sealed), identity)
	var no *age.NoIdentityMatchError
	if errors.As(err, &no) {
		return nil, ErrPassphrase
	}
	if err != nil {
		return nil, fmt.Errorf("reading the wallet %s: %w", path, err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the wallet %s: %w", path, err)
	}
	w := &Wallet{path: path, passphrase: passphrase, saved: plain}
	if err := json.Unmarshal(plain, &w.content); err != nil || w.Version != 1 {
		return nil, fmt.Errorf("%s holds no wallet that this program knows", path)
	}
	return w, nil
}

// Save replaces the file, if there is anything new.
func (w *Wallet) Save() error {
	plain, err := json.Marshal(w.content)
	if err != nil || bytes.Equal(plain, w.saved) {
		return err
	}
	recipient, err := age.NewScryptRecipient(w.passphrase)
	if err != nil {
		return fmt.Errorf("using the passphrase: %w", err)
	}
	recipient.SetWorkFactor(WorkFactor)
	var sealed bytes.Buffer
	to, err := age.Encrypt(&sealed, recipient)
	if err != nil {
		return err
	}
	if _, err := to.Write(plain); err != nil {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	if err := renameio.WriteFile(w.path, sealed.Bytes(), 0o600); err != nil {
		return err
	}
	w.saved = plain
	return nil
}

// Relationship finds or begins what is remembered of one. The pointer is good until the next call.
func (w *Wallet) Relationship(custodian, requester, label string) *Relationship {
	for i := range w.Relationships {
		if r := &w.Relationships[i]; r.Custodian == custodian && r.Requester == requester && r.Label == label {
			return r
		}
	}
	w.Relationships = append(w.Relationships, Relationship{Custodian: custodian, Requester: requester, Label: label})
	return &w.Relationships[len(w.Relationships)-1]
}

// Of finds the relationship of a consent; nil if the wallet doesn't remember the consent.
func (w *Wallet) Of(consent string) (*Relationship, *Consent) {
	for i := range w.Relationships {
		r := &w.Relationships[i]
		if k := slices.IndexFunc(r.Consents, func(c Consent) bool { return c.ID == consent }); k >= 0 {
			return r, &r.Consents[k]
		}
	}
	return nil, nil
}

// Note remembers a consent as it stands.
func (r *Relationship) Note(c Consent) {
	if k := slices.IndexFunc(r.Consents, func(o Consent) bool { return o.ID == c.ID }); k >= 0 {
		r.Consents[k] = c
		return
	}
	r.Consents = append(r.Consents, c)
}
