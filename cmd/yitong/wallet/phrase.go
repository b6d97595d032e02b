package wallet

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/tyler-smith/go-bip39"

	"yitong/chaincode/directive"
)

// ErrPhrase is of words that are no phrase.
var ErrPhrase = errors.New("these are not the 12 or 24 words of a wallet: a word is unknown, missing or mistyped, or they are out of order")

// NewEntropy draws what a phrase of 12 or 24 words says.
func NewEntropy(words int) ([]byte, error) {
	if words != 12 && words != 24 {
		return nil, fmt.Errorf("a phrase has 12 or 24 words, not %d", words)
	}
	entropy := make([]byte, words/3*4)
	rand.Read(entropy)
	return entropy, nil
}

// EntropyOf reads a phrase back; blanks and capitals don't matter.
func EntropyOf(phrase string) ([]byte, error) {
	words := strings.Fields(strings.ToLower(phrase))
	if len(words) != 12 && len(words) != 24 {
		return nil, ErrPhrase
	}
	entropy, err := bip39.EntropyFromMnemonic(strings.Join(words, " "))
	if err != nil {
		return nil, ErrPhrase
	}
	return entropy, nil
}

// Phrase is the wallet's words.
func (w *Wallet) Phrase() (string, error) { return bip39.NewMnemonic(w.Entropy) }

// Signer is a key of the wallet's.
type Signer struct{ private ed25519.PrivateKey }

// Signer derives the key of a relationship. generation counts how often it was replaced.
func (w *Wallet) Signer(custodian, requester, label string, generation int) (Signer, error) {
	phrase, err := w.Phrase()
	if err != nil {
		return Signer{}, fmt.Errorf("reading the wallet's seed: %w", err)
	}
	var info strings.Builder
	for _, field := range []string{custodian, requester, label, fmt.Sprint(generation)} {
		fmt.Fprintf(&info, "%d:%s,", len(field), field)
	}
	seed, err := hkdf.Key(sha256.New, bip39.NewSeed(phrase, ""), []byte("yitong wallet v1"), info.String(), ed25519.SeedSize)
	if err != nil {
		return Signer{}, fmt.Errorf("deriving a key: %w", err)
	}
	return Signer{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public is the key that the ledger knows.
func (s Signer) Public() directive.Key {
	return directive.Key{Algorithm: directive.Ed25519, Public: s.private.Public().(ed25519.PublicKey)}
}

// Sign signs a directive.
func (s Signer) Sign(d directive.Directive) (directive.Signed, error) {
	if err := d.Validate(); err != nil {
		return directive.Signed{}, err
	}
	document, err := d.Canonical()
	if err != nil {
		return directive.Signed{}, err
	}
	return directive.Signed{Document: string(document), Key: s.Public(), Signature: ed25519.Sign(s.private, document)}, nil
}

// generations is how many keys of a relationship are looked through for one.
const generations = 64

// Find is the generation of the relationship's key with this id, as after restoring the wallet from
// its words. false if it is none of this wallet's.
func (w *Wallet) Find(custodian, requester, label, keyID string) (generation int, ok bool, err error) {
	for g := range generations {
		s, err := w.Signer(custodian, requester, label, g)
		if err != nil {
			return 0, false, err
		}
		if s.Public().ID() == keyID {
			return g, true, nil
		}
	}
	return 0, false, nil
}
