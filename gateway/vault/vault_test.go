package vault_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"yitong/gateway/vault"
)

var ctx = context.Background()

func open(t testing.TB, dir string) *vault.Dir {
	t.Helper()
	v, err := vault.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { v.Close() })
	return v
}

func write(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

func sum(b []byte) vault.Sum { return vault.Sum{Size: int64(len(b)), Digest: sha256.Sum256(b)} }

var (
	name = vault.NameOf("0123456789abcdef0123456789abcdef", 0)
	body = bytes.Repeat([]byte("sealed "), 1000)
)

// files lists what lies in a vault, without its lock and folders.
func files(t testing.TB, dir string) []string {
	var list []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name() != "lock" {
			list = append(list, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func place(n vault.Name) string { return n.String()[:2] + "/" + n.String() }

func TestWhatIsPutIsRead(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	for i, b := range [][]byte{{}, {1}, body} {
		n := vault.NameOf("r", i)
		if err := v.Put(ctx, n, write(b)); err != nil {
			t.Fatal(err)
		}
		blob, err := v.Open(ctx, n, sum(b))
		if err != nil {
			t.Fatal(err)
		}
		defer blob.Close()
		if blob.Size() != int64(len(b)) {
			t.Errorf("size %d", blob.Size())
		}
		got, err := io.ReadAll(iotest.OneByteReader(blob))
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
	blob, err := v.Open(ctx, vault.NameOf("r", 2), sum(body))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	at := make([]byte, 6)
	if _, err := blob.ReadAt(at, 7); err != nil || string(at) != "sealed" {
		t.Errorf("%q, %v", at, err)
	}
	if got := files(t, dir); len(got) != 3 {
		t.Errorf("left behind: %v", got)
	}
	for _, f := range files(t, dir) {
		if info, _ := os.Stat(filepath.Join(dir, f)); info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", f, info.Mode().Perm())
		}
	}
}

func TestAPartIsWrittenOnce(t *testing.T) {
	v := open(t, t.TempDir())
	if err := v.Put(ctx, name, write(body)); err != nil {
		t.Fatal(err)
	}
	if err := v.Put(ctx, name, write([]byte("other"))); !errors.Is(err, vault.ErrExists) {
		t.Errorf("the second Put: %v", err)
	}
	if blob, err := v.Open(ctx, name, sum(body)); err != nil {
		t.Error(err)
	} else {
		blob.Close()
	}
}

func TestOfManyPutsOfOneNameOneWins(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	const n = 16
	var group sync.WaitGroup
	var ready sync.WaitGroup
	ready.Add(n)
	errs := make([]error, n)
	for i := range n {
		group.Go(func() {
			errs[i] = v.Put(ctx, name, func(w io.Writer) error {
				ready.Done()
				ready.Wait() // all write at once
				return write(fmt.Appendf(nil, "writer %02d", i))(w)
			})
		})
	}
	group.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("%d and %d both won", winner, i)
		case !errors.Is(err, vault.ErrExists):
			t.Error(err)
		}
	}
	want := fmt.Appendf(nil, "writer %02d", winner)
	blob, err := v.Open(ctx, name, sum(want))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if got, err := io.ReadAll(blob); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%q, %v", got, err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}

func TestAFailedPutLeavesNothing(t *testing.T) {
	boom := errors.New("boom")
	cancelled, cancel := context.WithCancel(ctx)
	cases := []struct {
		name  string
		ctx   context.Context
		write func(io.Writer) error
		want  error
	}{
		{"the writer fails after some bytes", ctx, func(w io.Writer) error { w.Write(body); return boom }, boom},
		{"the context ends meanwhile", cancelled, func(w io.Writer) error {
			if err := write(body)(w); err != nil {
				return err
			}
			cancel()
			return write(body)(w)
		}, context.Canceled},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			v := open(t, dir)
			if err := v.Put(c.ctx, name, c.write); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if got := files(t, dir); len(got) != 0 {
				t.Errorf("left behind: %v", got)
			}
			if _, err := v.Open(ctx, name, sum(body)); !errors.Is(err, vault.ErrNotFound) {
				t.Errorf("Open: %v", err)
			}
			if err := v.Put(ctx, name, write(body)); err != nil {
				t.Errorf("the retry: %v", err)
			}
		})
	}
}

func TestAFullDiskLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("can't mount a small file system here: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	v := open(t, dir)
	if err := v.Put(ctx, name, write(body)); err != nil {
		t.Fatal(err)
	}
	big := vault.NameOf("big", 0)
	if err := v.Put(ctx, big, write(make([]byte, 2<<20))); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
	// There is room again for what fits.
	if err := v.Put(ctx, big, write(make([]byte, 500<<10))); err != nil {
		t.Errorf("the retry: %v", err)
	}
	blob, err := v.Open(ctx, name, sum(body))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if _, err := io.Copy(io.Discard, blob); err != nil {
		t.Errorf("the part before: %v", err)
	}
}

func TestWhatACrashLeftIsRemoved(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	if err := v.Put(ctx, name, write(body)); err != nil {
		t.Fatal(err)
	}
	v.Close()
	for _, leftover := range []string{"half", name.String() + ".0"} {
		if err := os.WriteFile(filepath.Join(dir, "tmp", leftover), body[:10], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A crash between link and unlink: the part has two names.
	if err := os.Link(filepath.Join(dir, place(name)), filepath.Join(dir, "tmp", "linked")); err != nil {
		t.Fatal(err)
	}
	v = open(t, dir)
	if d := cmp.Diff([]string{place(name)}, files(t, dir)); d != "" {
		t.Error(d)
	}
	blob, err := v.Open(ctx, name, sum(body))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if _, err := io.Copy(io.Discard, blob); err != nil {
		t.Error(err)
	}
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	if _, err := vault.OpenDir(dir); !errors.Is(err, vault.ErrLocked) {
		t.Errorf("got %v", err)
	}
	v.Close()
	open(t, dir)
}

func TestADamagedPartIsNotServed(t *testing.T) {
	cases := []struct {
		name   string
		damage func(path string) error
		open   bool // found at Open; else while it is read
	}{
		{"cut short", func(p string) error { return os.Truncate(p, int64(len(body))-1) }, true},
		{"emptied", func(p string) error { return os.Truncate(p, 0) }, true},
		{"made longer", func(p string) error { return os.WriteFile(p, append(bytes.Clone(body), 0), 0o600) }, true},
		{"a bit flipped", func(p string) error {
			b := bytes.Clone(body)
			b[4321] ^= 4
			return os.WriteFile(p, b, 0o600)
		}, false},
		{"zeroed", func(p string) error { return os.WriteFile(p, make([]byte, len(body)), 0o600) }, false},
		{"replaced by a folder", func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			v := open(t, dir)
			if err := v.Put(ctx, name, write(body)); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(filepath.Join(dir, place(name))); err != nil {
				t.Fatal(err)
			}
			blob, err := v.Open(ctx, name, sum(body))
			if c.open != (err != nil) {
				t.Fatalf("Open: %v", err)
			}
			if err == nil {
				defer blob.Close()
				_, err = io.ReadAll(blob)
			}
			if !errors.Is(err, vault.ErrCorrupt) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAPartCutWhileItIsReadIsAnError(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	if err := v.Put(ctx, name, write(body)); err != nil {
		t.Fatal(err)
	}
	blob, err := v.Open(ctx, name, sum(body))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if err := os.Truncate(filepath.Join(dir, place(name)), 10); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(blob); !errors.Is(err, vault.ErrCorrupt) {
		t.Errorf("got %v", err)
	}
}

// Attack A24: names and links that lead out of the vault.
func TestNoNameLeadsOutOfTheVault(t *testing.T) {
	good := strings.Repeat("ab", 32)
	for _, s := range []string{
		"", ".", "..", "/", "../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", `..\..\windows`,
		"tmp/x", "lock", good[:63], good + "0", strings.ToUpper(good), good[:62] + "/.", good[:60] + "\x00abc",
		"../" + good[3:], "ａｂ" + good[6:], good + "\n", "~root", "con", "file:///etc/passwd",
		strings.Repeat("ab", 2048), good + strings.Repeat("/../..", 600), "?versionId=1", good[:60] + "#abc", good + "?acl", "%00" + good[3:],
	} {
		if n, err := vault.ParseName(s); err == nil {
			t.Errorf("%q became %s", s, n)
		}
	}
	if n, err := vault.ParseName(good); err != nil || n.String() != good {
		t.Errorf("%s: %v", n, err)
	}
	// A record id is hashed whatever it holds.
	dir := t.TempDir()
	v := open(t, dir)
	if err := v.Put(ctx, vault.NameOf("../../../escape", 0), write(body)); err != nil {
		t.Fatal(err)
	}
	if got := files(t, dir); len(got) != 1 || strings.Contains(got[0], "escape") {
		t.Errorf("%v", got)
	}
}

func TestNoLinkLeadsOutOfTheVault(t *testing.T) {
	outside := t.TempDir()
	secret := filepath.Join(outside, "secret")
	if err := os.WriteFile(secret, body, 0o600); err != nil {
		t.Fatal(err)
	}
	inside := func(t *testing.T) (*vault.Dir, string) {
		dir := t.TempDir()
		return open(t, dir), dir
	}
	shard := name.String()[:2]
	t.Run("a part that is a link to a file outside", func(t *testing.T) {
		v, dir := inside(t)
		os.Mkdir(filepath.Join(dir, shard), 0o700)
		if err := os.Symlink(secret, filepath.Join(dir, place(name))); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, place(name))); err != nil || !bytes.Equal(b, body) {
			t.Fatalf("control: whoever follows the link doesn't get what is outside: %v", err)
		}
		if b, err := v.Open(ctx, name, sum(body)); err == nil {
			b.Close()
			t.Error("it was opened")
		}
		for e, err := range v.List(ctx) {
			t.Errorf("it is listed: %v %v", e, err)
		}
		if err := v.Put(ctx, name, write([]byte("x"))); !errors.Is(err, vault.ErrExists) {
			t.Errorf("Put: %v", err)
		}
		if err := v.Delete(ctx, name); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if b, _ := os.ReadFile(secret); !bytes.Equal(b, body) {
			t.Error("the file outside was changed")
		}
	})
	t.Run("a part that is a link to another part", func(t *testing.T) {
		v, dir := inside(t)
		other := vault.NameOf("other", 0)
		if err := v.Put(ctx, other, write(body)); err != nil {
			t.Fatal(err)
		}
		os.Mkdir(filepath.Join(dir, shard), 0o700)
		if err := os.Symlink("../"+place(other), filepath.Join(dir, place(name))); err != nil {
			t.Fatal(err)
		}
		if b, err := v.Open(ctx, name, sum(body)); err == nil {
			b.Close()
			t.Error("it was opened")
		}
	})
	t.Run("a folder that is a link to one outside", func(t *testing.T) {
		v, dir := inside(t)
		if err := os.Symlink(outside, filepath.Join(dir, shard)); err != nil {
			t.Fatal(err)
		}
		if err := v.Put(ctx, name, write(body)); err == nil {
			t.Error("a part was written outside")
		}
		if got := files(t, outside); len(got) != 1 {
			t.Errorf("outside: %v", got)
		}
	})
	t.Run("tmp that is a link to a folder outside", func(t *testing.T) {
		v, dir := inside(t)
		v.Close()
		os.Remove(filepath.Join(dir, "tmp"))
		if err := os.Symlink(outside, filepath.Join(dir, "tmp")); err != nil {
			t.Fatal(err)
		}
		open(t, dir)
		if got := files(t, outside); len(got) != 1 {
			t.Errorf("outside: %v", got)
		}
	})
}

func TestDeletedIsGone(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	if err := v.Put(ctx, name, write(body)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is no error
		if err := v.Delete(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if _, err := v.Open(ctx, name, sum(body)); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
	if err := v.Put(ctx, name, write(body)); err != nil {
		t.Errorf("again: %v", err)
	}
}

func TestListFindsEveryPartAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	v := open(t, dir)
	want := map[vault.Name]int64{}
	for i := range 40 {
		n := vault.NameOf("r", i)
		want[n] = int64(i)
		if err := v.Put(ctx, n, write(make([]byte, i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, stray := range []string{"README", "zz/x", "ab/short", "ab/" + strings.Repeat("cd", 32)} {
		os.Mkdir(filepath.Join(dir, filepath.Dir(stray)), 0o700)
		if err := os.WriteFile(filepath.Join(dir, stray), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := map[vault.Name]int64{}
	last := ""
	for e, err := range v.List(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name.String() <= last || e.Written.IsZero() {
			t.Errorf("%v after %s", e, last)
		}
		last = e.Name.String()
		got[e.Name] = e.Size
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for range v.List(ctx) {
		break // stopping early is fine
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range v.List(ended) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("after the context ended: %v", err)
		}
	}
}

func TestNamesDiffer(t *testing.T) {
	seen := map[vault.Name]string{}
	for _, r := range []string{"", "a", "aa", "a\x00"} {
		for p := range 3 {
			n := vault.NameOf(r, p)
			if was, ok := seen[n]; ok {
				t.Errorf("%q %d is named like %s", r, p, was)
			}
			seen[n] = fmt.Sprintf("%q %d", r, p)
		}
	}
}
