package share_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/share"
)

// packed is a tar of files, by name.
func packed(t testing.TB, files ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	entry := func(h tar.Header, content []byte) {
		h.Size, h.Mode = int64(len(content)), 0o644
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	entry(tar.Header{Typeflag: tar.TypeDir, Name: "CANARY^NAME/"}, nil)
	for i, f := range files {
		entry(tar.Header{Typeflag: tar.TypeReg, Name: fmt.Sprintf("CANARY^NAME/IM%d", i)}, f)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpacked are the names and contents of the files of a tar.
func unpacked(t testing.TB, b []byte) (names []string, files [][]byte) {
	t.Helper()
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return names, files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, files = append(names, h.Name), append(files, content)
	}
}

func ofStudy(uid string, files ...[]byte) [][]byte {
	for i, f := range files {
		if len(uid)%2 == 1 {
			uid += "\x00"
		}
		at := []byte{0x20, 0, 0x0d, 0, 'U', 'I', byte(len(uid)), 0}
		// After the patient's name (0010,0010), before what is random.
		cut := bytes.Index(f, []byte("CANARY^NAME")) + len("CANARY^NAME ")
		files[i] = slices.Concat(f[:cut], at, []byte(uid), f[cut:])
	}
	return files
}

func day(y, m, d int) record.Instant {
	return record.At(time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC))
}

// A study of 300 images on two days and a report becomes two parts: what may be opened is told
// by data class, and the ledger and the release carry two leaves and two keys, not 301.
func TestAStudyBecomesAPartForEachDataClass(t *testing.T) {
	c := newConsortium(t)
	c.tick()
	var files [][]byte
	for i := range 300 {
		files = append(files, dicomFile("CT", []string{"20240301", "20240302"}[i%2]))
	}
	files = append(files, dicomFile("SR", "20240303"))
	files = ofStudy("1.2.3", files...)
	content := packed(t, files...)
	s := share.Submission{ID: share.NewID(), Patient: chen, MediaType: share.Tar}
	r, _, err := c.gateways[hospitalA].Submit(t.Context(), s, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if again, _, err := c.gateways[hospitalA].Submit(t.Context(), s, bytes.NewReader(content)); err != nil || again.ID != r.ID {
		t.Errorf("submitted again: %v", err)
	}
	_, _, err = c.gateways[hospitalA].Submit(t.Context(), s, bytes.NewReader(packed(t, files[1:]...)))
	wantRefusal(t, err, refusal.Exists)
	parts := c.contents(hospitalA, share.ContentQuery{})
	if len(parts) != 2 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, want := range []struct {
		class  record.Class
		period record.Period
		files  [][]byte
	}{
		{record.Imaging, record.Period{Start: day(2024, 3, 1), End: day(2024, 3, 3)}, files[:300]},
		{record.Document, record.Period{Start: day(2024, 3, 3), End: day(2024, 3, 4)}, files[300:]},
	} {
		p := parts[i].Part
		if p.Class != want.class || p.Period != want.period || p.Type() != record.DICOM {
			t.Errorf("part %d is %+v", i, p)
		}
		got, err := c.read(hospitalA, parts[i], 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		names, inside := unpacked(t, got)
		if !slices.EqualFunc(inside, want.files, bytes.Equal) || names[0] != "00001.dcm" || bytes.Contains(got, []byte("IM0")) {
			t.Errorf("part %d holds %d files, %q first", i, len(inside), names[0])
		}
		ranged, err := c.read(hospitalA, parts[i], 700, 5000)
		if err != nil || !bytes.Equal(ranged, got[700:5700]) {
			t.Errorf("a range of part %d: %v", i, err)
		}
	}
	// A consent to images opens the images.
	images := toPayers()
	images.Classes = record.ClassesOf(record.Imaging)
	c.grant(images)
	a := c.request(record.Imaging)
	if opened := c.opens(a); len(opened) != 1 {
		t.Errorf("%d parts are opened", len(opened))
	}
}

// holes is a tar of one sparse file in GNU's old form: 1 GiB, of which nothing is there.
func holes(t testing.TB) []byte {
	t.Helper()
	b := packed(t, nil)
	h := b[512:1024] // after the folder
	copy(h[257:], "ustar  \x00")
	h[156] = tar.TypeGNUSparse
	clear(h[345:])
	copy(h[386:], "10000000000\x0000000000000\x00")
	copy(h[483:], "10000000000\x00")
	copy(h[148:], "        ")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	if h, err := tar.NewReader(bytes.NewReader(b[512:])).Next(); err != nil || h.Size != 1<<30 {
		t.Fatalf("the tar that is to be refused is %+v, %v", h, err)
	}
	return b
}

func TestWhatAStudyIsRefusedFor(t *testing.T) {
	ct, sr := dicomFile("CT", "20240301"), dicomFile("SR", "20240301")
	var link bytes.Buffer
	w := tar.NewWriter(&link)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "x", Linkname: "/etc/passwd"}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	year := record.Period{Start: day(2023, 1, 1), End: day(2024, 1, 1)}
	whole := packed(t, ct, ct)
	for name, tc := range map[string]struct {
		content []byte
		period  record.Period
		want    refusal.Code // "" is taken
		says    string
	}{
		"a study":                      {content: packed(t, ct, ct, sr)},
		"studies without a UID":        {content: packed(t, ct, sr)},
		"two studies":                  {content: packed(t, slices.Concat(ofStudy("1.2.3", ct), ofStudy("1.2.4", ct))...), want: refusal.Malformed, says: "file 2 of the tar is of another study"},
		"classes that aren't together": {content: packed(t, ct, sr, ct), want: refusal.Malformed, says: "file 3 of the tar has the data class of files that others lie between"},
		"a file that isn't DICOM":      {content: packed(t, ct, []byte("CANARY of a readme")), want: refusal.Malformed, says: "file 2 of the tar"},
		"another time than is said":    {content: packed(t, ct), period: year, want: share.ClassContradicts, says: "file 1 of the tar"},
		"nothing":                      {content: packed(t), want: refusal.Malformed, says: "holds no file"},
		"no tar":                       {content: bytes.Repeat([]byte("CANARY"), 1000), want: refusal.Malformed, says: "is none"},
		"a tar that is cut in a file":  {content: whole[:len(whole)-4096], want: refusal.Malformed, says: "file 2 of the tar is cut short"},
		"a symbolic link":              {content: link.Bytes(), want: refusal.Malformed, says: "no plain file"},
		"a gigabyte of holes":          {content: holes(t), want: refusal.Malformed, says: "no plain file"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			s := share.Submission{ID: share.NewID(), Patient: chen, MediaType: share.Tar, Period: tc.period}
			r, _, err := c.gateways[hospitalA].Submit(t.Context(), s, bytes.NewReader(tc.content))
			if tc.want == "" {
				if err != nil || len(r.Parts) != 2 {
					t.Errorf("%d parts, %v", len(r.Parts), err)
				}
				return
			}
			wantRefusal(t, err, tc.want)
			if err != nil && (strings.Contains(err.Error(), "CANARY") || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("it says %v", err)
			}
			s.ID = share.NewID()
			c.upload(s, len(tc.content))
			if _, err := c.gateways[hospitalA].Append(t.Context(), s.ID, 0, nil, bytes.NewReader(tc.content)); err != nil {
				t.Fatal(err)
			}
			_, _, err = c.gateways[hospitalA].FinishUpload(t.Context(), s.ID, nil, nil)
			wantRefusal(t, err, tc.want)
			if n := c.kept(hospitalA); n != 0 {
				t.Errorf("%d sealed parts are left of what was refused", n)
			}
		})
	}
}

// With a data class a tar is a file like any other.
func TestATarOfADataClassIsOneFile(t *testing.T) {
	c := newConsortium(t)
	content := packed(t, []byte("not DICOM"))
	r, _, err := c.gateways[hospitalA].Submit(t.Context(), share.Submission{Patient: chen, MediaType: share.Tar, Class: record.Document}, bytes.NewReader(content))
	if err != nil || len(r.Parts) != 1 || r.Parts[0].ContentSize != int64(len(content)) || r.Parts[0].MediaType != share.Tar {
		t.Errorf("%+v, %v", r.Parts, err)
	}
}

// A file whose time isn't told makes the time of its part unknown.
func TestAStudyWithAnUndatedFileHasNoTime(t *testing.T) {
	c := newConsortium(t)
	r, _, err := c.gateways[hospitalA].Submit(t.Context(), share.Submission{Patient: chen, MediaType: share.Tar}, bytes.NewReader(packed(t, dicomFile("CT", "20240301"), dicomFile("CT", ""))))
	if err != nil || !r.Parts[0].Period.IsZero() {
		t.Errorf("%+v, %v", r.Parts, err)
	}
}
