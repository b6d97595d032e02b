package share

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"strings"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/dicom"
)

// A study is many files: hundreds of images, a report, a dose sheet. It comes as a tar of DICOM
// files (PS3.10) of which no data class is said, and is split as a Bundle is: what has one data
// class, by the files' modalities, becomes one part, again a tar. So a consent to images doesn't
// open the report, and a study of 300 slices is one or two sealed parts with a key each, not
// 300: a release's manifest, the escrow and the ledger carry few.
//
// The names in the tar aren't kept: archives name folders after patients. A part's files are
// 00001.dcm, 00002.dcm, … in the order in which they came.

// Tar is the media type of a study that is to be split; with a data class it is a file like others.
const Tar = "application/x-tar"

// Study is the media type of a part that holds the files of one data class. By its essence its
// form is DICOM, for consents to go by.
const Study = dicom.MediaType + "; archive=tar"

func (s Submission) isStudy() bool { return s.MediaType == Tar && s.Class == 0 }

// cutStudy makes one part of each run of files of a data class. Memory is constant.
func (s Submission) cutStudy(content *taken) iter.Seq2[draft, error] {
	return func(yield func(draft, error) bool) {
		from := &study{of: s, content: content, tar: tar.NewReader(content), file: bufio.NewReaderSize(nil, dicom.HeadSize)}
		err := from.next()
		if err == nil && !from.more {
			err = refusal.New(refusal.Malformed, "the tar holds no file", "the DICOM files of a study")
		}
		for err == nil && from.more {
			if from.had.Has(from.at.Class) {
				err = from.refuse("has the data class of files that others lie between", "the files sorted by data class, as `yitong record submit` sorts a folder")
				break
			}
			from.had = from.had.With(from.at.Class)
			one := newRun(from)
			if !yield(draft{from.at.Class, s.Labels.Widened(), Study, one, one.told}, nil) {
				return
			}
		}
		if err != nil {
			yield(draft{}, err)
		}
	}
}

// study reads the files of a tar.
type study struct {
	of      Submission
	content *taken
	tar     *tar.Reader
	uid     string
	had     record.Classes

	more bool // there is a file, the next one:
	n    int  // its number, from 1
	size int64
	file *bufio.Reader
	at   Submission // what its header makes of it
}

func (s *study) refuse(what, allowed string) error {
	return refusal.New(refusal.Malformed, fmt.Sprintf("file %d of the tar %s", s.n, what), allowed)
}

// next goes to the next file.
func (s *study) next() error {
	for {
		h, err := s.tar.Next()
		if err == io.EOF {
			s.more = false
			_, err = io.Copy(io.Discard, s.content) // its end counts to the digest of the whole
			return err
		}
		s.n++
		if s.content.err != nil { // that it can't be read now is no fault of the tar
			return s.content.err
		}
		if errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF) {
			return s.refuse("can't be found: the tar is damaged, or is none", "a tar (POSIX, GNU), not compressed")
		}
		if err != nil {
			return err
		}
		switch {
		case h.Typeflag == tar.TypeDir:
			s.n--
			continue
		case h.Typeflag != tar.TypeReg || sparse(h):
			return s.refuse("is no plain file", "plain files and folders: no links, no sparse files")
		}
		return s.look(h.Size)
	}
}

// sparse reports a file that is larger than what comes of it: little would become much.
func sparse(h *tar.Header) bool {
	for name := range h.PAXRecords {
		if strings.HasPrefix(name, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// look reads the file's header.
func (s *study) look(size int64) (err error) {
	s.more, s.size = true, size
	s.file.Reset(s.tar)
	head, _ := s.file.Peek(dicom.HeadSize) // the end comes again where it is read
	if s.content.err != nil {
		return s.content.err
	}
	h, err := dicom.Read(head)
	if s.at, err = s.of.by(h, err); err != nil {
		return fmt.Errorf("file %d of the tar: %w", s.n, err)
	}
	if s.uid == "" {
		s.uid = h.StudyUID
	}
	if h.StudyUID != "" && h.StudyUID != s.uid {
		return s.refuse("is of another study than those before", "one study at a time: several may be several patients'")
	}
	return nil
}

// run is the tar of the files of one data class, that come one after the other.
type run struct {
	from   *study
	class  record.Class
	out    bytes.Buffer // of the tar, not read yet
	tar    *tar.Writer
	n      int
	period record.Period
	dated  bool // every file told its time
	sum    hash.Hash
	piece  []byte
	err    error
}

func newRun(from *study) *run {
	r := &run{from: from, class: from.at.Class, dated: true, sum: sha256.New(), piece: make([]byte, 64<<10)}
	r.tar = tar.NewWriter(&r.out)
	r.err = r.enter()
	return r
}

// enter begins with the file that comes.
func (r *run) enter() error {
	r.n++
	p := r.from.at.Period
	switch {
	case p.IsZero():
		r.dated = false
	case r.n == 1:
		r.period = p
	default:
		r.period = record.Period{Start: min(r.period.Start, p.Start), End: max(r.period.End, p.End)}
	}
	return r.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("%05d.dcm", r.n), Mode: 0o600, Size: r.from.size})
}

func (r *run) Read(b []byte) (int, error) {
	for r.out.Len() == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.err = r.fill()
	}
	n, _ := r.out.Read(b)
	r.sum.Write(b[:n])
	return n, nil
}

// fill brings a piece of the file, or goes to the next; io.EOF where that is no longer of the run.
func (r *run) fill() error {
	n, err := r.from.file.Read(r.piece)
	if _, werr := r.tar.Write(r.piece[:n]); werr != nil {
		return werr
	}
	if r.from.content.err != nil {
		return r.from.content.err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return r.from.refuse("is cut short", "the whole tar")
	}
	if err != io.EOF {
		return err
	}
	if err := r.from.next(); err != nil {
		return err
	}
	if r.from.more && r.from.at.Class == r.class {
		return r.enter()
	}
	if err := r.tar.Close(); err != nil {
		return err
	}
	return io.EOF
}

// told is what is known of the run once it is read. Its time is unknown where that of a file is:
// what a consent's time leaves out must not go along.
func (r *run) told() (record.Period, record.Hash) {
	if !r.dated {
		r.period = record.Period{}
	}
	return r.period, record.Hash(r.sum.Sum(nil))
}
