package keys_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
	"pgregory.net/rapid"

	"yitong/gateway/keys"
)

// sealed lists every sealed value that is in force in the file, in no order.
func sealed(t testing.TB, path string) [][]byte {
	t.Helper()
	copied := path + ".copy" // the store has the file locked
	if err := os.WriteFile(copied, read(t, path), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(copied, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var all [][]byte
	err = db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
			return b.ForEach(func(_, v []byte) error {
				all = append(all, bytes.Clone(v))
				return nil
			})
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// leftovers are those sealed values that are in the raw file without being in force.
func leftovers(t testing.TB, path string, ever [][]byte) int {
	t.Helper()
	raw, now := read(t, path), sealed(t, path)
	n := 0
	for _, v := range ever {
		inForce := false
		for _, w := range now {
			inForce = inForce || bytes.Equal(v, w)
		}
		if !inForce && bytes.Contains(raw, v) {
			n++
		}
	}
	return n
}

func TestWhatIsDeletedStaysInTheFileUntilItIsScrubbed(t *testing.T) {
	s, path := create(t)
	for i := range 50 {
		put(t, s, "part", fmt.Sprint(i), strings.Repeat("k", 32))
	}
	ever := sealed(t, path)
	err := s.Update(func(tx *keys.Tx) error {
		for i := range 49 {
			if err := tx.Delete("part", fmt.Sprint(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := leftovers(t, path, ever); n < 49 { // the control: deleting is not destroying
		t.Fatalf("only %d of 49 deleted keys are still in the file: the test shows nothing", n)
	}
	if err := s.Scrub(); err != nil {
		t.Fatal(err)
	}
	if n := leftovers(t, path, ever); n != 0 {
		t.Errorf("%d deleted keys are still in the file", n)
	}
	want(t, s, "part", map[string]string{"49": strings.Repeat("k", 32)})
	put(t, s, "part", "50", "written after")
	want(t, reopen(t, s, path, pass), "part", map[string]string{"49": strings.Repeat("k", 32), "50": "written after"})
}

func TestAClosedStoreIsNotScrubbed(t *testing.T) {
	s, _ := create(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(); !errors.Is(err, keys.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// Past the last page lies what a crash in the middle of a commit left there.
func TestScrubReachesPastTheLastPage(t *testing.T) {
	s, path := create(t)
	put(t, s, "part", "0", "kept")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	left := []byte("sealed under the master key, and never committed")
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(left, info.Size()-100); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := s.Scrub(); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(read(t, path), left) {
		t.Error("it is still there")
	}
	want(t, reopen(t, s, path, pass), "part", map[string]string{"0": "kept"})
}

// TestNoValueThatIsNotInForceSurvivesAScrub draws histories of a store and looks for every sealed
// value that there ever was.
func TestNoValueThatIsNotInForceSurvivesAScrub(t *testing.T) {
	s, path := create(t)
	model := map[string]string{}
	var ever [][]byte
	rapid.Check(t, func(r *rapid.T) {
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			name := rapid.StringMatching(`[a-f]`).Draw(r, "name")
			if rapid.Bool().Draw(r, "delete") {
				if err := s.Delete("b", name); err != nil {
					r.Fatal(err)
				}
				delete(model, name)
			} else {
				value := strings.Repeat("v", rapid.SampledFrom([]int{1, 32, 5000}).Draw(r, "size"))
				if err := s.Put("b", name, []byte(value)); err != nil {
					r.Fatal(err)
				}
				model[name] = value
			}
			if rapid.IntRange(0, 2).Draw(r, "look") == 0 {
				ever = append(ever, sealed(t, path)...)
			}
		}
		if err := s.Scrub(); err != nil {
			r.Fatal(err)
		}
		if n := leftovers(t, path, ever); n != 0 {
			r.Fatalf("%d values are still in the file", n)
		}
		ever = nil
	})
	want(t, reopen(t, s, path, pass), "b", model)
}
