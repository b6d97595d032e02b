// Package databasetest starts the PostgreSQL that databases are tested on.
package databasetest

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
)

// Postgres starts a private PostgreSQL on loopback, gone after the test, and returns a
// URL of it. PostgreSQL refuses to run as root: then it runs as the user postgres. Where there
// is none the test is skipped and says so; with YITONG_POSTGRES=required, as the gate sets it
// where it could install one, it fails.
func Postgres(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a PostgreSQL server: not with -short")
	}
	missing := t.Skip
	if os.Getenv("YITONG_POSTGRES") == "required" {
		missing = t.Fatal
	}
	bin := ""
	if path, err := exec.LookPath("postgres"); err == nil {
		bin = filepath.Dir(path)
	} else if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres"); len(found) > 0 {
		bin = filepath.Dir(slices.Max(found))
	}
	if bin == "" {
		missing("no PostgreSQL here: install it (Debian: postgresql), or put its bin folder into PATH")
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
			missing("PostgreSQL doesn't run as root, and there is no user postgres to run it as")
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
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(20 * time.Millisecond) {
		db, err := sql.Open("pgx", url)
		if err != nil {
			t.Fatal(err)
		}
		err = errors.Join(db.Ping(), db.Close())
		if err == nil {
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
