package study_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"yitong/cmd/yitong/study"
)

// image is a DICOM file of a modality and a study.
func image(modality, uid string, size int) []byte {
	element := func(group, number uint16, vr, value string) []byte {
		if len(value)%2 == 1 {
			value += "\x00"
		}
		b := binary.LittleEndian.AppendUint16(nil, group)
		b = append(binary.LittleEndian.AppendUint16(b, number), vr...)
		return append(binary.LittleEndian.AppendUint16(b, uint16(len(value))), value...)
	}
	return slices.Concat(make([]byte, 128), []byte("DICM"), element(2, 0x10, "UI", "1.2.840.10008.1.2.1"), element(8, 0x20, "DA", "20240301"),
		element(8, 0x60, "CS", modality), element(0x20, 0xd, "UI", uid), bytes.Repeat([]byte{7}, size))
}

// lay writes files into a folder.
func lay(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAFolderIsATarSortedByDataClass(t *testing.T) {
	files := map[string][]byte{
		"DOE^JOHN/SE2/IM1": image("SR", "1.2", 10), "DOE^JOHN/SE1/IM1": image("CT", "1.2", 1000), "DOE^JOHN/SE1/IM2": image("CT", "1.2", 700),
		"DOE^JOHN/SE3/IM1": image("CT", "1.2", 512), "DICOMDIR": image("", "", 4), "README.TXT": []byte("how to look at it"),
	}
	dir := lay(t, files)
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	s, err := study.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	whole, err := io.ReadAll(s)
	if err != nil || int64(len(whole)) != s.Size() {
		t.Fatalf("%d bytes of %d, %v", len(whole), s.Size(), err)
	}
	if s.Files != 4 || !slices.Equal(s.Skipped, []string{"DICOMDIR", "README.TXT", "link"}) {
		t.Errorf("%d files; skipped %q", s.Files, s.Skipped)
	}
	if bytes.Contains(whole, []byte("DOE")) {
		t.Error("the tar holds the folder's name")
	}
	var names []string
	var got [][]byte
	for r := tar.NewReader(bytes.NewReader(whole)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		names, got = append(names, h.Name), append(got, content)
	}
	images := [][]byte{files["DOE^JOHN/SE1/IM1"], files["DOE^JOHN/SE1/IM2"], files["DOE^JOHN/SE3/IM1"]}
	at := slices.IndexFunc(got, func(b []byte) bool { return bytes.Equal(b, images[0]) })
	if len(got) != 4 || at < 0 || at > 1 || !slices.EqualFunc(got[at:at+3], images, bytes.Equal) || names[0] != "00001.dcm" {
		t.Errorf("the tar has %q", names)
	}

	// It can be read from any place on, and the same folder is the same tar.
	again, err := study.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if err := iotest.TestReader(again, whole); err != nil {
		t.Error(err)
	}
	if again.Print() != s.Print() {
		t.Error("the same folder has two prints")
	}
	if err := os.WriteFile(filepath.Join(dir, "IM9"), image("CT", "1.2", 5), 0o600); err != nil {
		t.Fatal(err)
	}
	more, err := study.Open(dir)
	if err != nil || more.Print() == s.Print() {
		t.Errorf("another folder has the same print: %v", err)
	}
	more.Close()
}

func TestWhatIsNoStudy(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string][]byte
		says  string
	}{
		"nothing":         {nil, "holds no DICOM file"},
		"other files":     {map[string][]byte{"a.txt": []byte("x")}, "holds no DICOM file"},
		"two studies":     {map[string][]byte{"a": image("CT", "1.2", 1), "b": image("CT", "1.3", 1)}, "another study than"},
		"no modality":     {map[string][]byte{"a": image("", "1.2", 1)}, "doesn't name its modality"},
		"a broken header": {map[string][]byte{"a": image("CT", "1.2", 1)[:150]}, "can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := study.Open(lay(t, tc.files))
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	dir := lay(t, map[string][]byte{"a": image("CT", "1.2", 5000)})
	s, err := study.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Truncate(filepath.Join(dir, "a"), 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(s); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a file that was cut meanwhile: %v", err)
	}
}
