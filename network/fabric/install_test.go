package fabric_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yitong/network/fabric"
)

// script writes an executable that prints a line.
func script(t *testing.T, name, says string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestBinariesOfTheUserAreCheckedBeforeTheyAreUsed(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir()) // nothing installed
	release := t.TempDir()
	bin := filepath.Join(release, "bin")
	for _, d := range []string{bin, filepath.Join(release, "config")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(fabric.BinariesVariable, bin)

	if _, err := fabric.Install(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "there is no program peer") {
		t.Errorf("an empty directory: %v", err)
	}
	script(t, filepath.Join(bin, "peer"), "hello")
	script(t, filepath.Join(bin, "orderer"), "hello")
	if _, err := fabric.Install(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "doesn't answer") {
		t.Errorf("a peer that isn't one: %v", err)
	}
	script(t, filepath.Join(bin, "peer"), " Version: v3.1.1")
	for _, name := range []string{"core.yaml", "orderer.yaml"} {
		if err := os.WriteFile(filepath.Join(release, "config", name), []byte("peer: {}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := fabric.Install(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Peer != filepath.Join(bin, "peer") || got.CoreYAML != filepath.Join(release, "config", "core.yaml") {
		t.Errorf("%+v", got)
	}
}

func TestInstallSaysWhatToDoWithoutGo(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv(fabric.BinariesVariable, "")
	t.Setenv("PATH", t.TempDir())
	_, err := fabric.Install(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "needs Go in PATH") || !strings.Contains(err.Error(), fabric.BinariesVariable) {
		t.Errorf("got %v", err)
	}
}
