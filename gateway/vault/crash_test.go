package vault_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"yitong/gateway/vault"
)

// TestKilledWhileItWrites kills a process in the middle of a Put.
func TestKilledWhileItWrites(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=^TestChildWritesHalfAPart$")
	child.Env = append(os.Environ(), "YITONG_TEST_VAULT="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "half\n" {
		t.Errorf("the child says %q, %v", line, err)
	}
	if got := files(t, dir); len(got) != 1 {
		t.Errorf("while it writes: %v", got) // the control: there is something to clean
	}
	child.Process.Kill()
	child.Wait()

	v := open(t, dir)
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if _, err := v.Open(ctx, name, sum(body)); !errors.Is(err, vault.ErrNotFound) {
		t.Errorf("Open: %v", err)
	}
	if err := v.Put(ctx, name, write(body)); err != nil {
		t.Errorf("the retry: %v", err)
	}
}

func TestChildWritesHalfAPart(t *testing.T) {
	dir := os.Getenv("YITONG_TEST_VAULT")
	if dir == "" {
		t.Skip("runs as the child of TestKilledWhileItWrites")
	}
	open(t, dir).Put(ctx, name, func(w io.Writer) error {
		w.Write(body[:len(body)/2])
		os.Stdout.WriteString("half\n")
		select {} // until killed
	})
}
