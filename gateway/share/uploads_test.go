package share_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/keys"
	"yitong/gateway/share"
	"yitong/gateway/vault"
)

// random is content that no compression and no chance makes twice.
func random(size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{9}).Read(b)
	return b
}

func video() share.Submission {
	return share.Submission{ID: share.NewID(), Patient: chen, MediaType: "video/mp4", Class: record.Laboratory}
}

func (c *consortium) upload(s share.Submission, size int) share.Upload {
	c.t.Helper()
	u, err := c.gateways[hospitalA].CreateUpload(c.t.Context(), s, int64(size))
	if err != nil {
		c.t.Fatal(err)
	}
	return u
}

// F13: the line breaks after many counts of bytes, and the gateway is killed; each goes on where
// it was, and the record is what was sent, once.
func TestAnUploadSurvivesBreaksAndRestarts(t *testing.T) {
	c := newConsortium(t)
	dir := filepath.Join(t.TempDir(), "vault")
	c.revive(hospitalA, dir)
	c.tick()
	content := random(5<<20 + 333)
	s := video()
	u := c.upload(s, len(content))
	broken := errors.New("the line is cut")
	for i, n := range []int{0, 1, 65536, 1 << 20, 1<<20 + 1, 2 << 20} {
		from := content[u.Offset:]
		line := io.MultiReader(bytes.NewReader(from[:n]), iotest.ErrReader(broken))
		if _, err := c.gateways[hospitalA].Append(t.Context(), u.ID, u.Offset, nil, line); !errors.Is(err, broken) {
			t.Fatalf("break %d: %v", i, err)
		}
		if i == 3 {
			c.die(hospitalA, dir)
			c.revive(hospitalA, dir)
		}
		again := c.upload(s, len(content)) // who doesn't know begins again, and is told
		if again.Offset != u.Offset+int64(n) {
			t.Fatalf("after break %d the upload has %d bytes, not %d", i, again.Offset, u.Offset+int64(n))
		}
		u = again
	}
	if _, _, err := c.gateways[hospitalA].FinishUpload(t.Context(), u.ID, nil, nil); err == nil {
		t.Error("half of it was submitted")
	}
	if _, err := c.gateways[hospitalA].Append(t.Context(), u.ID, u.Offset, nil, bytes.NewReader(content[u.Offset:])); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	r, commit, err := c.gateways[hospitalA].FinishUpload(t.Context(), u.ID, sum[:], nil)
	if err != nil || r.ID != s.ID || commit.TxID == "" {
		t.Fatalf("finished with %+v, %v", r, err)
	}
	again, once, err := c.gateways[hospitalA].FinishUpload(t.Context(), u.ID, sum[:], nil)
	if err != nil || again.ID != r.ID || once.TxID != commit.TxID {
		t.Errorf("finished again with %+v, %v", once, err)
	}
	of := c.contents(hospitalA, share.ContentQuery{})
	if len(of) != 1 || of[0].Part.Content != sum {
		t.Fatalf("the hospital has %+v", of)
	}
	if got, err := c.read(hospitalA, of[0], 0, 0); err != nil || !bytes.Equal(got, content) {
		t.Errorf("what was submitted isn't what was uploaded: %v", err)
	}
	if n := c.kept(hospitalA); n != 1 {
		t.Errorf("%d files are in the vault; one is the record's", n)
	}
	_, err = c.gateways[hospitalA].CreateUpload(t.Context(), s, int64(len(content)))
	wantRefusal(t, err, refusal.Exists)
}

