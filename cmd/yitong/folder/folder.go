// Package folder puts opened parts into files: all or none, each readable by its
// owner alone, none ever overwritten.
//
// Parts are medical data in the clear. They are written under temporary names
// that nobody else can read, and get their names only when the access as a whole
// is verified (Keep); whatever happens before leaves nothing behind (Discard), but of a large
// part whose connection broke what has come of it. What a call that was killed has left goes
// with the next one to the same directory, which goes on with it if it is of the same part.
package folder

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// File is one opened part.
type File struct {
	Part *yitongv1.Part
	Path string
	Size int64 // bytes
}

// Folder receives the parts of one access.
type Folder struct {
	dir   string
	parts []*pending
	begun string // file with what has come of a part, for the next try
}

type pending struct {
	File
	tmp    *os.File
	digest []byte
}

// New uses a directory, which it makes if need be.
func New(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &Folder{dir: dir}, nil
}

// Beside gives the parts' writers; progress sees every byte too.
func (f *Folder) Beside(progress io.Writer) client.Part {
	return func(p *yitongv1.Part) (io.Writer, error) {
		name, err := fileName(p)
		if err != nil {
			return nil, err
		}
		tmp, err := f.create()
		if err != nil {
			return nil, err
		}
		part := &pending{File: File{Part: p, Path: filepath.Join(f.dir, name)}, tmp: tmp}
		f.parts = append(f.parts, part)
		return io.MultiWriter(part, progress), nil
	}
}

// keepFrom is how large a part must be, in bytes, that what has come of it stays for the next
// try.
const keepFrom = 64 << 20

// Resume has read write a part's content from an offset on, after what an interrupted call left
// of it, which is none of a small one. read returns the SHA-256 of the whole, or nothing.
func (f *Folder) Resume(p *yitongv1.Part, read func(offset int64, dst io.Writer) ([]byte, error)) error {
	name, err := fileName(p)
	if err != nil {
		return err
	}
	tmp, err := os.OpenFile(filepath.Join(f.dir, opening+name), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	if !lock(tmp) { // another call writes it
		tmp.Close()
		if tmp, err = f.create(); err != nil {
			return err
		}
	}
	part := &pending{File: File{Part: p, Path: filepath.Join(f.dir, name)}, tmp: tmp}
	if part.Size, err = tmp.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	f.parts = append(f.parts, part)
	sum, err := read(part.Size, part)
	if err != nil {
		f.parts = f.parts[:len(f.parts)-1]
		if part.Size >= keepFrom && status.Code(err) == codes.Unavailable {
			f.begun = tmp.Name()
		} else {
			os.Remove(tmp.Name())
		}
		return errors.Join(err, tmp.Close())
	}
	if len(sum) == 0 {
		return nil
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, tmp); err != nil {
		return err
	}
	if !bytes.Equal(h.Sum(nil), sum) {
		return fmt.Errorf("what was read of %s isn't what the gateway says that it is, and is thrown away: open it again", part.Path)
	}
	return nil
}

// opening begins the names of files that are being written.
const opening = ".opening-"

// create makes one that no other call takes for left behind.
func (f *Folder) create() (*os.File, error) {
	for {
		tmp, err := os.CreateTemp(f.dir, opening+"*") // mode 0600
		if err != nil || lock(tmp) {
			return tmp, err
		}
		tmp.Close() // another call found it before it was locked, and removes it
	}
}

// lock takes a file for this call, for as long as it is open; false where another has it, or has
// removed it.
func lock(f *os.File) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	own, err := f.Stat()
	there, terr := os.Lstat(f.Name())
	return err == nil && terr == nil && os.SameFile(own, there)
}

// Begun names the file that holds, in the clear, what has come of a part whose connection broke;
// "" where there is none.
func (f *Folder) Begun() string { return f.begun }

func (p *pending) Write(b []byte) (int, error) {
	n, err := p.tmp.Write(b)
	p.Size += int64(n)
	return n, err
}

// Keep gives every file its name. A file of that name with the same content is
// taken for the one opened before; with other content the error is fs.ErrExist
// and no file is kept.
func (f *Folder) Keep() error {
	for _, p := range f.parts { // find a clash before the first file appears
		if err := p.finish(); err != nil {
			return fmt.Errorf("writing %s: %w", p.Path, err)
		}
		if err := p.clash(); err != nil {
			return err
		}
	}
	for _, p := range f.parts {
		err := os.Link(p.tmp.Name(), p.Path) // unlike a rename it never replaces
		if errors.Is(err, fs.ErrExist) {
			err = p.clash()
		}
		if err != nil {
			return err
		}
	}
	f.Discard()
	return syncDir(f.dir)
}

func (p *pending) finish() error {
	if err := p.tmp.Sync(); err != nil {
		return err
	}
	if _, err := p.tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.Copy(h, p.tmp); err != nil {
		return err
	}
	p.digest = h.Sum(nil)
	return nil // it stays open, and so locked, until it is discarded
}

// clash reports a file of other content under the name.
func (p *pending) clash() error {
	there, err := os.Open(p.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer there.Close()
	h := sha256.New()
	if _, err := io.Copy(h, there); err != nil {
		return err
	}
	if !bytes.Equal(h.Sum(nil), p.digest) {
		return fmt.Errorf("%s is there already and differs: %w", p.Path, fs.ErrExist)
	}
	return nil
}

// Discard removes what has not been kept, and what calls that were killed have left. It may be
// called more than once.
func (f *Folder) Discard() {
	for _, p := range f.parts {
		os.Remove(p.tmp.Name()) // best effort: the name is unreadable to others anyhow
		p.tmp.Close()
	}
	left, _ := filepath.Glob(filepath.Join(literal.Replace(f.dir), opening+"*"))
	for _, name := range left {
		if name == f.begun {
			continue
		}
		if tmp, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0); err == nil {
			if lock(tmp) { // nobody writes it
				os.Remove(name)
			}
			tmp.Close()
		}
	}
}

// literal has a path stand for itself in a pattern.
var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`)

// Files lists the parts in the order in which they came.
func (f *Folder) Files() []File {
	files := make([]File, len(f.parts))
	for i, p := range f.parts {
		files[i] = p.File
	}
	return files
}

// endings of what medicine sends; what isn't here is .bin, never guessed.
var endings = map[string]string{
	"application/fhir+json": ".fhir.json", "application/json": ".json", "application/pdf": ".pdf", "application/dicom": ".dcm",
	"text/plain": ".txt", "application/xml": ".xml", "text/xml": ".xml", "image/jpeg": ".jpg", "image/png": ".png", "application/x-tar": ".tar",
}

// fileName is made of the record's id, the part's number, class and labels. All
// come from another member's gateway, so they are checked, not trusted.
func fileName(p *yitongv1.Part) (string, error) {
	name := fmt.Sprintf("%s-%02d-%s", p.GetRecordId(), p.GetIndex(), p.GetDataClass())
	for _, label := range p.GetLabels() {
		name += "-" + label
	}
	for _, r := range name {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' {
			return "", errors.New("the gateway named a part by something that is no file name")
		}
	}
	media, more, _ := strings.Cut(p.GetMediaType(), ";")
	if strings.TrimSpace(more) == "archive=tar" { // a study's files (gateway/share)
		media = "application/x-tar"
	}
	ending, ok := endings[media]
	if !ok {
		ending = ".bin"
	}
	return name + ending, nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
