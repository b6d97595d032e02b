// Package objectstore runs a real S3 server for tests: versitygw, built from the Go
// module proxy into the user's cache once, keeping its objects in a folder of the test.
package objectstore

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
)

// version names the binary in the cache; test/tools/s3/go.mod pins it.
const version = "1.8.0"

// Server is a running server with one empty bucket, "vault".
type Server struct {
	// URL opens the bucket (vault.OpenURL). Credentials are in the environment of the
	// test's process.
	URL string
	// Folder is where the bucket's objects lie, a file each, for tests that damage them.
	Folder  string
	process *os.Process
}

// Start runs a server until the test ends. It is skipped under -short: the first run
// builds the server, which takes a minute.
func Start(t testing.TB) *Server {
	t.Helper()
	if testing.Short() {
		t.Skip("a real S3 server is not started under -short")
	}
	binary, err := build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const user, secret = "yitong-test", "only-for-this-test"
	t.Setenv("AWS_ACCESS_KEY_ID", user)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "vault"), 0o700); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	cmd := exec.Command(binary, "--port", address, "posix", folder)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+user, "ROOT_SECRET_KEY="+secret)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	await(t, address)
	return &Server{
		URL:    "s3://vault?region=us-east-1&use_path_style=true&endpoint=http://" + address,
		Folder: filepath.Join(folder, "vault"), process: cmd.Process,
	}
}

// Kill ends the server as a crash would.
func (s *Server) Kill() error { return s.process.Kill() }

func freeAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await returns when the server answers anything at all.
func await(t testing.TB, address string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			answer.Body.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the S3 server doesn't answer: %v", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// build returns the server's binary, built once for all test processes.
func build(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	folder := filepath.Join(cache, "yitong")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "versitygw-"+version)
	lock := flock.New(binary + ".lock")
	if err := lock.Lock(); err != nil {
		return "", err
	}
	defer lock.Unlock()
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	_, here, _, _ := runtime.Caller(0)
	unfinished := binary + ".tmp"
	cmd := exec.CommandContext(ctx, "go", "build", "-o", unfinished, "github.com/versity/versitygw/cmd/versitygw")
	cmd.Dir = filepath.Join(filepath.Dir(here), "..", "tools", "s3")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the S3 server: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return binary, os.Rename(unfinished, binary)
}
