package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// A pid file holds the pid and the executable, one per line. The executable is
// what keeps a reused pid safe from us.
func writePID(name string, pid int, path string) error {
	return renameio.WriteFile(name, fmt.Appendf(nil, "%d\n%s\n", pid, path), 0o600)
}

// sweep kills the processes that the pid files name and still run the same
// executable, and returns when they are gone.
func (s *Supervisor) sweep() error {
	files, err := filepath.Glob(filepath.Join(s.dir, "run", "*.pid"))
	if err != nil {
		return fmt.Errorf("looking for stale processes: %w", err)
	}
	for _, file := range files {
		if err := sweepOne(file); err != nil {
			return err
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("removing stale pid file: %w", err)
		}
	}
	return nil
}

func sweepOne(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading stale pid file: %w", err)
	}
	lines := strings.SplitN(strings.TrimSpace(string(b)), "\n", 2)
	pid, err := strconv.Atoi(lines[0])
	if err != nil || pid <= 1 || len(lines) != 2 {
		return nil // torn by a crash; nothing to go by
	}
	if !runs(pid, lines[1]) {
		return nil
	}
	_ = syscall.Kill(-pid, syscall.SIGKILL)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("ending stale process %d of %s: %w", pid, lines[1], err)
	}
	for range 200 {
		if !runs(pid, lines[1]) {
			return nil
		}
		time.Sleep(25 * time.Millisecond)
	}
	return fmt.Errorf("stale process %d of %s doesn't end; kill it by hand", pid, lines[1])
}

// runs says whether the process runs this executable (a zombie doesn't).
func runs(pid int, path string) bool {
	if runtime.GOOS == "linux" {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		return err == nil && same(strings.TrimSuffix(exe, " (deleted)"), path)
	}
	out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && same(strings.TrimSpace(string(out)), path)
}

func same(a, b string) bool {
	if real, err := filepath.EvalSymlinks(a); err == nil {
		a = real
	}
	if real, err := filepath.EvalSymlinks(b); err == nil {
		b = real
	}
	return a == b
}