func TestWhatAnUploadRefuses(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	g := c.gateways[hospitalA]
	content := random(100_000)
	s := video()
	c.upload(s, len(content))
	sum1, sum256 := sha1.Sum(content), sha256.Sum256(content)
	appendTo := func(offset int64, sum *share.Checksum, b []byte) error {
		_, err := g.Append(t.Context(), s.ID, offset, sum, bytes.NewReader(b))
		return err
	}
	other := s
	other.Class = record.Condition
	_, err := g.CreateUpload(t.Context(), other, int64(len(content)))
	wantRefusal(t, err, refusal.Exists)
	_, err = c.gateways[insurer].CreateUpload(t.Context(), video(), 1)
	wantRefusal(t, err, refusal.KindNotAllowed)
	_, err = g.CreateUpload(t.Context(), video(), 65<<30)
	wantRefusal(t, err, refusal.TooLarge)
	_, err = g.CreateUpload(t.Context(), share.Submission{Patient: chen, MediaType: share.FHIR}, 65<<20)
	wantRefusal(t, err, refusal.TooLarge)
	wantRefusal(t, appendTo(1, nil, content), share.OffsetMismatch)
	wantRefusal(t, appendTo(0, &share.Checksum{Algorithm: "sha256", Digest: sum1[:]}, content), refusal.Malformed)
	wantRefusal(t, appendTo(0, &share.Checksum{Algorithm: "sha256", Digest: sum256[:]}, content[1:]), share.ChecksumMismatch)
	if u, _ := g.Upload(t.Context(), s.ID); u.Offset != 0 || c.kept(hospitalA) != 0 {
		t.Errorf("of what had another checksum %d bytes and %d files are kept", u.Offset, c.kept(hospitalA))
	}
	if err := appendTo(0, &share.Checksum{Algorithm: "sha1", Digest: sum1[:]}, content); err != nil {
		t.Errorf("what its checksum is of: %v", err)
	}
	wantRefusal(t, appendTo(int64(len(content)), nil, []byte("x")), refusal.TooLarge)
	_, _, err = g.FinishUpload(t.Context(), s.ID, make([]byte, 32), nil)
	wantRefusal(t, err, share.ChecksumMismatch)
	_, err = g.Upload(t.Context(), s.ID)
	wantRefusal(t, err, refusal.NotFound)
	if page, _, _ := g.Records(nil, "", 0); len(page) != 0 || c.kept(hospitalA) != 0 {
		t.Errorf("%d records and %d files are left", len(page), c.kept(hospitalA))
	}
}

func TestAnAbandonedUploadIsThrownAwayKeyFirst(t *testing.T) {
	for name, end := range map[string]func(c *consortium, id string) error{
		"cancelled": func(c *consortium, id string) error { return c.gateways[hospitalA].CancelUpload(c.t.Context(), id) },
		"expired": func(c *consortium, id string) error {
			c.ledger.Advance(25 * time.Hour)
			return c.gateways[hospitalA].ExpireUploads(c.t.Context())
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			c.tick()
			content := random(300_000)
			s, before := video(), sealedKeys(t, hospitalA)
			c.upload(s, len(content)+1)
			ever := slices.DeleteFunc(sealedKeys(t, hospitalA), func(v []byte) bool { // what holds the key
				return len(v) < 100 || slices.ContainsFunc(before, func(w []byte) bool { return bytes.Equal(v, w) })
			})
			if len(ever) != 1 {
				t.Fatalf("%d entries could hold the key", len(ever))
			}
			if _, err := c.gateways[hospitalA].Append(t.Context(), s.ID, 0, nil, bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
			if leftBehind(t, hospitalA, ever) == 0 {
				t.Fatal("the key was never in the key store's file: the test shows nothing")
			}
			if err := c.gateways[hospitalA].ExpireUploads(t.Context()); err != nil || c.kept(hospitalA) == 0 {
				t.Fatalf("it is thrown away before: %v", err)
			}
			if err := end(c, s.ID); err != nil {
				t.Fatal(err)
			}
			if n := c.kept(hospitalA); n != 0 {
				t.Errorf("%d files are left in the vault", n)
			}
			if n := leftBehind(t, hospitalA, ever); n != 0 {
				t.Errorf("%d values are left in the key store's file", n)
			}
			_, err := c.gateways[hospitalA].Upload(t.Context(), s.ID)
			wantRefusal(t, err, refusal.NotFound)
		})
	}
}

