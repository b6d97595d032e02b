// Package cli_test drives the real program as people do: `yitong up` in one
// terminal, everything else in another, by arguments, files, output and exit
// codes alone.
package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"yitong/network/topology"
	"yitong/test/consortium"
)

// program is the yitong command, built from this source tree.
func program(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("this test runs a real consortium: leave out -short")
	}
	if _, err := consortium.Binaries(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "yitong")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "yitong/cmd/yitong").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return path
}

// terminal is where somebody types: a program, a directory, and a place for files.
type terminal struct {
	t                  *testing.T
	program, dir, work string
	port               int
}

func open(t *testing.T) *terminal {
	t.Helper()
	program := program(t)
	free := topology.Default()
	if err := free.FreePorts(); err != nil {
		t.Fatal(err)
	}
	return &terminal{t: t, program: program, dir: filepath.Join(t.TempDir(), "data"), work: t.TempDir(), port: free.Members[0].Ports.Gateway}
}

// answer is what a command printed.
type answer struct {
	exit        int
	out, errors string
}

// slow is how long a command may take without being mentioned.
const slow = 5 * time.Second

// run runs a command to its end.
func (m *terminal) run(args ...string) answer {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), m.program, args...)
	cmd.Dir = m.work
	cmd.Env = append(os.Environ(), "YITONG_DIR="+m.dir, "YITONG_AS=")
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	began := time.Now()
	err := cmd.Run()
	if took := time.Since(began); took > slow {
		m.t.Logf("yitong %s took %v\n%s", strings.Join(args, " "), took, &complaint)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return answer{cmd.ProcessState.ExitCode(), out.String(), complaint.String()}
}

// want runs a command and wants an exit code.
func (m *terminal) want(exit int, args ...string) answer {
	m.t.Helper()
	a := m.run(args...)
	if a.exit != exit {
		m.t.Errorf("yitong %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), a.exit, exit, a.out, a.errors)
	}
	return a
}

// document is a line of --json.
type document map[string]any

// json runs a command with --json and decodes every line of its output, or, when
// it failed without any, the last line of its complaint.
func (m *terminal) json(exit int, args ...string) []document {
	m.t.Helper()
	a := m.want(exit, append(args, "--json")...)
	text := a.out
	if exit != 0 && text == "" {
		text = strings.TrimSpace(a.errors)
		text = text[strings.LastIndexByte(text, '\n')+1:]
	}
	var all []document
	for line := range strings.Lines(text) {
		var d document
		if err := json.Unmarshal([]byte(line), &d); err != nil {
			m.t.Errorf("yitong %s --json says %q: %v", strings.Join(args, " "), line, err)
			continue
		}
		all = append(all, d)
	}
	if exit != 0 && a.out == "" && len(all) > 0 && all[0].at("error", "exit") != strconv.Itoa(exit) {
		m.t.Errorf("yitong %s --json complains %v", strings.Join(args, " "), all[0])
	}
	if len(all) == 0 {
		m.t.Fatalf("yitong %s --json says nothing", strings.Join(args, " "))
	}
	return all
}

// at follows keys into a document; what isn't there is "".
func (d document) at(keys ...string) string {
	var v any = map[string]any(d)
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[k]
	}
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return ""
}

// running is `yitong up` in its terminal.
type running struct {
	cmd    *exec.Cmd
	output *watched
	ended  chan error
}

// watched is output that can be waited on.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	until string
	seen  chan struct{}
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := strings.Contains(w.text.String(), w.until)
	w.text.Write(b)
	if !before && strings.Contains(w.text.String(), w.until) {
		close(w.seen)
	}
	return len(b), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// up starts a consortium and returns when it says that it can be used.
func (m *terminal) up(args ...string) *running {
	m.t.Helper()
	cmd := exec.Command(m.program, append([]string{"up", "--dir", m.dir}, args...)...)
	r := &running{cmd: cmd, output: &watched{until: "In another terminal", seen: make(chan struct{})}, ended: make(chan error, 1)}
	cmd.Stdout, cmd.Stderr = r.output, r.output
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() { r.ended <- cmd.Wait() }()
	m.t.Cleanup(func() { _ = cmd.Process.Kill() })
	began := time.Now()
	select {
	case <-r.output.seen:
		if took := time.Since(began); took > 2*slow {
			m.t.Logf("yitong up took %v\n%s", took, r.output)
		}
	case err := <-r.ended:
		m.t.Fatalf("yitong up: %v\n%s", err, r.output)
	case <-time.After(2 * time.Minute):
		m.t.Fatalf("yitong up isn't up yet\n%s", r.output)
	}
	return r
}

// end sends a signal and waits until the program and all that it started is gone.
func (m *terminal) end(r *running, s syscall.Signal) (exit int) {
	m.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
	select {
	case <-r.ended:
	case <-time.After(time.Minute):
		m.t.Fatal("yitong up doesn't end")
	}
	var left []string
	for range 100 { // the kernel ends the children, in its own time
		if left = m.processes(); len(left) == 0 {
			return r.cmd.ProcessState.ExitCode()
		}
		time.Sleep(50 * time.Millisecond)
	}
	m.t.Errorf("left running: %q", left)
	return r.cmd.ProcessState.ExitCode()
}

// processes lists what runs in the consortium's directory, or with it as an
// argument. Where there is no /proc there is nothing to list.
func (m *terminal) processes() []string {
	m.t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		m.t.Fatal(err)
	}
	var found []string
	for _, p := range all {
		arguments, err := os.ReadFile(filepath.Join(p, "cmdline"))
		if errors.Is(err, fs.ErrNotExist) || len(arguments) == 0 { // gone, or a zombie
			continue
		}
		cwd, _ := os.Readlink(filepath.Join(p, "cwd"))
		exe, _ := os.Readlink(filepath.Join(p, "exe"))
		if slices.ContainsFunc([]string{string(arguments), cwd, exe}, func(s string) bool { return strings.Contains(s, m.dir) }) {
			found = append(found, filepath.Base(p)+" "+strings.ReplaceAll(string(arguments), "\x00", " "))
		}
	}
	return found
}

// file writes a file to be named in a command.
func (m *terminal) file(name string, content []byte) string {
	m.t.Helper()
	path := filepath.Join(m.work, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}
