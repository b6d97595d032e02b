package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// PassphraseFile reads a passphrase from a file that only its owner may read. A
// passphrase never comes as an argument or in the environment: other processes
// see those.
func PassphraseFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("read passphrase: others can read %s: chmod 600 it", path)
	}
	return ReadPassphrase(f)
}

// PassphraseFD reads a passphrase from a file descriptor that the parent
// process opened, and closes it.
func PassphraseFD(fd uintptr) ([]byte, error) {
	f := os.NewFile(fd, "passphrase")
	if f == nil {
		return nil, errors.New("read passphrase: no such file descriptor")
	}
	defer f.Close()
	return ReadPassphrase(f)
}

// ReadPassphrase reads to the end; one line end at the end isn't part of the
// passphrase. ErrPassphraseSize when it is too short or too long.
func ReadPassphrase(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPassphrase+3))
	if err != nil {
		return nil, fmt.Errorf("read passphrase: %w", err)
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	b = bytes.TrimSuffix(b, []byte("\r"))
	return b, checkPassphrase(b)
}

// Bounds of a passphrase in bytes. A short one makes Argon2id pointless.
const (
	minPassphrase = 8
	maxPassphrase = 1024
)

func checkPassphrase(b []byte) error {
	if len(b) < minPassphrase || len(b) > maxPassphrase {
		return ErrPassphraseSize
	}
	return nil
}