// A gateway that dies between submitting an upload and throwing it away leaves what was staged,
// and its key. It goes without waiting for the upload's time, so that it can't outlive the record.
func TestWhatWasStagedDoesNotOutliveTheSubmission(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	content, s := random(300_000), video()
	c.upload(s, len(content))
	if _, err := c.gateways[hospitalA].Append(t.Context(), s.ID, 0, nil, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.gateways[hospitalA].Submit(t.Context(), s, bytes.NewReader(content)); err != nil { // as Finish does
		t.Fatal(err)
	}
	staged := c.kept(hospitalA)
	if err := c.gateways[hospitalA].ExpireUploads(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := c.kept(hospitalA); left != staged-1 {
		t.Errorf("%d of %d files are left in the vault", left, staged)
	}
	_, err := c.gateways[hospitalA].Upload(t.Context(), s.ID)
	wantRefusal(t, err, refusal.NotFound)
	if r, _, err := c.gateways[hospitalA].FinishUpload(t.Context(), s.ID, nil, nil); err != nil || r.ID != s.ID {
		t.Errorf("finishing it answers %q, %v", r.ID, err)
	}
}

// Who knows an upload's id, and isn't who began it, sees, adds, finishes and ends nothing.
func TestAnUploadIsItsCallersAlone(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	g := c.gateways[hospitalA]
	content, s := random(300_000), video()
	mine, theirs := share.From(t.Context(), "records-officer\x00li"), share.From(t.Context(), "records-officer\x00wang")
	if _, err := g.CreateUpload(mine, s, int64(len(content))); err != nil {
		t.Fatal(err)
	}
	if _, err := g.Append(mine, s.ID, 0, nil, bytes.NewReader(content[:1000])); err != nil {
		t.Fatal(err)
	}
	_, err := g.CreateUpload(theirs, s, int64(len(content)))
	wantRefusal(t, err, refusal.Exists)
	for name, other := range map[string]context.Context{"a colleague": theirs, "nobody": t.Context()} {
		u, err := g.Upload(other, s.ID)
		wantRefusal(t, err, refusal.NotFound)
		if u.Size != 0 || u.Offset != 0 {
			t.Errorf("%s is told %+v", name, u)
		}
		u, err = g.Append(other, s.ID, 1000, nil, bytes.NewReader(content[1000:]))
		wantRefusal(t, err, refusal.NotFound)
		if u.Size != 0 {
			t.Errorf("%s is told %+v", name, u)
		}
		_, _, err = g.FinishUpload(other, s.ID, nil, nil)
		wantRefusal(t, err, refusal.NotFound)
		if err := g.CancelUpload(other, s.ID); err != nil {
			t.Errorf("%s cancels what isn't there: %v", name, err)
		}
	}
	_, _, err = g.Submit(theirs, s, bytes.NewReader(content))
	wantRefusal(t, err, refusal.Exists)
	u, err := g.Upload(mine, s.ID)
	if err != nil || u.Offset != 1000 {
		t.Fatalf("the owner's has %d bytes, %v", u.Offset, err)
	}
	if _, err := g.Append(mine, s.ID, 1000, nil, bytes.NewReader(content[1000:])); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and again, after the answer was lost
		if r, _, err := g.FinishUpload(mine, s.ID, nil, nil); err != nil || r.ID != s.ID {
			t.Fatal(err)
		}
		r, _, err := g.FinishUpload(theirs, s.ID, nil, nil)
		wantRefusal(t, err, refusal.NotFound)
		if r.ID != "" {
			t.Errorf("a colleague is told of record %s", r.ID)
		}
	}
}

// An upload that was under way when a backup was made, and that is a record by now, erased even,
// doesn't come back with the backup; one that came no further does.
func TestARestoredUploadOfWhatIsOnTheLedgerIsThrownAway(t *testing.T) {
	for name, tc := range map[string]struct{ finish, erase bool }{"finished since": {finish: true}, "erased since": {finish: true, erase: true}, "still under way": {}} {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			dir, backup := filepath.Join(t.TempDir(), "vault"), filepath.Join(t.TempDir(), "vault")
			g := c.revive(hospitalA, dir)
			c.tick()
			content, s := random(300_000), video()
			c.upload(s, len(content))
			if _, err := g.Append(t.Context(), s.ID, 0, nil, bytes.NewReader(content)); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			old := copyOf(t, storePath(hospitalA))
			if tc.finish {
				if _, _, err := g.FinishUpload(t.Context(), s.ID, nil, nil); err != nil {
					t.Fatal(err)
				}
			}
			if tc.erase {
				if _, err := g.Erase(t.Context(), s.ID, record.PatientRequest, nil); err != nil {
					t.Fatal(err)
				}
			}
			c.die(hospitalA, dir)
			restored, err := keys.Open(old, []byte(passphrase))
			if err != nil {
				t.Fatal(err)
			}
			defer restored.Close()
			g = c.revive(hospitalA, backup, func(o *share.Config) { o.Keys = restored })
			if u, err := g.Upload(t.Context(), s.ID); err != nil || u.Offset != int64(len(content)) {
				t.Fatalf("the backup has %+v, %v: the test shows nothing", u, err)
			}
			if err := g.Reconcile(t.Context()); err != nil {
				t.Fatal(err)
			}
			u, err := g.Upload(t.Context(), s.ID)
			if !tc.finish {
				if err != nil || u.Offset != int64(len(content)) {
					t.Errorf("what was still under way is %+v, %v", u, err)
				}
				return
			}
			wantRefusal(t, err, refusal.NotFound)
			if n := c.kept(hospitalA); n != 0 {
				t.Errorf("%d files are left in the vault", n)
			}
		})
	}
}

