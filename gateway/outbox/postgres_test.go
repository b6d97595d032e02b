package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"yitong/gateway/ledger"
	"yitong/gateway/outbox"
)

// postgres starts a private PostgreSQL on loopback, gone after the test. As root it runs as the
// user postgres.
func postgres(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a PostgreSQL server: not with -short")
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if path, err := exec.LookPath("postgres"); err == nil {
		found = []string{path}
	}
	if len(found) == 0 {
		t.Skip("no PostgreSQL here: install it (Debian: postgresql), or put its bin folder into PATH")
	}
	bin := filepath.Dir(slices.Max(found))
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	dir, err := os.MkdirTemp("", "yitong-outbox-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Getuid() == 0 {
		u, err := user.Lookup("postgres")
		if err != nil {
			t.Skip("PostgreSQL doesn't run as root, and there is no user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		as.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(dir, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-A", "trust", "-U", "yitong", "--no-sync", "--locale=C.UTF-8")
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
	var said bytes.Buffer
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-h", "127.0.0.1", "-p", strconv.Itoa(port), "-k", dir, "-c", "fsync=off")
	server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = as, dir, &said, &said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Signal(syscall.SIGINT); _ = server.Wait() })
	url := fmt.Sprintf("postgres://yitong@127.0.0.1:%d/postgres?sslmode=disable", port)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
			time.Sleep(300 * time.Millisecond) // it listens before it takes anybody
			return url
		}
		if time.Now().After(end) {
			t.Fatalf("PostgreSQL doesn't start: %s", said.Bytes())
		}
	}
}

// PostgreSQL keeps what SQLite keeps.
func TestOnPostgreSQLAWriteHappensOnceToo(t *testing.T) {
	url := postgres(t)
	open := func() *outbox.Outbox { return opened(t, "", func(c *outbox.Config) { c.URL = url }) }
	o := open()
	var effects atomic.Int64
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			out, _, err := o.Carry(t.Context(), call("k", "body"), func(ctx context.Context, e outbox.Entry) outbox.Outcome {
				effects.Add(1)
				if err := o.Keep(ctx, ledger.Kept{TxID: "tx", Function: "f", Signed: []byte("s")}); err != nil {
					t.Error(err)
				}
				return told("answer")
			})
			if err != nil || string(out.Answer.Message) != "answer" {
				t.Errorf("%q, %v", out.Answer.Message, err)
			}
		})
	}
	all.Wait()
	if effects.Load() != 1 {
		t.Errorf("%d effects", effects.Load())
	}
	if _, _, err := o.Carry(t.Context(), call("k", "other"), nil); !errors.Is(err, outbox.ErrReused) {
		t.Errorf("another body: %v", err)
	}
	if _, _, err := o.Carry(t.Context(), call("open", "body"), func(ctx context.Context, _ outbox.Entry) outbox.Outcome {
		if err := o.Keep(ctx, ledger.Kept{TxID: "tx2", Function: "f", Signed: []byte("s")}); err != nil {
			t.Error(err)
		}
		return outbox.Outcome{Code: "Unavailable", Err: errors.New("no peer")}
	}); err != nil {
		t.Error(err)
	}
	if err := o.Note(t.Context(), 7); err != nil {
		t.Error(err)
	}
	o.Close()

	o = open()
	ctx, cancel := context.WithCancel(t.Context())
	resumed := make(chan int, 1)
	go o.Resume(ctx, func(ctx context.Context, e outbox.Entry) outbox.Outcome {
		kept, err := o.Kept(ctx, "f", nil)
		if err != nil {
			t.Error(err)
		}
		resumed <- len(kept)
		return told("by itself")
	})
	if n := <-resumed; n != 1 {
		t.Errorf("%d transactions of it are kept", n)
	}
	out, repeated, err := o.Carry(t.Context(), call("open", "body"), nil)
	if err != nil || !repeated || string(out.Answer.Message) != "by itself" {
		t.Errorf("asked again: %q, %v, %v", out.Answer.Message, repeated, err)
	}
	cancel()
	if h, err := o.Height(t.Context()); err != nil || h != 7 {
		t.Errorf("the height is %d, %v", h, err)
	}
	list, err := o.List(t.Context(), 0, 10, outbox.Done)
	if err != nil || len(list) != 2 {
		t.Errorf("%d are done, %v", len(list), err)
	}
	if err := o.Drop(t.Context(), list[0].Number); err != nil {
		t.Error(err)
	}
	if err := o.Problem(t.Context()); err != nil {
		t.Error(err)
	}
}
