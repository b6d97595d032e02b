package backup

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"

	"yitong/chaincode/record"
	"yitong/gateway/vault"
)

// ErrDamaged says that a backup isn't what was written.
var ErrDamaged = errors.New("the backup is damaged, or was cut off")

// ErrKey says that a backup is for somebody else.
var ErrKey = errors.New("the backup can't be read with this passphrase or identity")

// Content is what a backup has.
type Content struct {
	Header  Header
	Digests Digests
}

// maxDocument bounds the two documents of an archive.
const maxDocument = 256 << 20

// Read reads a whole backup, checks every digest, and puts its files below a folder as
// Place says. "" checks alone.
func Read(from io.Reader, into string, identities ...age.Identity) (Content, error) {
	var c Content
	opened, err := age.Decrypt(from, identities...)
	var nobody *age.NoIdentityMatchError
	if errors.As(err, &nobody) {
		return c, ErrKey
	}
	if err != nil {
		return c, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	seen := map[string]Digest{}
	archive := tar.NewReader(opened)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return c, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if _, twice := seen[h.Name]; twice || h.Typeflag != tar.TypeReg || !fits(h.Name) {
			return c, fmt.Errorf("%w: it has something named %.80q", ErrDamaged, h.Name)
		}
		digest := sha256.New()
		var to io.Writer = io.Discard
		var doc bytes.Buffer
		done := func() error { return nil }
		switch {
		case h.Name == headerName || h.Name == digestsName:
			if h.Size > maxDocument {
				return c, fmt.Errorf("%w: %s has %d bytes", ErrDamaged, h.Name, h.Size)
			}
			to = &doc
		case into != "":
			f, err := create(Place(into, h.Name))
			if err != nil {
				return c, err
			}
			to, done = f, func() error { return errors.Join(f.Sync(), f.Close()) }
		}
		source := &marked{from: archive}
		n, err := io.Copy(io.MultiWriter(to, digest), source)
		if source.err != nil {
			err = fmt.Errorf("%w: %w", ErrDamaged, source.err)
		}
		if err = errors.Join(err, done()); err != nil {
			return c, fmt.Errorf("reading %s from the backup: %w", h.Name, err)
		}
		seen[h.Name] = Digest{n, record.Hash(digest.Sum(nil))}
		switch h.Name {
		case headerName:
			err = json.Unmarshal(doc.Bytes(), &c.Header)
		case digestsName:
			err = json.Unmarshal(doc.Bytes(), &c.Digests)
		}
		if err != nil {
			return c, fmt.Errorf("%w: %s: %w", ErrDamaged, h.Name, err)
		}
	}
	if _, err := io.Copy(io.Discard, opened); err != nil { // age's last chunk
		return c, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return c, c.check(seen)
}

// marked tells errors of reading from those of writing.
type marked struct {
	from io.Reader
	err  error
}

func (m *marked) Read(b []byte) (int, error) {
	n, err := m.from.Read(b)
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

func (c Content) check(seen map[string]Digest) error {
	if c.Header.Version != version {
		return fmt.Errorf("%w: its layout is version %d; this program knows version %d", ErrDamaged, c.Header.Version, version)
	}
	if _, whole := seen[digestsName]; !whole || c.Digests.Files[keysName].Size == 0 {
		return fmt.Errorf("%w: its end is missing", ErrDamaged)
	}
	delete(seen, digestsName)
	for _, name := range slices.Sorted(maps.Keys(c.Digests.Files)) {
		want, got := c.Digests.Files[name], seen[name]
		if got.Size != want.Size || !bytes.Equal(got.SHA256[:], want.SHA256[:]) {
			return fmt.Errorf("%w: %s isn't what was written", ErrDamaged, name)
		}
		delete(seen, name)
	}
	for name := range seen {
		return fmt.Errorf("%w: %.80q has no digest", ErrDamaged, name)
	}
	return nil
}

// fits says whether a name is one of the archive's; no other becomes a path.
func fits(name string) bool {
	if part, ok := strings.CutPrefix(name, vaultPrefix); ok {
		_, err := vault.ParseName(part)
		return err == nil
	}
	return slices.Contains([]string{headerName, outboxName, eventsName, auditName, heightsName, keysName, digestsName}, name)
}

// Place is where a file of the archive lies below a folder: parts as a vault has them.
func Place(folder, name string) string {
	if part, ok := strings.CutPrefix(name, vaultPrefix); ok {
		return filepath.Join(folder, "vault", part[:2], part)
	}
	return filepath.Join(folder, name)
}

func create(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}
