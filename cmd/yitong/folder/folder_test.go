package folder_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"yitong/cmd/yitong/folder"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

var part = &yitongv1.Part{RecordId: "0123456789abcdef0123456789abcdef", Index: 3, DataClass: "laboratory", Labels: []string{"PSY"}, MediaType: "application/fhir+json; charset=utf-8"}

const name = "0123456789abcdef0123456789abcdef-03-laboratory-PSY.fhir.json"

func receive(t *testing.T, dir, content string, parts ...*yitongv1.Part) *folder.Folder {
	t.Helper()
	f, err := folder.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		w, err := f.Beside(io.Discard)(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

func TestAPartBecomesAFileForItsOwnerAloneWhenItIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	f := receive(t, dir, "content", part)
	if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the file is there before the access is verified")
	}
	if err := f.Keep(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || string(got) != "content" {
		t.Errorf("got %q, %v", got, err)
	}
	info, _ := os.Stat(filepath.Join(dir, name))
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if files := f.Files(); len(files) != 1 || files[0].Size != 7 || files[0].Path != filepath.Join(dir, name) {
		t.Errorf("files %+v", files)
	}
	if got := entries(t, dir); len(got) != 1 {
		t.Errorf("left behind: %v", got)
	}
}

func TestWhatIsDiscardedLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	f := receive(t, dir, "content", part)
	f.Discard()
	f.Discard()
	if got := entries(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestAFileOfOtherContentIsNeverOverwrittenAndNoOtherFileAppears(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := &yitongv1.Part{RecordId: part.RecordId, Index: 1, DataClass: "claim"}
	f := receive(t, dir, "content", other, part)
	if err := f.Keep(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	f.Discard()
	if got, _ := os.ReadFile(filepath.Join(dir, name)); string(got) != "mine" {
		t.Errorf("overwritten by %q", got)
	}
	if got := entries(t, dir); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
}

func TestOpeningTheSameAgainIsFine(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		if err := receive(t, dir, "content", part).Keep(); err != nil {
			t.Fatal(err)
		}
	}
	if got := entries(t, dir); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
}

func TestAGatewayCantChooseWhereAFileGoes(t *testing.T) {
	for _, evil := range []*yitongv1.Part{
		{RecordId: "../../etc/passwd", DataClass: "claim"},
		{RecordId: part.RecordId, DataClass: "claim/../x"},
		{RecordId: part.RecordId, DataClass: "claim", Labels: []string{"\x00"}},
		{RecordId: part.RecordId, DataClass: "claim", Labels: []string{"a.b"}},
	} {
		f, err := folder.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Beside(io.Discard)(evil); err == nil {
			t.Errorf("%v was accepted", evil)
		}
	}
}
