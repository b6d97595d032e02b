package consortium

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/google/renameio/v2"
)

// pointName is the file, beside a gateway's configuration, that says at which moment
// (gateway/failpoint) the gateway is to die. It is gone once the gateway has.
const pointName = "failpoint"

// die kills this process, a gateway of a test, where its orders say so: with SIGKILL, as a
// power cut would, so that nothing is flushed, closed or said.
func die(at string) {
	i := slices.Index(os.Args, "--config")
	if i < 0 || i+1 >= len(os.Args) {
		return
	}
	file := filepath.Join(filepath.Dir(os.Args[i+1]), pointName)
	ordered, err := os.ReadFile(file)
	if err == nil && string(ordered) == holdAt+at {
		hold(file)
		return
	}
	if err != nil || string(ordered) != at {
		return
	}
	if os.Remove(file) != nil {
		return // another call was there first
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// holdAt begins the order to wait in place of dying, until heldName is removed.
const (
	holdAt   = "hold "
	heldName = pointName + ".held"
)

func hold(file string) {
	held := filepath.Join(filepath.Dir(file), heldName)
	if os.Rename(file, held) != nil {
		return // another call was there first
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(held); err != nil {
			return
		}
	}
}

// HoldAt has a member's gateway wait at a moment, once. reached waits until it does, and says
// whether; goOn lets it go on, and takes the order back where it never got there.
func (c *Consortium) HoldAt(t *testing.T, member, at string) (reached func(time.Duration) bool, goOn func()) {
	t.Helper()
	file := c.pointFile(t, member)
	held := filepath.Join(filepath.Dir(file), heldName)
	if err := renameio.WriteFile(file, []byte(holdAt+at), 0o600); err != nil {
		t.Fatal(err)
	}
	reached = func(within time.Duration) bool {
		for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
			if _, err := os.Stat(held); err == nil {
				return true
			}
		}
		return false
	}
	return reached, func() { os.Remove(file); os.Remove(held) }
}

func (c *Consortium) pointFile(t *testing.T, member string) string {
	return filepath.Join(c.Member(t, member).Dir(), "gateway", pointName)
}

// DieAt has a member's gateway die of SIGKILL when it gets to a moment, once. The returned
// function says whether it did, and takes the order back where it didn't.
func (c *Consortium) DieAt(t *testing.T, member, at string) (died func() bool) {
	t.Helper()
	file := c.pointFile(t, member)
	if err := renameio.WriteFile(file, []byte(at), 0o600); err != nil {
		t.Fatal(err)
	}
	return func() bool { return errors.Is(os.Remove(file), fs.ErrNotExist) }
}

// Dead waits until a member's gateway has died as DieAt ordered, or the time is over.
func (c *Consortium) Dead(t *testing.T, member string, within time.Duration) bool {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(c.pointFile(t, member)); errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	return false
}
