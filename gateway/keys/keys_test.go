package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"yitong/gateway/keys"
)

var (
	pass  = []byte("correct horse battery staple")
	other = []byte("another passphrase")
)

func create(t testing.TB) (*keys.Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys", "store")
	s, err := keys.Create(path, pass)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, path
}

func reopen(t testing.TB, s *keys.Store, path string, passphrase []byte) *keys.Store {
	t.Helper()
	if s != nil {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := keys.Open(path, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s *keys.Store, bucket, name, value string) {
	t.Helper()
	if err := s.Put(bucket, name, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, s *keys.Store, bucket string, entries map[string]string) {
	t.Helper()
	list, err := s.List(bucket)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for name, value := range list {
		got[name] = string(value)
		if v, err := s.Get(bucket, name); err != nil || !bytes.Equal(v, value) {
			t.Errorf("%s: Get and List disagree: %v", name, err)
		}
	}
	if d := cmp.Diff(entries, got); d != "" {
		t.Error(d)
	}
}

func TestWhatIsPutIsThereAfterReopening(t *testing.T) {
	s, path := create(t)
	put(t, s, "part", "r1/0", "key one")
	put(t, s, "part", "r1/1", "key two")
	put(t, s, "part", "r1/1", "key two, newer")
	put(t, s, "part", "", "")
	put(t, s, "handle", "r1/0", "another bucket")
	put(t, s, "part", "gone", "gone")
	if err := s.Delete("part", "gone"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("part", "never there"); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete("never there", "x"); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s, path, pass)
	want(t, s, "part", map[string]string{"r1/0": "key one", "r1/1": "key two, newer", "": ""})
	want(t, s, "handle", map[string]string{"r1/0": "another bucket"})
	want(t, s, "empty", map[string]string{})
	for _, place := range [][2]string{{"part", "gone"}, {"part", "r2"}, {"nowhere", "r1/0"}} {
		if _, err := s.Get(place[0], place[1]); !errors.Is(err, keys.ErrNotFound) {
			t.Errorf("%v: %v", place, err)
		}
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}

func TestOpeningSaysWhatIsWrong(t *testing.T) {
	s, path := create(t)
	if _, err := keys.Open(path, pass); !errors.Is(err, keys.ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	if _, err := keys.Create(path, pass); !errors.Is(err, keys.ErrLocked) {
		t.Errorf("created while it is open: %v", err)
	}
	s.Close()
	if _, err := keys.Create(path, pass); !errors.Is(err, keys.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	for _, p := range [][]byte{nil, append(bytes.Clone(pass), '\n')} {
		if _, err := keys.Open(path, p); !errors.Is(err, keys.ErrPassphrase) {
			t.Errorf("%q: %v", p, err)
		}
	}
	if _, err := keys.Open(path+"2", pass); !errors.Is(err, keys.ErrMissing) {
		t.Errorf("none there: %v", err)
	}
	for _, p := range [][]byte{nil, []byte("1234567"), make([]byte, 1025)} {
		if _, err := keys.Create(path+"3", p); !errors.Is(err, keys.ErrPassphraseSize) {
			t.Errorf("a passphrase of %d bytes: %v", len(p), err)
		}
	}
	reopen(t, nil, path, pass) // all the failures left it unlocked
	if list, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.new")); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
}

func TestAClosedStoreSaysSo(t *testing.T) {
	s, _ := create(t)
	s.Close()
	if err := s.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if err := s.Put("a", "b", nil); err == nil {
		t.Error("Put")
	}
	if err := s.Rekey(pass); err == nil {
		t.Error("Rekey")
	}
}

func TestATransactionIsAllOrNothing(t *testing.T) {
	s, path := create(t)
	put(t, s, "b", "kept", "1")
	boom := errors.New("boom")
	err := s.Update(func(tx *keys.Tx) error {
		if err := tx.Put("b", "kept", []byte("2")); err != nil {
			return err
		}
		if err := tx.Put("new bucket", "x", []byte("3")); err != nil {
			return err
		}
		if v, err := tx.Get("b", "kept"); err != nil || string(v) != "2" {
			t.Errorf("its own write: %q %v", v, err)
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
	func() {
		defer func() { recover() }()
		s.Update(func(tx *keys.Tx) error {
			tx.Put("b", "kept", []byte("4"))
			panic("crash")
		})
	}()
	want(t, s, "b", map[string]string{"kept": "1"})
	want(t, s, "new bucket", map[string]string{})
	err = s.View(func(tx *keys.Tx) error {
		return errors.Join(tx.Put("b", "kept", nil), tx.Delete("b", "kept"))
	})
	if !errors.Is(err, keys.ErrReadOnly) {
		t.Errorf("writing in View: %v", err)
	}
	s = reopen(t, s, path, pass)
	want(t, s, "b", map[string]string{"kept": "1"})
}

func TestTheStoreBehavesLikeAMap(t *testing.T) {
	s, path := create(t)
	model := map[string]map[string]string{"a": {}, "b": {}}
	buckets, names := rapid.SampledFrom([]string{"a", "b"}), rapid.SampledFrom([]string{"", "x", "y", "xy", "ax"})
	rapid.Check(t, func(r *rapid.T) {
		bucket, name := buckets.Draw(r, "bucket"), names.Draw(r, "name")
		switch rapid.IntRange(0, 2).Draw(r, "action") {
		case 0:
			value := rapid.String().Draw(r, "value")
			put(t, s, bucket, name, value)
			model[bucket][name] = value
		case 1:
			if err := s.Delete(bucket, name); err != nil {
				r.Fatal(err)
			}
			delete(model[bucket], name)
		case 2:
			want(t, s, bucket, model[bucket])
		}
	})
	s = reopen(t, s, path, pass)
	want(t, s, "a", model["a"])
	want(t, s, "b", model["b"])
}

// canaries are what must not be readable in any form.
var canaries = []string{"patients-bucket", "110101199003070000", "Zhang San 张三", "part key of record 17"}

func hides(t *testing.T, path string) {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range append(canaries, string(pass), string(other)) {
			if bytes.Contains(raw, []byte(c)) || bytes.Contains(raw, fmt.Appendf(nil, "%x", c)) {
				t.Errorf("%q is readable in %s", c, filepath.Base(file))
			}
		}
	}
}

func TestNothingInTheFileIsReadable(t *testing.T) {
	s, path := create(t)
	put(t, s, canaries[0], canaries[1], canaries[2])
	put(t, s, canaries[0], canaries[2], canaries[3])
	hides(t, path)
	if err := s.ChangePassphrase(pass, other); err != nil {
		t.Fatal(err)
	}
	hides(t, path)
	if err := s.Rekey(other); err != nil {
		t.Fatal(err)
	}
	s.Close()
	hides(t, path)
	// The control: the search finds what is there to be found.
	if err := os.WriteFile(path+".control", []byte("x"+canaries[2]), 0o600); err != nil {
		t.Fatal(err)
	}
	raw, _ := os.ReadFile(path + ".control")
	if !bytes.Contains(raw, []byte(canaries[2])) {
		t.Error("the search finds nothing")
	}
}

func TestThePassphraseChanges(t *testing.T) {
	s, path := create(t)
	put(t, s, "b", "x", "1")
	if err := s.ChangePassphrase(other, other); !errors.Is(err, keys.ErrPassphrase) {
		t.Errorf("by one who doesn't know it: %v", err)
	}
	if err := s.ChangePassphrase(pass, []byte("short")); !errors.Is(err, keys.ErrPassphraseSize) {
		t.Errorf("to a short one: %v", err)
	}
	want(t, s, "b", map[string]string{"x": "1"})
	before, _ := os.ReadFile(path)
	if err := s.ChangePassphrase(pass, other); err != nil {
		t.Fatal(err)
	}
	put(t, s, "b", "y", "2")
	if _, err := keys.Open(path, other); !errors.Is(err, keys.ErrLocked) {
		t.Errorf("another process came in: %v", err)
	}
	s.Close()
	if _, err := keys.Open(path, pass); !errors.Is(err, keys.ErrPassphrase) {
		t.Errorf("the old one: %v", err)
	}
	// The header under the old passphrase is nowhere in the file.
	after, _ := os.ReadFile(path)
	master := between(t, before, `"master":"`, `"`)
	if bytes.Contains(after, master) {
		t.Error("the file still holds the master key under the old passphrase")
	}
	s = reopen(t, nil, path, other)
	want(t, s, "b", map[string]string{"x": "1", "y": "2"})
}

func between(t *testing.T, b []byte, start, end string) []byte {
	_, rest, ok := bytes.Cut(b, []byte(start))
	found, _, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatal("no header")
	}
	return found
}

func TestTheMasterKeyChanges(t *testing.T) {
	s, path := create(t)
	entries := map[string]string{}
	for i := range 200 {
		name := fmt.Sprintf("r%d", i)
		entries[name] = strings.Repeat(name, i)
		put(t, s, "b", name, entries[name])
	}
	put(t, s, "other", "x", "1")
	if err := s.Rekey(other); !errors.Is(err, keys.ErrPassphrase) {
		t.Errorf("by one who doesn't know the passphrase: %v", err)
	}
	before, _ := os.ReadFile(path)
	if err := s.Rekey(pass); err != nil {
		t.Fatal(err)
	}
	want(t, s, "b", entries)
	put(t, s, "b", "after", "2")
	entries["after"] = "2"
	s = reopen(t, s, path, pass)
	want(t, s, "b", entries)
	want(t, s, "other", map[string]string{"x": "1"})
	s.Close()
	// No sealed value of before is left. Other than the sealed ones, what the file is made of
	// repeats: counts, page numbers, the zeros that a page ends with.
	after, _ := os.ReadFile(path)
	looked := 0
	for at := 0; at+64 < len(before); at += 64 {
		piece := before[at : at+64]
		if distinct(piece) < 40 { // of 64 random bytes 57 on average, under 45 never
			continue
		}
		looked++
		if found := bytes.Index(after, piece); found >= 0 {
			t.Fatalf("64 bytes at %d of the old file are at %d of the new one: %x", at, found, piece)
		}
	}
	if looked < 100 {
		t.Errorf("only %d pieces of the old file look sealed", looked)
	}
}

func distinct(piece []byte) int {
	seen := map[byte]bool{}
	for _, b := range piece {
		seen[b] = true
	}
	return len(seen)
}

func TestACrashWhileRekeyingLeavesTheOldStore(t *testing.T) {
	s, path := create(t)
	put(t, s, "b", "x", "1")
	s.Close()
	if err := os.WriteFile(path+".new", []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, nil, path, pass)
	want(t, s, "b", map[string]string{"x": "1"})
	if err := s.Rekey(pass); err != nil {
		t.Error(err)
	}
}

func TestUsersOfOneStoreDoNotDisturbEachOther(t *testing.T) {
	s, path := create(t)
	done := make(chan error)
	const n = 8
	for i := range n {
		go func() {
			for j := range 20 {
				name := fmt.Sprintf("%d-%d", i, j)
				if err := s.Put("b", name, []byte(name)); err != nil {
					done <- err
					return
				}
				if v, err := s.Get("b", name); err != nil || string(v) != name {
					done <- fmt.Errorf("%s: %q %w", name, v, err)
					return
				}
			}
			done <- nil
		}()
	}
	if err := s.Rekey(pass); err != nil { // in the middle of it
		t.Error(err)
	}
	for range n {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s = reopen(t, s, path, pass)
	if list, err := s.List("b"); err != nil || len(list) != 20*n {
		t.Errorf("%d entries, %v", len(list), err)
	}
}
