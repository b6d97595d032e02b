package vault

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gofrs/flock"
)

// Dir is a vault in one directory of the local filesystem:
//
//	lock       held while the vault is open
//	tmp/       parts being written
//	ab/ab01…   parts, by the first byte of their name
//
// Put writes a temporary file, syncs it, and links it into place. A crash leaves at most
// a temporary file, which the next OpenDir removes. Symbolic links are not followed.
type Dir struct {
	root *os.Root
	lock *flock.Flock
}

var _ Vault = (*Dir)(nil)

const tmp = "tmp"

// OpenDir opens the vault at dir, creating it where it isn't there (mode 0700),
// and removes what a crash left half written. ErrLocked when it is open already.
func OpenDir(dir string) (*Dir, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create vault: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open vault: %w", err)
	}
	d := &Dir{root: root, lock: flock.New(filepath.Join(dir, "lock"), flock.SetPermissions(0o600))}
	if err := d.prepare(); err != nil {
		d.Close()
		return nil, fmt.Errorf("open vault %s: %w", dir, err)
	}
	return d, nil
}

func (d *Dir) prepare() error {
	locked, err := d.lock.TryLock()
	if err != nil {
		return err
	}
	if !locked {
		return ErrLocked
	}
	if err := d.root.RemoveAll(tmp); err != nil {
		return fmt.Errorf("remove unfinished parts: %w", err)
	}
	if err := d.root.Mkdir(tmp, 0o700); err != nil {
		return err
	}
	return d.sync(".")
}

// Close releases the directory. Open blobs stay readable.
func (d *Dir) Close() error { return errors.Join(d.lock.Unlock(), d.root.Close()) }

// Put implements Vault. Link in place of rename, because a rename would replace
// a part that is already there.
func (d *Dir) Put(ctx context.Context, name Name, write func(io.Writer) error) error {
	if err := d.put(ctx, name, write); err != nil {
		return fmt.Errorf("put part %s: %w", name, err)
	}
	return nil
}

func (d *Dir) put(ctx context.Context, name Name, write func(io.Writer) error) (err error) {
	if _, err := d.root.Lstat(place(name)); err == nil {
		return ErrExists // before the work; Link decides
	}
	f, unfinished, err := d.create(name)
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		err = errors.Join(err, d.root.Remove(unfinished))
	}()
	if err := write(&writer{ctx, f}); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return d.settle(unfinished, name)
}

// settle gives a finished file its name, durably.
func (d *Dir) settle(unfinished string, name Name) error {
	shard := path.Dir(place(name))
	switch err := d.root.Mkdir(shard, 0o700); {
	case err == nil:
		if err := d.sync("."); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	if err := d.root.Link(unfinished, place(name)); errors.Is(err, fs.ErrExist) {
		return ErrExists
	} else if err != nil {
		return err
	}
	if err := d.sync(shard); err != nil {
		// Not known to be durable, so not acknowledged: take it back.
		return errors.Join(err, d.root.Remove(place(name)))
	}
	return nil
}

// create makes a temporary file of its own for each Put.
func (d *Dir) create(name Name) (*os.File, string, error) {
	for i := 0; ; i++ {
		file := fmt.Sprintf("%s/%s.%d", tmp, name, i)
		f, err := d.root.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue // another Put of the same name, under way
		}
		return f, file, err
	}
}

// Open implements Vault. os.Root keeps links from leading out; one that stays
// within is no part either.
func (d *Dir) Open(_ context.Context, name Name, want Sum) (Blob, error) {
	f, err := d.open(name, want)
	if err != nil {
		return nil, err
	}
	return newChecked(f, name, want), nil
}

// Range implements Vault.
func (d *Dir) Range(_ context.Context, name Name, want Sum, off, n int64) (io.ReadCloser, error) {
	if err := within(name, want, off, n); err != nil {
		return nil, err
	}
	f, err := d.open(name, want)
	if err != nil {
		return nil, err
	}
	return piece{io.NewSectionReader(f, off, n), f}, nil
}

// piece is a range of a file.
type piece struct {
	io.Reader
	io.Closer
}

func (d *Dir) open(name Name, want Sum) (*os.File, error) {
	entry, err := d.root.Lstat(place(name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("open part %s: %w", name, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("open part %s: %w", name, err)
	case !entry.Mode().IsRegular():
		return nil, fmt.Errorf("open part %s: not a regular file: %w", name, ErrCorrupt)
	}
	f, err := d.root.Open(place(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open part %s: %w", name, ErrNotFound) // deleted meanwhile
	}
	if err != nil {
		return nil, fmt.Errorf("open part %s: %w", name, err)
	}
	if err := same(f, entry, want.Size); err != nil {
		f.Close()
		return nil, fmt.Errorf("open part %s: %w", name, err)
	}
	return f, nil
}

// same checks that what was opened is what was looked at, and has its size.
func same(f *os.File, entry fs.FileInfo, size int64) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !os.SameFile(info, entry):
		return fmt.Errorf("it was exchanged: %w", ErrCorrupt)
	case info.Size() != size:
		return fmt.Errorf("%d bytes, not %d: %w", info.Size(), size, ErrCorrupt)
	}
	return nil
}

// Delete implements Vault.
func (d *Dir) Delete(_ context.Context, name Name) error {
	err := d.root.Remove(place(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.sync(path.Dir(place(name)))
	}
	if err != nil {
		return fmt.Errorf("delete part %s: %w", name, err)
	}
	return nil
}

// List implements Vault. Files that aren't parts are passed over.
func (d *Dir) List(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		shards, err := fs.ReadDir(d.root.FS(), ".")
		if err != nil {
			yield(Entry{}, fmt.Errorf("list vault: %w", err))
			return
		}
		for _, shard := range shards {
			if b, err := hex.DecodeString(shard.Name()); err != nil || len(b) != 1 || !shard.IsDir() {
				continue
			}
			if !d.list(ctx, shard.Name(), yield) {
				return
			}
		}
	}
}

func (d *Dir) list(ctx context.Context, shard string, yield func(Entry, error) bool) bool {
	files, err := fs.ReadDir(d.root.FS(), shard)
	if err != nil {
		return yield(Entry{}, fmt.Errorf("list vault: %w", err))
	}
	files = slices.DeleteFunc(files, func(f fs.DirEntry) bool {
		return !f.Type().IsRegular() || !strings.HasPrefix(f.Name(), shard)
	})
	for _, f := range files {
		name, err := ParseName(f.Name())
		if err != nil {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(Entry{}, fmt.Errorf("list vault: %w", err))
			return false
		}
		if !yield(Entry{Name: name, Size: info.Size(), Written: info.ModTime()}, nil) {
			return false
		}
	}
	return true
}

// place is where a part lies, relative to the root.
func place(n Name) string {
	s := n.String()
	return s[:2] + "/" + s
}

// sync makes the entries of a directory durable.
func (d *Dir) sync(dir string) error {
	f, err := d.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// writer stops when the context ends.
type writer struct {
	ctx context.Context
	f   *os.File
}

func (w *writer) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.f.Write(b)
}
