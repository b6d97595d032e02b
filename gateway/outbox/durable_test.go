package outbox_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"yitong/gateway/ledger"
	"yitong/gateway/outbox"
)

// childDir says that this process is a writer that is to be killed.
const childDir = "OUTBOX_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(write(dir))
	}
	os.Exit(m.Run())
}

// write carries one call after the other, and says so of each that is done.
func write(dir string) int {
	o, err := outbox.New(context.Background(), outbox.Config{URL: "sqlite:" + filepath.Join(dir, "outbox.db"), Secret: secret})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	from := time.Now().UnixNano()
	for i := range 100 {
		key := fmt.Sprint(from, ".", i)
		_, _, err := o.Carry(context.Background(), call(key, key), func(ctx context.Context, _ outbox.Entry) outbox.Outcome {
			fmt.Println("begun", key)
			if err := o.Keep(ctx, ledger.Kept{TxID: key, Function: "f", Signed: []byte(key)}); err != nil {
				return outbox.Outcome{Err: err}
			}
			fmt.Println("kept", key)
			return told("answer " + key)
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println("done", key)
	}
	return 0
}

// said is what a writer said before it died.
type said struct{ begun, kept, done []string }

func killed(t *testing.T, dir string, after time.Duration, wrap ...string) (s said) {
	t.Helper()
	args := append(wrap, os.Args[0])
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer // from its first word on: how long it takes to start is the machine's affair
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if timer == nil {
			timer = time.AfterFunc(after, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
			defer timer.Stop()
		}
		var what, key string
		fmt.Sscan(lines.Text(), &what, &key)
		switch what {
		case "begun":
			s.begun = append(s.begun, key)
		case "kept":
			s.kept = append(s.kept, key)
		case "done":
			s.done = append(s.done, key)
		}
	}
	_ = cmd.Wait()
	return s
}

// held wants all that a writer said to be there after its death.
func held(t *testing.T, dir string, s said) {
	t.Helper()
	o, err := outbox.New(t.Context(), outbox.Config{URL: "sqlite:" + filepath.Join(dir, "outbox.db"), Secret: secret})
	if err != nil {
		t.Fatalf("it can't be opened after the kill: %v", err)
	}
	defer o.Close()
	if lost := lost(t, o, s); len(lost) > 0 {
		t.Fatalf("the answers of %v are lost", lost)
	}
	// The last one may be cut off anywhere: what was said of it is there.
	if n := len(s.begun); n > len(s.done) {
		key := s.begun[n-1]
		out, repeated, err := o.Carry(t.Context(), call(key, key), func(ctx context.Context, e outbox.Entry) outbox.Outcome {
			if !e.Resumed {
				t.Errorf("%s was begun, and is not there", key)
			}
			kept, err := o.Kept(ctx, "f", nil)
			if err != nil || len(s.kept) == n && len(kept) != 1 {
				t.Errorf("of %s %d transactions are kept, %v", key, len(kept), err)
			}
			return told("answer " + key)
		})
		if err != nil || string(out.Answer.Message) != "answer "+key {
			t.Errorf("%s doesn't go on: %q, repeated %v, %v", key, out.Answer.Message, repeated, err)
		}
	}
	intact(t, dir)
}

// lost are the calls that were said to be done and of which neither the answer is there nor
// the transaction, from which the same answer is made anew.
func lost(t *testing.T, o *outbox.Outbox, s said) (keys []string) {
	t.Helper()
	for _, key := range s.done {
		out, _, err := o.Carry(t.Context(), call(key, key), func(ctx context.Context, _ outbox.Entry) outbox.Outcome {
			kept, err := o.Kept(ctx, "f", nil)
			if err != nil || len(kept) != 1 || string(kept[0].Signed) != key {
				return told("another")
			}
			return told("answer " + key)
		})
		if err != nil || string(out.Answer.Message) != "answer "+key {
			keys = append(keys, key)
		}
	}
	return keys
}

func intact(t *testing.T, dir string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "outbox.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the database is %q, %v", verdict, err)
	}
}

