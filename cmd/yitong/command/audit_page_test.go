package command_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever is to believe the page makes it himself, and must get the same bytes.
func TestThePageCanBeMadeAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the check for the browser")
	}
	var pages [2][]byte
	for i := range pages {
		file := filepath.Join(t.TempDir(), "verify.html")
		got := yitong(t, "audit", "page", "--out", file, "--json")
		if got.exit != 0 {
			t.Fatalf("exit code %d: %s", got.exit, got.err)
		}
		var told struct {
			File, SHA256 string
			Bytes        int
		}
		if err := json.Unmarshal([]byte(got.out), &told); err != nil || told.File != file {
			t.Fatalf("it told %s (%v)", got.out, err)
		}
		raw, err := os.ReadFile(file)
		if err != nil || len(raw) != told.Bytes {
			t.Fatalf("%d bytes of %d, %v", len(raw), told.Bytes, err)
		}
		pages[i] = raw
	}
	if !bytes.Equal(pages[0], pages[1]) {
		t.Error("made twice from the same source, it differs")
	}
	if !bytes.Contains(pages[0], []byte(`content="default-src 'none'; script-src 'sha256-`)) || bytes.Contains(pages[0], []byte(` src="`)) {
		t.Error("it may load something")
	}
}

func TestAPageNeedsTheSource(t *testing.T) {
	got := yitong(t, "audit", "page", "--source", t.TempDir(), "--out", filepath.Join(t.TempDir(), "p.html"))
	if got.exit != 2 || !strings.Contains(got.err, "--source") {
		t.Errorf("exit code %d: %s", got.exit, got.err)
	}
}
