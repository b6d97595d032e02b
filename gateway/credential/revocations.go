package credential

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Revocations are the revocation lists (RFC 5280, PEM) of the members' TLS authorities, one
// file each in a folder, MSPID.crl, followed as they change. A list counts only under its
// authority's signature, and only forwards: an older one doesn't take the place of a newer.
// One that can't be read leaves the one before in force, and says so in the log. It is safe
// for concurrent use.
type Revocations struct {
	folder      string
	authorities map[string]*x509.Certificate // by MSP id
	log         *slog.Logger

	mu     sync.Mutex
	looked time.Time
	lists  map[string]revocationList
}

type revocationList struct {
	file    fileVersion
	number  *big.Int
	serials map[string]bool // by decimal text
	changes int
}

// OpenRevocations reads the lists of the authorities. A list that is there and can't be
// read is an error: whom it names would be let in.
func OpenRevocations(folder string, authorities map[string]*x509.Certificate, log *slog.Logger) (*Revocations, error) {
	r := &Revocations{folder: folder, authorities: authorities, log: log, lists: map[string]revocationList{}}
	r.mu.Lock()
	defer r.mu.Unlock()
	for msp := range authorities {
		if err := r.read(msp); err != nil {
			return nil, err
		}
	}
	r.looked = time.Now()
	return r, nil
}

// Revoked says whether a member's authority has revoked a certificate of its.
func (r *Revocations) Revoked(msp string, cert *x509.Certificate) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	return r.lists[msp].serials[cert.SerialNumber.String()]
}

// Changes counts how often a member's list has changed since it was opened.
func (r *Revocations) Changes(msp string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.look()
	return r.lists[msp].changes
}

// LookNow reads what has changed, without waiting for the next look.
func (r *Revocations) LookNow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked = time.Time{}
	r.look()
}

func (r *Revocations) look() {
	if time.Since(r.looked) < lookEvery {
		return
	}
	r.looked = time.Now()
	for msp := range r.authorities {
		if err := r.read(msp); err != nil {
			r.log.Error("a revocation list can't be used; the one before stays in force", "member", msp, "error", err)
		}
	}
}

func (r *Revocations) read(msp string) error {
	name := filepath.Join(r.folder, msp+".crl")
	before, file := r.lists[msp], versionOf(name)
	if file == before.file {
		return nil
	}
	before.file = file // told once, not every second
	r.lists[msp] = before
	raw, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && before.number == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading a revocation list: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "X509 CRL" {
		return fmt.Errorf("%s holds no PEM revocation list", name)
	}
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil {
		return fmt.Errorf("reading the revocation list %s: %w", name, err)
	}
	if err := list.CheckSignatureFrom(r.authorities[msp]); err != nil {
		return fmt.Errorf("the revocation list %s isn't by the TLS authority of %s: %w", name, msp, err)
	}
	if list.Number == nil || before.number != nil && list.Number.Cmp(before.number) < 0 {
		return fmt.Errorf("the revocation list %s is older than the one before", name)
	}
	next := revocationList{file: file, number: list.Number, serials: map[string]bool{}, changes: before.changes + 1}
	for _, e := range list.RevokedCertificateEntries {
		next.serials[e.SerialNumber.String()] = true
	}
	r.lists[msp] = next
	return nil
}
