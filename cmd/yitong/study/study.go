// Package study packs a folder of DICOM files, as a PACS exports a study, for submission: a tar
// that is never anywhere as a whole, and can be read from any place on, so that an upload that
// broke off goes on where it was. The same folder gives the same bytes.
//
// The files are sorted by data class, as gateway/share wants them, and named by numbers: folders
// and files are named after patients often enough.
package study

import (
	"archive/tar"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"yitong/chaincode/record"
	"yitong/gateway/dicom"
)

// Study is a folder's DICOM files as a tar. It is an [io.ReadSeeker]; Size bytes long.
type Study struct {
	Files   int
	Skipped []string // paths of files that aren't DICOM, and of directories of media (DICOMDIR)

	root   *os.Root
	dir    string
	blocks []block
	size   int64
	at     int64
	open   *os.File
	opened string // path of it
}

// block is a file in the tar: a header, the content, and zeros up to the next multiple of 512.
type block struct {
	begins int64
	head   []byte
	path   string
	size   int64
	class  record.Class
	stamp  string // modification time
}

func (b block) length() int64 { return padded(int64(len(b.head)) + b.size) }

func padded(n int64) int64 { return (n + 511) &^ 511 }

// trailer ends a tar.
const trailer = 1024

// Open looks through a folder, and the folders in it. Symbolic links are not followed.
// An error names the file that is the matter: it is for whoever has the folder.
func Open(dir string) (_ *Study, err error) {
	s := &Study{dir: dir}
	if s.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	uid, first := "", ""
	err = fs.WalkDir(s.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || strings.EqualFold(path.Base(name), "DICOMDIR") {
			s.Skipped = append(s.Skipped, name)
			return nil
		}
		h, err := s.header(name)
		switch {
		case errors.Is(err, dicom.ErrNotDICOM):
			s.Skipped = append(s.Skipped, name)
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", s.path(name), err)
		case h.Class == 0:
			return fmt.Errorf("%s doesn't name its modality, so its data class isn't known", s.path(name))
		case h.StudyUID != "" && uid == "":
			uid, first = h.StudyUID, name
		case h.StudyUID != "" && h.StudyUID != uid:
			return fmt.Errorf("%s is of another study than %s: submit one study at a time, for several may be several patients'", s.path(name), s.path(first))
		}
		s.blocks = append(s.blocks, block{path: name, size: info.Size(), class: h.Class, stamp: info.ModTime().UTC().String()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if s.Files = len(s.blocks); s.Files == 0 {
		return nil, fmt.Errorf("%s holds no DICOM file", dir)
	}
	slices.SortStableFunc(s.blocks, func(a, b block) int { return cmp.Compare(a.class, b.class) }) // else by path
	for i := range s.blocks {
		b := &s.blocks[i]
		var head bytes.Buffer
		if err := tar.NewWriter(&head).WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: fmt.Sprintf("%05d.dcm", i+1), Mode: 0o600, Size: b.size, Format: tar.FormatGNU,
		}); err != nil {
			return nil, err
		}
		b.head, b.begins = head.Bytes(), s.size
		s.size += b.length()
	}
	s.size += trailer
	return s, nil
}

func (s *Study) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *Study) header(name string) (dicom.Header, error) {
	f, err := s.root.Open(name)
	if err != nil {
		return dicom.Header{}, err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, dicom.HeadSize))
	if err != nil {
		return dicom.Header{}, err
	}
	return dicom.Read(head)
}

// Size is how many bytes the tar has.
func (s *Study) Size() int64 { return s.size }

// Print tells this state of the folder from others, and nothing of what is in it.
func (s *Study) Print() string {
	h := sha256.New()
	for _, b := range s.blocks {
		fmt.Fprintf(h, "%q %d %s\n", b.path, b.size, b.stamp)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Seek implements [io.Seeker].
func (s *Study) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += s.at
	case io.SeekEnd:
		offset += s.size
	}
	if offset < 0 {
		return 0, errors.New("a place before the beginning")
	}
	s.at = offset
	return offset, nil
}

// Read implements [io.Reader].
func (s *Study) Read(p []byte) (int, error) {
	if s.at >= s.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.size-s.at)]
	i := sort.Search(len(s.blocks), func(i int) bool { return s.blocks[i].begins > s.at }) - 1
	b := s.blocks[i]
	n, err := 0, error(nil)
	switch at := s.at - b.begins; {
	case at < int64(len(b.head)):
		n = copy(p, b.head[at:])
	case at < int64(len(b.head))+b.size:
		at -= int64(len(b.head))
		n, err = s.content(b, p[:min(int64(len(p)), b.size-at)], at)
	case at < b.length():
		n = int(min(int64(len(p)), b.length()-at))
		clear(p[:n])
	default: // the trailer
		n = len(p)
		clear(p)
	}
	s.at += int64(n)
	return n, err
}

func (s *Study) content(b block, p []byte, at int64) (int, error) {
	if s.opened != b.path || s.open == nil {
		if s.open != nil {
			s.open.Close()
		}
		var err error
		if s.open, err = s.root.Open(b.path); err != nil {
			s.open = nil
			return 0, err
		}
		s.opened = b.path
	}
	n, err := s.open.ReadAt(p, at)
	if errors.Is(err, io.EOF) && n < len(p) {
		return n, fmt.Errorf("%s became shorter while it was read: submit the folder again", s.path(b.path))
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// Close lets go of the folder.
func (s *Study) Close() error {
	err := s.root.Close()
	if s.open != nil {
		err = errors.Join(err, s.open.Close())
	}
	return err
}
