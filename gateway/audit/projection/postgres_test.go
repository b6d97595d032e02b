package projection_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
)

// postgres starts a private PostgreSQL on loopback, gone after the test, and returns a
// URL of it. PostgreSQL refuses to run as root: then it runs as the user postgres.
func postgres(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a PostgreSQL server: not with -short")
	}
	bin := ""
	if path, err := exec.LookPath("postgres"); err == nil {
		bin = filepath.Dir(path)
	} else if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) > 0 {
		bin = filepath.Dir(slices.Max(found))
	}
	if bin == "" {
		t.Skip("no PostgreSQL here: install it (Debian: postgresql), or put its bin folder into PATH")
	}
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	dir, err := os.MkdirTemp("", "yitong-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("PostgreSQL doesn't run as root, and there is no user postgres to run it as")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "yitong", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8")
	initdb.SysProcAttr, initdb.Dir = as, dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	var log bytes.Buffer
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir, "-c", "fsync=off")
	server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = as, dir, &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGINT)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = server.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("PostgreSQL said:\n%s", log.Bytes())
		}
	})
	url := fmt.Sprintf("postgres://yitong@127.0.0.1:%d/postgres?sslmode=disable", port)
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		d, err := projection.Open(context.Background(), url, projectiontest.Chaincode)
		if err == nil {
			d.Close()
			return url
		}
		select {
		case <-ended:
			t.Fatal("PostgreSQL ended at once")
		default:
		}
	}
	t.Fatal("PostgreSQL didn't come up")
	return ""
}

// PostgreSQL and SQLite hold the same: one digest, whatever came how.
func TestPostgreSQLHoldsWhatSQLiteHolds(t *testing.T) {
	url := postgres(t)
	blocks, strange := projectiontest.Blocks(21, 2000), hostile(t)
	for name, chain := range map[string]projectiontest.Chain{"a realistic history": blocks, "hostile transactions": strange} {
		d := open(t, url)
		if err := d.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		for chunk := range slices.Chunk(chain, 50) {
			for _, b := range chunk {
				apply(t, d, b)
			}
		}
		t.Log(name)
		same(t, digest(t, d), straight(t, chain))
		if rebuilt, err := d.Rebuild(t.Context(), chain, t.TempDir(), func(uint64, uint64) {}); err != nil || !rebuilt.Same() {
			t.Errorf("%s, rebuilt in SQLite: same %v, %v", name, rebuilt.Same(), err)
		}
	}
}

// The two schemas are one schema in two dialects.
func TestTheSchemasCorrespond(t *testing.T) {
	files, err := filepath.Glob("migrations/sqlite/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("there are no migrations")
	}
	for _, path := range files {
		lite, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		post, err := fs.ReadFile(os.DirFS("migrations/postgres"), filepath.Base(path))
		if err != nil {
			t.Fatal(err)
		}
		want := regexp.MustCompile(`\bINTEGER\b`).ReplaceAll(lite, []byte("BIGINT"))
		want = regexp.MustCompile(`\bBLOB\b`).ReplaceAll(want, []byte("BYTEA"))
		want = regexp.MustCompile(` TEXT\b`).ReplaceAll(want, []byte(` TEXT COLLATE "C"`))
		if !bytes.Equal(post, want) {
			t.Errorf("%s says something else for PostgreSQL", filepath.Base(path))
		}
	}
}
