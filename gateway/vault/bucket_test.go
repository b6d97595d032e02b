package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"yitong/gateway/vault"
	"yitong/test/objectstore"
)

func openURL(t testing.TB, url string) vault.Vault {
	t.Helper()
	v, err := vault.OpenURL(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

// places are where every vault is tried: a directory and a real S3 server.
var places = []struct {
	name string
	open func(t *testing.T) vault.Vault
}{
	{"a directory", func(t *testing.T) vault.Vault { return openURL(t, t.TempDir()) }},
	{"an S3 server", func(t *testing.T) vault.Vault { return openURL(t, objectstore.Start(t).URL) }},
}

// What every vault does, tried on a directory and on a real S3 server.
func TestEveryVault(t *testing.T) {
	big := make([]byte, 40<<20) // several pieces of a multipart upload
	rand.Read(big)
	for _, place := range places {
		t.Run(place.name, func(t *testing.T) {
			v := place.open(t)
			for i, content := range [][]byte{{}, {1}, body, big} {
				name := vault.NameOf("r", i)
				if err := v.Put(ctx, name, write(content)); err != nil {
					t.Fatalf("%d bytes: %v", len(content), err)
				}
				blob, err := v.Open(ctx, name, sum(content))
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(blob)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes read as %d: %v", len(content), len(got), err)
				}
				blob.Close()
			}

			t.Run("a range is read alone", func(t *testing.T) {
				blob, err := v.Open(ctx, vault.NameOf("r", 3), sum(big))
				if err != nil {
					t.Fatal(err)
				}
				defer blob.Close()
				for _, r := range []struct{ off, n, want int64 }{{0, 10, 10}, {20 << 20, 1000, 1000}, {40<<20 - 5, 10, 5}, {40 << 20, 1, 0}} {
					p := make([]byte, r.n)
					n, err := blob.ReadAt(p, r.off)
					if int64(n) != r.want || !bytes.Equal(p[:n], big[r.off:r.off+r.want]) || (err == io.EOF) != (r.want < r.n) {
						t.Errorf("%d at %d: %d bytes, %v", r.n, r.off, n, err)
					}
				}
			})
			t.Run("a part is written once", func(t *testing.T) {
				if err := v.Put(ctx, vault.NameOf("r", 1), write([]byte("other"))); !errors.Is(err, vault.ErrExists) {
					t.Errorf("put again: %v", err)
				}
			})
			t.Run("of two at once one wins", func(t *testing.T) {
				name := vault.NameOf("race", 0)
				var both, done sync.WaitGroup
				errs := make([]error, 2)
				both.Add(2)
				for i := range errs {
					done.Go(func() {
						errs[i] = v.Put(ctx, name, func(w io.Writer) error {
							both.Done()
							both.Wait() // both have found nothing there
							_, err := w.Write(body)
							return err
						})
					})
				}
				done.Wait()
				if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), vault.ErrExists) {
					t.Errorf("%v", errs)
				}
			})
			t.Run("what fails leaves nothing", func(t *testing.T) {
				name := vault.NameOf("failing", 0)
				broken := errors.New("the source broke")
				err := v.Put(ctx, name, func(w io.Writer) error {
					w.Write(big[:20<<20])
					return broken
				})
				if !errors.Is(err, broken) {
					t.Errorf("put: %v", err)
				}
				stopped, stop := context.WithCancel(ctx)
				err = v.Put(stopped, name, func(w io.Writer) error {
					w.Write(big[:20<<20])
					stop()
					_, err := w.Write(big[20<<20:])
					return err
				})
				if err == nil {
					t.Error("a put that was interrupted succeeded")
				}
				if _, err := v.Open(ctx, name, sum(big)); !errors.Is(err, vault.ErrNotFound) {
					t.Errorf("open: %v", err)
				}
			})
			t.Run("the wrong size is found at once, wrong bytes at the end", func(t *testing.T) {
				if _, err := v.Open(ctx, vault.NameOf("r", 2), sum(body[1:])); !errors.Is(err, vault.ErrCorrupt) {
					t.Errorf("size: %v", err)
				}
				other := slices.Clone(body)
				other[0] ^= 1
				blob, err := v.Open(ctx, vault.NameOf("r", 2), sum(other))
				if err != nil {
					t.Fatal(err)
				}
				defer blob.Close()
				if _, err := io.ReadAll(blob); !errors.Is(err, vault.ErrCorrupt) {
					t.Errorf("bytes: %v", err)
				}
			})
			t.Run("all are listed, and what is deleted is gone", func(t *testing.T) {
				var before []vault.Entry
				for e, err := range v.List(ctx) {
					if err != nil {
						t.Fatal(err)
					}
					before = append(before, e)
				}
				if len(before) != 5 || !slices.IsSortedFunc(before, func(a, b vault.Entry) int { return bytes.Compare(a.Name[:], b.Name[:]) }) {
					t.Errorf("listed %v", before)
				}
				for _, e := range before {
					for range 2 { // the second time it isn't there, which is no error
						if err := v.Delete(ctx, e.Name); err != nil {
							t.Error(err)
						}
					}
				}
				for e, err := range v.List(ctx) {
					t.Errorf("still there: %v, %v", e, err)
				}
			})
		})
	}
}

