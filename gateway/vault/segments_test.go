package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"yitong/chaincode/record"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
	"yitong/test/objectstore"
)

// keep writes in pieces and returns the segments that were kept.
func keep(t testing.TB, v vault.Vault, content []byte, pieces ...int) vault.Segments {
	t.Helper()
	var kept vault.Segments
	for i := 0; i <= len(pieces); i++ {
		w := vault.NewSegmentWriter(ctx, v, func(s vault.Segment) error {
			kept = append(kept, s)
			return nil
		})
		n := len(content)
		if i < len(pieces) {
			n = pieces[i]
		}
		if _, err := w.Write(content[:n]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		content = content[n:]
	}
	return kept
}

func readRange(v vault.Vault, s vault.Segments, off, n int64) ([]byte, error) {
	r, err := s.Range(ctx, v, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// F13 and S3: what comes in pieces is read as one, on a directory and on a real S3 server, and is
// several pieces of a multipart upload there.
func TestSegmentsAreReadAsOne(t *testing.T) {
	content := make([]byte, vault.SegmentSize+20<<20)
	rand.Read(content)
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			v := place.open(t)
			kept := keep(t, v, content, 1, 12<<20)
			if len(kept) != 4 || kept.Size() != int64(len(content)) || kept[2].Size != vault.SegmentSize {
				t.Fatalf("%d bytes are kept as %+v", len(content), kept)
			}
			size := kept.Size()
			for _, at := range [][2]int64{{0, size}, {0, 1}, {0, 2}, {1, 12 << 20}, {12<<20 + 1, 5}, {size - 1, 1}, {size, 0}, {3, size - 7}} {
				got, err := readRange(v, kept, at[0], at[1])
				if err != nil || !bytes.Equal(got, content[at[0]:at[0]+at[1]]) {
					t.Errorf("%d bytes from %d on: %d, %v", at[1], at[0], len(got), err)
				}
			}
			for _, at := range [][2]int64{{-1, 1}, {0, size + 1}, {size + 1, 0}, {0, -1}} {
				if _, err := readRange(v, kept, at[0], at[1]); err == nil {
					t.Errorf("%d bytes from %d on are read", at[1], at[0])
				}
			}
			if err := kept.Delete(ctx, v); err != nil {
				t.Fatal(err)
			}
			if _, err := readRange(v, kept, 0, 1); !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("once deleted: %v", err)
			}
		})
	}
}

// What a writer's caller gave up on is kept as far as it came, and its end keeps it.
func TestWhatCameIsKeptThoughItsCallerIsGone(t *testing.T) {
	v := openURL(t, t.TempDir())
	gone, leave := context.WithCancel(ctx)
	var kept vault.Segments
	w := vault.NewSegmentWriter(gone, v, func(s vault.Segment) error { kept = append(kept, s); return nil })
	w.Write([]byte("half"))
	leave()
	if err := w.Close(); err != nil || kept.Size() != 4 {
		t.Errorf("%d bytes are kept, %v", kept.Size(), err)
	}
	refuses := errors.New("no")
	w = vault.NewSegmentWriter(ctx, v, func(vault.Segment) error { return refuses })
	w.Write([]byte("x"))
	if err := w.Close(); !errors.Is(err, refuses) {
		t.Errorf("what can't be noted: %v", err)
	}
}

// A22 on a server that changes objects: cut, exchanged, replaced by another of the same size.
func TestAStoreThatChangesSegmentsIsFoundOut(t *testing.T) {
	content := make([]byte, 5<<20)
	rand.Read(content)
	key, ad := seal.NewKey(), seal.AD{Record: "r", Class: record.Imaging}
	for name, change := range map[string]func(t *testing.T, files []string){
		"cut": func(t *testing.T, files []string) {
			if err := os.Truncate(files[0], 3<<20); err != nil {
				t.Fatal(err)
			}
			forgetChecksums(t, files[0])
		},
		"exchanged with another of its size": func(t *testing.T, files []string) {
			a, b := files[0], files[1]
			for _, step := range [][2]string{{a, a + ".x"}, {b, a}, {a + ".x", b}} {
				if err := os.Rename(step[0], step[1]); err != nil {
					t.Fatal(err)
				}
			}
		},
		"other bytes of the same size": func(t *testing.T, files []string) {
			raw, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			rand.Read(raw[len(raw)/2:])
			if err := os.WriteFile(files[0], raw, 0o600); err != nil {
				t.Fatal(err)
			}
			forgetChecksums(t, files[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := objectstore.Start(t)
			v := openURL(t, server.URL)
			var b bytes.Buffer
			sealed, err := seal.Seal(&b, bytes.NewReader(content), key, ad)
			if err != nil {
				t.Fatal(err)
			}
			half := b.Len() / 2
			kept := keep(t, v, b.Bytes()[:2*half], half) // two of one size, and what is left
			if b.Len() > 2*half {
				kept = append(kept[:2:2], keep(t, v, b.Bytes()[2*half:])...)
			}
			open := func() error {
				r, err := kept.Range(ctx, v, 0, kept.Size())
				if err != nil {
					return err
				}
				defer r.Close()
				return seal.Open(io.Discard, r, key, ad, sealed)
			}
			if err := open(); err != nil {
				t.Fatalf("unchanged: %v", err)
			}
			files := []string{filepath.Join(server.Folder, kept[0].Name.String()), filepath.Join(server.Folder, kept[1].Name.String())}
			change(t, files)
			if err := open(); err == nil {
				t.Error("it opens")
			}
		})
	}
}