// What is staged is sealed, also of what nobody finished.
func TestWhatIsUploadedNeverLiesInTheClear(t *testing.T) {
	c := newConsortium(t)
	dir := filepath.Join(t.TempDir(), "vault")
	c.revive(hospitalA, dir)
	content := bytes.Repeat([]byte("CANARY of a patient "), 50_000)
	s := video()
	c.upload(s, len(content)+1)
	if _, err := c.gateways[hospitalA].Append(t.Context(), s.ID, 0, nil, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	for part, err := range c.gateways[hospitalA].Vault.List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		raw := readWhole(t, c, hospitalA, part.Name, part.Size)
		if len(raw) < len(content) || bytes.Contains(raw, []byte("CANARY")) {
			t.Errorf("%d bytes lie in the vault, in the clear: %t", len(raw), bytes.Contains(raw, []byte("CANARY")))
		}
	}
	// A35: a copy of all that is staged, in the hands of somebody with a key store of his own.
	copied := filepath.Join(t.TempDir(), "vault")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	t.Run("control: with its keys it goes on, and the record is what was sent", func(t *testing.T) {
		c.tick()
		g := c.gateways[hospitalA]
		u, err := g.Append(t.Context(), s.ID, int64(len(content)), nil, strings.NewReader("!"))
		if err != nil || u.Offset != int64(len(content)+1) {
			t.Fatalf("%+v, %v", u, err)
		}
		if r, _, err := g.FinishUpload(t.Context(), s.ID, nil, nil); err != nil || r.ID != s.ID {
			t.Errorf("%q, %v", r.ID, err)
		}
	})
	t.Run("a copy without its keys is nothing", func(t *testing.T) {
		err := filepath.WalkDir(copied, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			if bytes.Contains(raw, []byte("CANARY")) {
				t.Errorf("%s has content in the clear", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		thief := newConsortium(t) // with stores of its own
		thief.revive(hospitalA, copied)
		_, err = thief.gateways[hospitalA].Upload(t.Context(), s.ID)
		wantRefusal(t, err, refusal.NotFound)
		_, _, err = thief.gateways[hospitalA].FinishUpload(t.Context(), s.ID, nil, nil)
		wantRefusal(t, err, refusal.NotFound)
	})
}

// An Append that hangs on a dead connection doesn't keep the next one out.
func TestANewerAppendEndsOneThatHangs(t *testing.T) {
	c := newConsortium(t)
	content := random(200_000)
	s := video()
	c.upload(s, len(content))
	from, to := io.Pipe()
	defer to.Close()
	ended := make(chan error, 1)
	begun := make(chan struct{}, 1)
	go func() {
		_, err := c.gateways[hospitalA].Append(t.Context(), s.ID, 0, nil, io.MultiReader(bytes.NewReader(content[:1000]), readerOf(func(b []byte) (int, error) {
			select {
			case begun <- struct{}{}:
			default:
			}
			return from.Read(b)
		})))
		ended <- err
	}()
	select {
	case <-begun:
	case err := <-ended:
		t.Fatalf("it ended with %v", err)
	}
	u, err := c.gateways[hospitalA].Append(t.Context(), s.ID, 0, nil, bytes.NewReader(content))
	if err := <-ended; err == nil {
		t.Error("the one that hung ended well")
	}
	if err != nil { // what the other had brought counts
		wantRefusal(t, err, share.OffsetMismatch)
		if u, err = c.gateways[hospitalA].Append(t.Context(), s.ID, u.Offset, nil, bytes.NewReader(content[u.Offset:])); err != nil {
			t.Fatal(err)
		}
	}
	if u.Offset != int64(len(content)) {
		t.Errorf("the upload has %d bytes", u.Offset)
	}
}

type readerOf func([]byte) (int, error)

func (f readerOf) Read(b []byte) (int, error) { return f(b) }

// dicomFile is a file of a modality and a day.
func dicomFile(modality, day string) []byte {
	element := func(group, number uint16, vr, value string) []byte {
		if len(value)%2 == 1 {
			value += " "
		}
		b := binary.LittleEndian.AppendUint16(nil, group)
		b = append(binary.LittleEndian.AppendUint16(b, number), vr...)
		return append(binary.LittleEndian.AppendUint16(b, uint16(len(value))), value...)
	}
	return slices.Concat(make([]byte, 128), []byte("DICM"), element(2, 0x10, "UI", "1.2.840.10008.1.2.1\x00"),
		element(8, 0x20, "DA", day), element(8, 0x60, "CS", modality), element(0x10, 0x10, "PN", "CANARY^NAME"), random(5000))
}

func TestADICOMFileSaysItselfWhatItHolds(t *testing.T) {
	day := record.Period{Start: record.At(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)), End: record.At(time.Date(2024, 3, 2, 0, 0, 0, 0, time.UTC))}
	year := record.Period{Start: record.At(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)), End: record.At(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC))}
	other := record.Period{Start: record.At(time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC)), End: record.At(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))}
	c := newConsortium(t)
	for name, tc := range map[string]struct {
		file    []byte
		class   record.Class
		period  record.Period
		want    record.Class
		of      record.Period
		refusal refusal.Code
	}{
		"an image":                             {file: dicomFile("CT", "20240301"), want: record.Imaging, of: day},
		"a report":                             {file: dicomFile("SR", "20240301"), want: record.Document, of: day},
		"said rightly":                         {file: dicomFile("MR", "20240301"), class: record.Imaging, period: year, want: record.Imaging, of: year},
		"said to be a document":                {file: dicomFile("CT", "20240301"), class: record.Document, refusal: share.ClassContradicts},
		"said to be of another time":           {file: dicomFile("CT", "20240301"), period: other, refusal: share.ClassContradicts},
		"no modality, and nothing said":        {file: dicomFile("", "20240301"), refusal: refusal.Malformed},
		"no modality, but a class":             {file: dicomFile("", "20240301"), class: record.Imaging, want: record.Imaging, of: day},
		"no DICOM file, and nothing said":      {file: random(9000), refusal: refusal.Malformed},
		"no DICOM file, but a class":           {file: random(9000), class: record.Imaging, want: record.Imaging},
		"less than a header, and nothing said": {file: []byte("DICM"), refusal: refusal.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			s := share.Submission{ID: share.NewID(), Patient: chen, MediaType: "application/dicom", Class: tc.class, Period: tc.period}
			r, _, err := c.gateways[hospitalA].Submit(t.Context(), s, bytes.NewReader(tc.file))
			if tc.refusal != "" {
				wantRefusal(t, err, tc.refusal)
				for _, told := range []string{"CANARY", "CT", "2024"} {
					if strings.Contains(err.Error(), told) {
						t.Errorf("the refusal tells %s", told)
					}
				}
				return
			}
			if err != nil || r.Parts[0].Class != tc.want || r.Parts[0].Period != tc.of || r.Parts[0].ContentSize != int64(len(tc.file)) {
				t.Fatalf("%+v, %v", r, err)
			}
			if again, _, err := c.gateways[hospitalA].Submit(t.Context(), s, bytes.NewReader(tc.file)); err != nil || again.ID != r.ID {
				t.Errorf("submitted again: %v", err)
			}
		})
	}
}

