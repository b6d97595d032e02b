package keys_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"yitong/gateway/keys"
)

// TestKilledWhileItWrites kills a process that writes and rekeys: what it said
// is written is there, and each transaction is there as a whole.
func TestKilledWhileItWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	child := exec.Command(os.Args[0], "-test.run=^TestChildWritesUntilKilled$")
	child.Env = append(os.Environ(), "YITONG_TEST_STORE="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := -1
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscanf(lines.Text(), "wrote %d", &acknowledged); err != nil {
			t.Errorf("the child says %q", lines.Text())
			break
		}
		if acknowledged == 150 {
			break
		}
	}
	if _, err := keys.Open(path, pass); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("while the child has it open: %v", err)
	}
	child.Process.Kill()
	child.Wait()

	s := reopen(t, nil, path, pass)
	a, err := s.List("a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.List("b")
	if err != nil {
		t.Fatal(err)
	}
	if len(a) <= acknowledged || len(a) != len(b) {
		t.Errorf("%d and %d entries, %d were acknowledged", len(a), len(b), acknowledged+1)
	}
}

func TestChildWritesUntilKilled(t *testing.T) {
	path := os.Getenv("YITONG_TEST_STORE")
	if path == "" {
		t.Skip("runs as the child of TestKilledWhileItWrites")
	}
	s, err := keys.Create(path, pass)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		err := s.Update(func(tx *keys.Tx) error {
			name := fmt.Sprint(i)
			if err := tx.Put("a", name, nil); err != nil {
				return err
			}
			return tx.Put("b", name, nil)
		})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("wrote %d\n", i)
		if i == 100 {
			if err := s.Rekey(pass); err != nil {
				t.Fatal(err)
			}
		}
	}
}
