// Package credential is a certificate with its private key on disk, replaced while it is in
// use.
//
// Two files can't be replaced in one step, and whoever reads them in between, or after a
// crash in between, must find a pair. So a replacement has an order:
//
//	KEY.next, CERT.next    written; CERT.next last, and from then on it will be completed
//	KEY.next  ─▶ KEY       a key without its certificate: readers take CERT.next
//	CERT.next ─▶ CERT      done
//
// Before the second line the old pair is whole; from then on the new one is. Settle brings
// a replacement that was cut off to its end, or takes back what never got to CERT.next.
package credential

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"
)

// Files are a certificate (X.509) and its private key (PKCS #8), PEM.
type Files struct{ Cert, Key string }

// pending is what comes after a file's name while it waits to take its place.
const pending = ".next"

// Replace puts another pair in the place of this one. The key file is for its owner's eyes
// only. A pair that doesn't belong together is an error, and nothing is changed.
func (f Files) Replace(cert, key []byte) error {
	if _, err := tls.X509KeyPair(cert, key); err != nil {
		return fmt.Errorf("replacing %s: %w", f.Cert, err)
	}
	if err := f.Settle(); err != nil {
		return err
	}
	if err := renameio.WriteFile(f.Key+pending, key, 0o600); err != nil {
		return fmt.Errorf("replacing %s: %w", f.Cert, err)
	}
	if err := renameio.WriteFile(f.Cert+pending, cert, 0o644); err != nil {
		return fmt.Errorf("replacing %s: %w", f.Cert, err)
	}
	return f.Settle()
}

// Settle completes a replacement that was cut off. It does nothing where there was none.
func (f Files) Settle() error {
	if _, err := os.Lstat(f.Cert + pending); errors.Is(err, fs.ErrNotExist) {
		return missingOK(os.Remove(f.Key + pending))
	}
	if err := missingOK(os.Rename(f.Key+pending, f.Key)); err != nil {
		return fmt.Errorf("completing the replacement of %s: %w", f.Cert, err)
	}
	if err := missingOK(os.Rename(f.Cert+pending, f.Cert)); err != nil {
		return fmt.Errorf("completing the replacement of %s: %w", f.Cert, err)
	}
	return nil
}

func missingOK(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Read reads a pair that belongs together, in the middle of a replacement too.
func (f Files) Read() (cert, key []byte, err error) {
	if key, err = os.ReadFile(f.Key); err != nil {
		return nil, nil, fmt.Errorf("reading a private key: %w", err)
	}
	if cert, err = os.ReadFile(f.Cert); err != nil {
		return nil, nil, fmt.Errorf("reading a certificate: %w", err)
	}
	_, err = tls.X509KeyPair(cert, key)
	if err == nil {
		return cert, key, nil
	}
	for _, name := range []string{f.Cert + pending, f.Cert} { // CERT.next may have become CERT meanwhile
		next, rerr := os.ReadFile(name)
		if rerr != nil {
			continue
		}
		if _, perr := tls.X509KeyPair(next, key); perr == nil {
			return next, key, nil
		}
	}
	return nil, nil, fmt.Errorf("the certificate %s and the key %s: %w", f.Cert, f.Key, err)
}