// Nothing that the store says is believed.
func TestAStoreThatChangesObjects(t *testing.T) {
	server := objectstore.Start(t)
	v := openURL(t, server.URL)
	for _, change := range []struct {
		name string
		do   func([]byte) []byte
		soon bool // found when opened, not when read
	}{
		{"one bit flipped", func(b []byte) []byte { b[100] ^= 4; return b }, false},
		{"the end cut off", func(b []byte) []byte { return b[:len(b)-1] }, true},
		{"something appended", func(b []byte) []byte { return append(b, 0) }, true},
	} {
		t.Run(change.name, func(t *testing.T) {
			name := vault.NameOf(change.name, 0)
			if err := v.Put(ctx, name, write(body)); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(server.Folder, name.String())
			if err := os.WriteFile(file, change.do(slices.Clone(body)), 0o600); err != nil {
				t.Fatal(err)
			}
			forgetChecksums(t, file)
			blob, err := v.Open(ctx, name, sum(body))
			if change.soon {
				if !errors.Is(err, vault.ErrCorrupt) {
					t.Errorf("open: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer blob.Close()
			if _, err := io.ReadAll(blob); !errors.Is(err, vault.ErrCorrupt) {
				t.Errorf("read: %v", err)
			}
		})
	}
}

// forgetChecksums has the store forget what it noted of an object, as a store that lies
// would.
func forgetChecksums(t *testing.T, file string) {
	list := make([]byte, 4096)
	n, err := unix.Listxattr(file, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, attribute := range strings.Split(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		if err := unix.Removexattr(file, attribute); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAVaultThatCantBeOpenedSaysWhy(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	for _, test := range []struct{ name, url, want string }{
		{"another scheme", "ftp://host/folder", "an s3:// URL, not ftp://"},
		{"a password", "s3://user:secret@bucket?region=us-east-1", "environment or file"},
		{"a misspelt parameter", "s3://bucket?regoin=us-east-1", "regoin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := vault.OpenURL(ctx, test.url)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("no such bucket", func(t *testing.T) {
		url := strings.Replace(objectstore.Start(t).URL, "s3://vault", "s3://nowhere", 1)
		if _, err := vault.OpenURL(ctx, url); err == nil || !strings.Contains(err.Error(), "bucket exists") {
			t.Errorf("%v", err)
		}
	})
	t.Run("the server is gone", func(t *testing.T) {
		server := objectstore.Start(t)
		v := openURL(t, server.URL)
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		stopped, stop := context.WithTimeout(ctx, 1e9)
		defer stop()
		if err := v.Put(stopped, name, write(body)); err == nil {
			t.Error("put succeeded")
		}
	})
}

func BenchmarkPutS3(b *testing.B) {
	v := openURL(b, objectstore.Start(b).URL)
	content := make([]byte, 64<<20)
	rand.Read(content)
	b.SetBytes(int64(len(content)))
	i := 0
	for b.Loop() {
		if err := v.Put(ctx, vault.NameOf("bench", i), write(content)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
