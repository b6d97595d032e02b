// Package leak looks for secrets where none may be.
//
// A secret is searched as it is, in base64 (at each of the three offsets at which
// it can stand in a longer text, both alphabets), in hex of both cases, and as its
// SHA-256 in all of these: whoever publishes the digest of a birth date publishes
// the birth date. A text is searched in either case too, in UTF-16, and as JSON and
// URLs escape it. Files are read as they lie on the disk, LevelDB's tables
// also with their blocks decompressed; and so are their names.
//
// What isn't there to be found can still be guessed at: the statistics of this package
// say how well, from sizes and from times.
package leak

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Secret is something to look for.
type Secret struct {
	Name  string // for people; not the secret
	Value []byte
}

// Finding is a secret that was found.
type Finding struct {
	Secret, Form string
	Path         string
	Offset       int // in the file or in its decompressed content
}

func (f Finding) String() string {
	return fmt.Sprintf("%s, %s, in %s at %d", f.Secret, f.Form, f.Path, f.Offset)
}

// minLength is that of the shortest secret searched as it is and encoded, in
// bytes. A shorter one stands somewhere by chance: a ledger holds megabytes of
// random bytes and of their hex.
const minLength = 6

type needle struct {
	secret, form string
	bytes        []byte
}

// Scanner looks for secrets.
type Scanner struct{ needles []needle }

// New makes a scanner. A secret of less than minLength bytes is searched in its
// derived forms only.
func New(secrets ...Secret) *Scanner {
	s := &Scanner{}
	for _, one := range secrets {
		s.add(one.Name, "", one.Value)
		digest := sha256.Sum256(one.Value)
		s.add(one.Name, "SHA-256, ", digest[:])
	}
	return s
}

func (s *Scanner) add(name, prefix string, value []byte) {
	forms := map[string][]byte{
		"as it is": value, "hex": hex.AppendEncode(nil, value), "HEX": []byte(strings.ToUpper(hex.EncodeToString(value))),
	}
	for offset := range 3 {
		for alphabet, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64url": base64.RawURLEncoding} {
			forms[fmt.Sprintf("%s at offset %d", alphabet, offset)] = inner(encoding, value, offset)
		}
	}
	if len(value) < minLength {
		return
	}
	if prefix == "" {
		for form, b := range textForms(value) {
			forms[form] = b
		}
	}
	for form, b := range forms {
		s.needles = append(s.needles, needle{name, prefix + form, b})
	}
}

// inner is the characters of a base64 text that depend on value alone when value
// stands at an offset modulo 3 in what is encoded.
func inner(e *base64.Encoding, value []byte, offset int) []byte {
	padded := append(make([]byte, offset), value...)
	text := e.EncodeToString(padded)
	first := (offset*8 + 5) / 6 // the first character that holds no bit before value
	last := len(padded) * 8 / 6 // the first that may hold a bit after it
	return []byte(text[first:last])
}

// Bytes looks through bytes.
func (s *Scanner) Bytes(path string, b []byte) []Finding {
	var found []Finding
	for _, n := range s.needles {
		if at := bytes.Index(b, n.bytes); at >= 0 {
			found = append(found, Finding{n.secret, n.form, path, at})
		}
	}
	return found
}

// Tree looks through every file below a directory that wanted says yes to; how
// many that were is returned too.
func (s *Scanner) Tree(root string, wanted func(path string) bool) (found []Finding, files int, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !wanted(path) {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if name, err := filepath.Rel(root, path); err == nil {
			found = append(found, s.Bytes("the name of "+path, []byte(name))...)
		}
		found = append(found, s.Bytes(path, b)...)
		if filepath.Ext(path) == ".ldb" {
			blocks, err := tableBlocks(b)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			for _, block := range blocks {
				found = append(found, s.Bytes(path, block)...)
			}
		}
		return nil
	})
	return found, files, err
}
