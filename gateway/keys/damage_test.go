package keys_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"yitong/gateway/keys"
)

// edit changes the file of a closed store as one would who knows bbolt but not
// the passphrase.
func edit(t *testing.T, path string, f func(tx *bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(f); err != nil {
		t.Fatal(err)
	}
}

func TestAHeaderOutOfBoundsIsRefusedBeforeItCosts(t *testing.T) {
	cases := map[string]map[string]any{
		"memory of a terabyte":    {"memory": 1 << 30},
		"little memory":           {"memory": 64},
		"a million passes":        {"time": 1 << 20},
		"one pass":                {"time": 1},
		"no lane":                 {"threads": 0},
		"two hundred lanes":       {"threads": 200},
		"another version":         {"version": 2},
		"no salt":                 {"salt": ""},
		"a short master key":      {"master": "AAAA"},
		"a number that is a text": {"time": "3"},
	}
	s, path := create(t)
	s.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(path, good, 0o600); err != nil {
				t.Fatal(err)
			}
			edit(t, path, func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte("yitong key store"))
				var h map[string]any
				if err := json.Unmarshal(b.Get([]byte("header")), &h); err != nil {
					return err
				}
				for k, v := range change {
					h[k] = v
				}
				doc, _ := json.Marshal(h)
				return b.Put([]byte("header"), doc)
			})
			s, err := keys.Open(path, pass)
			if err == nil {
				s.Close()
				t.Fatal("it opened")
			}
			if name != "another version" && !errors.Is(err, keys.ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestParametersThatWereLoweredDoNotOpen(t *testing.T) {
	s, path := create(t)
	s.Close()
	edit(t, path, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("yitong key store"))
		doc := bytes.Replace(b.Get([]byte("header")), []byte(`"time":3`), []byte(`"time":4`), 1)
		return b.Put([]byte("header"), doc)
	})
	if _, err := keys.Open(path, pass); !errors.Is(err, keys.ErrPassphrase) {
		t.Errorf("got %v", err)
	}
}

func TestMovedValuesAreRefused(t *testing.T) {
	s, path := create(t)
	put(t, s, "b", "x", "1")
	put(t, s, "b", "y", "2")
	s.Close()
	edit(t, path, func(tx *bolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
			if strings.HasPrefix(string(name), "yitong") {
				return nil
			}
			c := b.Cursor()
			k1, v1 := c.First()
			k2, v2 := c.Next()
			v1, v2 = bytes.Clone(v1), bytes.Clone(v2)
			return errors.Join(b.Put(bytes.Clone(k1), v2), b.Put(bytes.Clone(k2), v1))
		})
	})
	if _, err := keys.Open(path, pass); !errors.Is(err, keys.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

func TestMissingAndOlderEntriesAreFound(t *testing.T) {
	cases := map[string]func(b *bolt.Bucket, older []byte) error{
		"an entry taken out": func(b *bolt.Bucket, _ []byte) error {
			k, _ := b.Cursor().First()
			return b.Delete(bytes.Clone(k))
		},
		"an older value put back": func(b *bolt.Bucket, older []byte) error {
			k, _ := b.Cursor().First()
			return b.Put(bytes.Clone(k), older)
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			s, path := create(t)
			put(t, s, "b", "x", "older")
			s.Close()
			var older []byte
			ours := func(f func(b *bolt.Bucket) error) func(tx *bolt.Tx) error {
				return func(tx *bolt.Tx) error {
					return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
						if strings.HasPrefix(string(name), "yitong") {
							return nil
						}
						return f(b)
					})
				}
			}
			edit(t, path, ours(func(b *bolt.Bucket) error {
				_, v := b.Cursor().First()
				older = bytes.Clone(v)
				return nil
			}))
			s = reopen(t, nil, path, pass)
			put(t, s, "b", "x", "newer")
			s.Close()
			edit(t, path, ours(func(b *bolt.Bucket) error { return change(b, older) }))
			if _, err := keys.Open(path, pass); !errors.Is(err, keys.ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestDamageIsFoundOrHarmless damages the file at many places: it opens with
// what was put there, or it says that it is damaged. It never panics and never
// gives another value.
func TestDamageIsFoundOrHarmless(t *testing.T) {
	s, path := create(t)
	for _, name := range []string{"a", "b", "c"} {
		put(t, s, "bucket", name, strings.Repeat(name, 700))
	}
	s.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	damages := map[string]func([]byte) []byte{
		"emptied":            func(b []byte) []byte { return nil },
		"cut to one page":    func(b []byte) []byte { return b[:4096] },
		"the end missing":    func(b []byte) []byte { return b[:len(b)/4] },
		"not a store at all": func(b []byte) []byte { return bytes.Repeat([]byte("text"), 9000) },
	}
	for name, f := range damages {
		t.Run(name, func(t *testing.T) { opensOrSays(t, f(bytes.Clone(good)), false) })
	}
	flips := 24
	if testing.Short() {
		flips = 4
	}
	for range flips {
		bad := bytes.Clone(good)
		at := rnd.IntN(len(bad))
		bad[at] ^= 1 << rnd.IntN(8)
		opensOrSays(t, bad, true)
	}
}

func opensOrSays(t *testing.T, file []byte, mayOpen bool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := keys.Open(path, pass)
	if err != nil {
		if !errors.Is(err, keys.ErrCorrupt) && !errors.Is(err, keys.ErrPassphrase) && !strings.Contains(err.Error(), "version") {
			t.Errorf("got %v", err)
		}
		return
	}
	defer s.Close()
	if !mayOpen {
		t.Error("it opened")
	}
	list, err := s.List("bucket")
	if err != nil {
		t.Error(err)
	}
	if len(list) != 3 {
		t.Errorf("%d entries are left of 3, and nobody says so", len(list))
	}
	for name, value := range list {
		if string(value) != strings.Repeat(name, 700) {
			t.Errorf("%s has another value", name)
		}
	}
}

func TestPassphrasesComeFromFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(content string, mode os.FileMode) string {
		p := filepath.Join(dir, strings.Map(func(r rune) rune {
			if r < 'a' || r > 'z' {
				return '_'
			}
			return r
		}, content[:min(len(content), 20)])+mode.String())
		if err := os.WriteFile(p, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for content, want := range map[string]string{
		"passphrase one":       "passphrase one",
		"passphrase two\n":     "passphrase two",
		"passphrase three\r\n": "passphrase three",
		"  with  spaces  \n\n": "  with  spaces  \n",
	} {
		if got, err := keys.PassphraseFile(file(content, 0o600)); err != nil || string(got) != want {
			t.Errorf("%q: %q, %v", content, got, err)
		}
	}
	if _, err := keys.PassphraseFile(file("readable by others", 0o644)); err == nil || !strings.Contains(err.Error(), "chmod") {
		t.Errorf("a file that others can read: %v", err)
	}
	if _, err := keys.PassphraseFile(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, short := range []string{"", "\n", "1234567\n", strings.Repeat("x", 1025)} {
		if _, err := keys.ReadPassphrase(strings.NewReader(short)); !errors.Is(err, keys.ErrPassphraseSize) {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w.WriteString("passphrase by pipe\n")
	w.Close()
	defer r.Close()
	fd, err := syscall.Dup(int(r.Fd())) // PassphraseFD closes its own
	if err != nil {
		t.Fatal(err)
	}
	if got, err := keys.PassphraseFD(uintptr(fd)); err != nil || string(got) != "passphrase by pipe" {
		t.Errorf("%q, %v", got, err)
	}
}