// F17: SIGKILL at the n-th write and sync of the file, and at any moment.
func TestWhatWasSaidIsThereWhereverTheWriterIsKilled(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	dir, finished := t.TempDir(), 0
	for i := range rounds {
		s := killed(t, dir, time.Duration(20+i*17)*time.Millisecond)
		finished += len(s.done)
		held(t, dir, s)
	}
	s := killed(t, dir, 5*time.Minute)
	if finished += len(s.done); finished == 0 {
		t.Error("no writer ever finished anything") // the control: they do write
	}
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Log("without strace the kills are at moments by the clock only")
		return
	}
	cut := 0
	for i := range rounds {
		for _, call := range []string{"pwrite64", "fdatasync", "fsync"} {
			inject := call + ":signal=KILL:when=" + strconv.Itoa(1+i*7)
			s := killed(t, dir, 5*time.Minute, strace, "-f", "-qq", "-o", os.DevNull, "-e", "trace="+call, "-e", "inject="+inject)
			if len(s.done) < 100 {
				cut++
			}
			held(t, dir, s)
		}
	}
	if cut == 0 {
		t.Error("no writer was cut off by strace")
	}
	t.Logf("%d of %d writers were killed at a system call", cut, 3*rounds)
}

// No test can cut the power: what a transaction is kept by, before it is handed over, is that a
// commit waits for the disk.
func TestACommitWaitsForTheDisk(t *testing.T) {
	if level, err := opened(t, t.TempDir()).Synchronous(t.Context()); err != nil || level != 2 {
		t.Errorf("SQLite's level is %d, not FULL (2): %v", level, err)
	}
}

// The control: an outbox that lost what was said is found out.
func TestTheCheckSeesAnAnswerThatIsLost(t *testing.T) {
	s := killed(t, t.TempDir(), 5*time.Minute)
	if len(s.done) != 100 {
		t.Fatalf("a writer that isn't killed did %d", len(s.done))
	}
	if got := lost(t, opened(t, t.TempDir()), s); len(got) != len(s.done) {
		t.Errorf("%d of %d lost answers are found", len(got), len(s.done))
	}
}

// F10: a full disk.
func TestOnAFullDiskNothingBeginsAndWithRoomItGoesOn(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a file system of its own can't be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	o := opened(t, dir)
	yes := func(context.Context, outbox.Entry) outbox.Outcome { return told("yes") }
	if _, _, err := o.Carry(t.Context(), call("before", "body"), yes); err != nil {
		t.Fatal(err) // the control: with room it works
	}
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for block := bytes.Repeat([]byte{1}, 4096); err == nil; {
		_, err = filler.Write(block)
	}
	filler.Close()
	refused := 0
	for i := range 20 {
		began := false
		_, _, err := o.Carry(t.Context(), call(fmt.Sprint("full", i), "body"), func(ctx context.Context, _ outbox.Entry) outbox.Outcome {
			began = true
			if kerr := o.Keep(ctx, ledger.Kept{TxID: fmt.Sprint("tx", i), Function: "f", Signed: make([]byte, 20000)}); kerr == nil {
				t.Error("20 kB were kept on a full disk")
			}
			return outbox.Outcome{Code: "Unavailable", Err: os.ErrInvalid}
		})
		if err != nil && began {
			t.Error("a call that wasn't entered was begun")
		}
		if err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("a full disk takes every call")
	}
	if o.Problem(t.Context()) == nil {
		t.Error("an outbox on a full disk is ready")
	}
	if err := os.Remove(filler.Name()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Carry(t.Context(), call("after", "body"), yes); err != nil {
		t.Errorf("with room again: %v", err)
	}
	if err := o.Problem(t.Context()); err != nil {
		t.Error(err)
	}
	out, repeated, err := o.Carry(t.Context(), call("before", "body"), nil)
	if err != nil || !repeated || string(out.Answer.Message) != "yes" {
		t.Errorf("what was done before: %q, %v, %v", out.Answer.Message, repeated, err)
	}
	o.Close()
	intact(t, dir)
}
