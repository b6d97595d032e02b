package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"yitong/network/fabric/supervisor"
	"yitong/test/port"
)

// The test binary is the processes that it supervises, by its first argument.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "serve": // ADDRESS
			l, err := net.Listen("tcp", os.Args[2])
			if err != nil {
				fmt.Println(err)
				os.Exit(1)
			}
			fmt.Println("serving as", os.Getpid())
			defer l.Close()
			for {
				if c, err := l.Accept(); err == nil {
					c.Close()
				}
			}
		case "fail":
			fmt.Println("the configuration is wrong")
			os.Exit(3)
		case "stubborn":
			signal.Ignore(syscall.SIGTERM)
			fmt.Println("deaf")
			select {}
		case "parent": // DIR ADDRESS: supervises one server until it is killed
			s, err := supervisor.New(os.Args[2], supervisor.Options{})
			if err == nil {
				err = s.Start(context.Background(), server(os.Args[3]))
			}
			fmt.Println(s.Status()[0].PID, err)
			select {}
		}
	}
	goleak.VerifyTestMain(m)
}

func self() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

func dials(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

func server(address string) supervisor.Spec {
	return supervisor.Spec{Name: "server", Path: self(), Args: []string{"serve", address}, Ready: dials(address)}
}

type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) note(e supervisor.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, e.Process+" "+string(e.Kind))
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.entries, ", ")
}

