package page

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrNoSource says that a folder isn't the source of Yitong.
var ErrNoSource = errors.New("not the source of Yitong")

// moduleLine tells Yitong's own go.mod.
var moduleLine = regexp.MustCompile(`(?m)^module yitong\s*$`)

// Source finds the root of Yitong's source: dir, or the nearest folder above it that is.
// Error: ErrNoSource.
func Source(dir string) (string, error) {
	at, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		raw, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && moduleLine.Match(raw) {
			return at, nil
		}
		if up := filepath.Dir(at); up != at {
			at = up
			continue
		}
		return "", fmt.Errorf("%w: %s", ErrNoSource, dir)
	}
}

// Compile compiles the checker from the source in a folder, with the Go that is installed;
// about half a minute the first time. The same source and the same release of Go give the
// same bytes on every machine. Errors: what go says.
func Compile(ctx context.Context, source string) (Checker, error) {
	dir, err := os.MkdirTemp("", "yitong-page-")
	if err != nil {
		return Checker{}, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "checker.wasm")
	if _, err := run(ctx, source, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, "./gateway/audit/proof/page/checker"); err != nil {
		return Checker{}, err
	}
	var c Checker
	if c.Module, err = os.ReadFile(out); err != nil {
		return Checker{}, err
	}
	about, err := run(ctx, source, "env", "GOROOT", "GOVERSION")
	if err != nil {
		return Checker{}, err
	}
	root, version, _ := strings.Cut(strings.TrimSpace(about), "\n")
	c.Go = strings.TrimSpace(version)
	// The other half of Go's runtime in a browser lies beside the compiler, of its own release.
	c.Support, err = os.ReadFile(filepath.Join(strings.TrimSpace(root), "lib", "wasm", "wasm_exec.js"))
	return c, err
}

func run(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOWASM=", "GOEXPERIMENT=")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}