// breaking is a vault of which one reading breaks off: the nth from now.
type breaking struct {
	vault.Vault
	left *atomic.Int64
	n    int64
}

func (b breaking) Range(ctx context.Context, name vault.Name, want vault.Sum, off, n int64) (io.ReadCloser, error) {
	r, err := b.Vault.Range(ctx, name, want, off, n)
	if err == nil && b.left.Add(-1) == 0 {
		return struct {
			io.Reader
			io.Closer
		}{io.MultiReader(io.LimitReader(r, b.n), readerOf(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF })), r}, nil
	}
	return r, err
}

// What can't be read now is no fault of what was uploaded: it stays, and is finished later.
func TestAnUploadThatCannotBeReadNowIsNotThrownAway(t *testing.T) {
	study := packed(t, ofStudy("1.2.3", dicomFile("CT", "20240301"), dicomFile("CT", "20240302"), dicomFile("SR", "20240303"))...)
	image := dicomFile("CT", "20240301")
	for name, tc := range map[string]struct {
		mediaType string
		class     record.Class
		content   []byte
	}{
		"a study": {share.Tar, 0, study}, "an image": {"application/dicom", 0, image}, "a file": {"video/mp4", record.Laboratory, image},
	} {
		for segment := range int64(3) {
			t.Run(name, func(t *testing.T) {
				c := newConsortium(t)
				c.tick()
				g := c.gateways[hospitalA]
				u := c.upload(share.Submission{ID: share.NewID(), Patient: chen, MediaType: tc.mediaType, Class: tc.class}, len(tc.content))
				for at := range 3 {
					from, to := len(tc.content)*at/3, len(tc.content)*(at+1)/3
					if _, err := g.Append(t.Context(), u.ID, int64(from), nil, bytes.NewReader(tc.content[from:to])); err != nil {
						t.Fatal(err)
					}
				}
				whole := g.Vault
				left := new(atomic.Int64)
				left.Store(segment + 1)
				g.Vault = breaking{whole, left, 40}
				if _, _, err := g.FinishUpload(t.Context(), u.ID, nil, nil); err == nil {
					t.Fatal("it is submitted")
				}
				if _, _, err := g.FinishUpload(t.Context(), u.ID, nil, nil); err != nil {
					t.Errorf("finished later: %v", err)
				}
			})
		}
	}
}