func start(t *testing.T, dir string, o supervisor.Options) *supervisor.Supervisor {
	t.Helper()
	if o.Backoff == 0 {
		o.Backoff = 10 * time.Millisecond
	}
	s, err := supervisor.New(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return c
}

func TestAProcessThatDiesIsRestartedAndTheFactIsTold(t *testing.T) {
	var d diary
	s := start(t, t.TempDir(), supervisor.Options{OnEvent: d.note})
	if err := s.Start(ctx(t), server(port.Reserved(t))); err != nil {
		t.Fatal(err)
	}
	before := s.Status()[0].PID
	if err := s.Kill("server"); err != nil {
		t.Fatal(err)
	}
	if err := s.Await(ctx(t), "server"); err != nil {
		t.Fatal(err)
	}
	after := s.Status()[0]
	if after.PID == before || after.State != supervisor.Running || after.Restarts != 1 || after.LastExit != "signal: killed" {
		t.Errorf("pid %d before, after the restart: %+v", before, after)
	}
	s.Stop()
	want := "server started, server ready, server died, server restarted, server ready, server ended"
	if got := d.String(); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if got := s.Status()[0].State; got != supervisor.Stopped {
		t.Errorf("state after Stop: %s", got)
	}
}

func TestAStartThatNeverSucceedsShowsTheEndOfTheLog(t *testing.T) {
	s := start(t, t.TempDir(), supervisor.Options{})
	err := s.Start(ctx(t), supervisor.Spec{
		Name: "bad", Path: self(), Args: []string{"fail"},
		Ready: func(context.Context) error { return errors.New("never") },
	})
	for _, want := range []string{"starting bad", "died 3 times", "exit status 3", "the configuration is wrong"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if len(s.Status()) != 0 {
		t.Errorf("it is still there: %+v", s.Status())
	}
}

func TestAProgramThatIsntThereIsAnErrorAtOnce(t *testing.T) {
	s := start(t, t.TempDir(), supervisor.Options{})
	err := s.Start(ctx(t), supervisor.Spec{Name: "ghost", Path: filepath.Join(t.TempDir(), "ghost")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestAStartEndsWithItsContext(t *testing.T) {
	s := start(t, t.TempDir(), supervisor.Options{})
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	spec := server(port.Reserved(t))
	spec.Ready = func(context.Context) error { return errors.New("never") }
	if err := s.Start(short, spec); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestStopKillsAProcessThatIgnoresIt(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, supervisor.Options{Grace: 50 * time.Millisecond})
	log := filepath.Join(dir, "logs", "deaf.log")
	err := s.Start(ctx(t), supervisor.Spec{Name: "deaf", Path: self(), Args: []string{"stubborn"}, Ready: func(context.Context) error {
		b, err := os.ReadFile(log)
		if err == nil && !strings.Contains(string(b), "deaf") {
			err = errors.New("not yet")
		}
		return err
	}})
	if err != nil {
		t.Fatal(err)
	}
	pid := s.Status()[0].PID
	s.Stop()
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", pid, err)
	}
}

func TestStopEndsHigherStagesFirst(t *testing.T) {
	var d diary
	s := start(t, t.TempDir(), supervisor.Options{OnEvent: d.note})
	for stage, name := range []string{"orderer", "peer", "gateway"} {
		spec := server(port.Reserved(t))
		spec.Name, spec.Stage = name, stage
		if err := s.Start(ctx(t), spec); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop()
	if got := d.String(); !strings.HasSuffix(got, "gateway ended, peer ended, orderer ended") {
		t.Error(got)
	}
}

func TestAHeldProcessStaysDownUntilReleased(t *testing.T) {
	s := start(t, t.TempDir(), supervisor.Options{})
	address := port.Reserved(t)
	if err := s.Start(ctx(t), server(address)); err != nil {
		t.Fatal(err)
	}
	if err := s.Hold("server"); err != nil {
		t.Fatal(err)
	}
	if err := s.Probe(ctx(t), "server"); err == nil {
		t.Error("it answers while it is held")
	}
	if err := s.Release("server"); err != nil {
		t.Fatal(err)
	}
	if err := s.Await(ctx(t), "server"); err != nil {
		t.Fatal(err)
	}
}

func TestAPausedProcessCanBeResumedAndStopped(t *testing.T) {
	s := start(t, t.TempDir(), supervisor.Options{})
	if err := s.Start(ctx(t), server(port.Reserved(t))); err != nil {
		t.Fatal(err)
	}
	for _, act := range []func(string) error{s.Pause, s.Resume, s.Pause} {
		if err := act("server"); err != nil {
			t.Fatal(err)
		}
	}
	s.Stop() // SIGTERM reaches only a process that runs
}

func TestRestartReturnsWhenItIsReadyAgain(t *testing.T) {
	s := start(t, t.TempDir(), supervisor.Options{})
	if err := s.Start(ctx(t), server(port.Reserved(t))); err != nil {
		t.Fatal(err)
	}
	before := s.Status()[0].PID
	if err := s.Restart(ctx(t), "server"); err != nil {
		t.Fatal(err)
	}
	if after := s.Status()[0]; after.PID == before || after.State != supervisor.Running {
		t.Errorf("%+v", after)
	}
}

func TestNamesAreCheckedAndNotGivenTwice(t *testing.T) {
	s := start(t, t.TempDir(), supervisor.Options{})
	if err := s.Start(ctx(t), server(port.Reserved(t))); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(ctx(t), server(port.Reserved(t))); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("got %v", err)
	}
	if err := s.Start(ctx(t), supervisor.Spec{Name: "../x", Path: self()}); err == nil {
		t.Error("a name with a path in it was taken")
	}
	if err := s.Kill("nobody"); !errors.Is(err, supervisor.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

func TestALogBeyondItsSizeIsPutAside(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir, supervisor.Options{LogSize: 4})
	if err := s.Start(ctx(t), server(port.Reserved(t))); err != nil {
		t.Fatal(err)
	}
	first := fmt.Sprint("serving as ", s.Status()[0].PID)
	log := s.Status()[0].Log
	for !contains(t, log, first) { // its output comes after it listens
		time.Sleep(time.Millisecond)
	}
	if err := s.Restart(ctx(t), "server"); err != nil {
		t.Fatal(err)
	}
	if !contains(t, log+".1", first) || contains(t, log, first) {
		t.Error("the first log wasn't put aside")
	}
}

func contains(t *testing.T, file, text string) bool {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), text)
}

// supervise runs a parent of its own and returns it with the pid of its child.
func supervise(t *testing.T, dir, address string) (parent *exec.Cmd, child int) {
	t.Helper()
	parent = exec.Command(self(), "parent", dir, address)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fscan(out, &child); err != nil {
		t.Fatal(err)
	}
	return parent, child
}

func TestAKilledParentLeavesNoChild(t *testing.T) {
	dir, address := t.TempDir(), port.Reserved(t)
	parent, child := supervise(t, dir, address)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	// Whatever the kernel didn't end, the next Supervisor does before New
	// returns; so the address is free and the same server starts again.
	s := start(t, dir, supervisor.Options{})
	if err := s.Start(ctx(t), server(address)); err != nil {
		t.Fatal(err)
	}
	if s.Status()[0].PID == child {
		t.Error("the old child lives on")
	}
}

func TestAPidFileOfAnotherProgramHarmsNobody(t *testing.T) {
	dir := t.TempDir()
	innocent := exec.Command("sleep", "60")
	if err := innocent.Start(); err != nil {
		t.Skip(err)
	}
	defer func() { _ = innocent.Process.Kill(); _ = innocent.Wait() }()
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "run", "server.pid")
	content := strconv.Itoa(innocent.Process.Pid) + "\n" + self() + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir, supervisor.Options{})
	if err := innocent.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("a process with a reused pid was killed: %v", err)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale pid file is still there: %v", err)
	}
}

func TestAStaleProcessOfOursIsEnded(t *testing.T) {
	dir, address := t.TempDir(), port.Reserved(t)
	stale := exec.Command(self(), "serve", address)
	stale.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := stale.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stale.Wait() }()
	if err := os.MkdirAll(filepath.Join(dir, "run"), 0o700); err != nil {
		t.Fatal(err)
	}
	content := strconv.Itoa(stale.Process.Pid) + "\n" + self() + "\n"
	if err := os.WriteFile(filepath.Join(dir, "run", "server.pid"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, dir, supervisor.Options{})
	if err := <-ended; err == nil || err.Error() != "signal: killed" {
		t.Errorf("the stale process ended with %v", err)
	}
}
