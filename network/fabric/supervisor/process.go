package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	// hopeless is how many deaths before it was ever ready make a start fail.
	hopeless = 3
	// stable is the life after which the backoff starts over.
	stable = time.Minute
	// probeEvery is the pause between two questions whether it is ready.
	probeEvery = 15 * time.Millisecond
)

type process struct {
	s    *Supervisor
	spec Spec
	log  string
	quit chan struct{} // closed: stop for good
	done chan struct{} // closed: gone for good

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at every change below
	state    State
	since    time.Time
	pid      int
	starts   int
	deaths   int
	early    int // deaths since it was last ready
	lastExit string
	startErr error
	stopping bool
	held     bool
}

func newProcess(s *Supervisor, spec Spec) *process {
	return &process{
		s: s, spec: spec, log: filepath.Join(s.dir, "logs", spec.Name+".log"),
		quit: make(chan struct{}), done: make(chan struct{}),
		changed: make(chan struct{}), state: Starting, since: time.Now(),
	}
}

// change runs f under the lock and wakes everyone who waits for a change.
func (p *process) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.state
	f()
	if p.state != before {
		p.since = time.Now()
	}
	close(p.changed)
	p.changed = make(chan struct{})
}

// await returns when ok says so; ok is asked under the lock after every change.
func (p *process) await(ctx context.Context, ok func() (bool, error)) error {
	for {
		p.mu.Lock()
		changed := p.changed
		done, err := ok()
		p.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (p *process) awaitReady(ctx context.Context) error {
	return p.await(ctx, func() (bool, error) {
		switch {
		case p.stopping:
			return false, errors.New("it was stopped")
		case p.startErr != nil:
			return false, p.startErr
		case p.early >= hopeless:
			return false, fmt.Errorf("it died %d times before it was ready: %s", p.early, p.lastExit)
		}
		return p.state == Running, nil
	})
}

// run lives as long as the process may be restarted. It keeps its OS thread:
// the kernel kills the child when the thread that started it ends.
func (p *process) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	backoff := p.s.opts.Backoff
	for {
		born := time.Now()
		exit, again := p.live()
		if !again {
			p.change(func() { p.state, p.pid = Stopped, 0 })
			return
		}
		if time.Since(born) > stable {
			backoff = p.s.opts.Backoff
		}
		p.change(func() {
			p.state, p.pid, p.lastExit = Waiting, 0, exit
			p.deaths++
			p.early++
		})
		p.s.tell(Event{Process: p.spec.Name, Kind: Died, Detail: exit, Backoff: backoff})
		if !p.pause(backoff) {
			p.change(func() { p.state = Stopped })
			return
		}
		backoff = min(2*backoff, p.s.opts.MaxBackoff)
	}
}

// live starts the process and returns when it ended: how, and whether it is to
// be started again.
func (p *process) live() (exit string, again bool) {
	cmd, err := p.launch()
	if err != nil {
		if !errors.Is(err, errStopping) {
			p.change(func() { p.startErr = err })
		}
		return err.Error(), !errors.Is(err, errStopping)
	}
	ctx, cancel := context.WithCancel(context.Background())
	probed := make(chan struct{})
	go func() {
		defer close(probed)
		p.probe(ctx, cmd.Process.Pid)
	}()
	err = cmd.Wait()
	cancel()
	<-probed
	// Whatever it started itself goes with it.
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = os.Remove(p.pidFile())
	p.mu.Lock()
	again = !p.stopping
	p.mu.Unlock()
	if !again {
		p.s.tell(Event{Process: p.spec.Name, Kind: Ended, PID: cmd.Process.Pid})
	}
	if err == nil {
		return "exit status 0", again
	}
	return err.Error(), again
}

var errStopping = errors.New("stopping")

func (p *process) launch() (*exec.Cmd, error) {
	out, err := openLog(p.log, p.s.opts.LogSize)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(p.spec.Path, p.spec.Args...)
	cmd.Env = p.spec.Env
	if cmd.Env == nil {
		cmd.Env = []string{} // nil would inherit
	}
	cmd.Dir = p.spec.Dir
	if cmd.Dir == "" {
		cmd.Dir = p.s.dir
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attributes()

	p.mu.Lock()
	if p.stopping {
		p.mu.Unlock()
		return nil, errStopping
	}
	err = cmd.Start()
	p.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w", p.spec.Path, err)
	}
	kind := Started
	p.change(func() {
		if p.starts > 0 {
			kind = Restarted
		}
		p.state, p.pid, p.startErr = Starting, cmd.Process.Pid, nil
		p.starts++
	})
	if err := writePID(p.pidFile(), cmd.Process.Pid, p.spec.Path); err != nil {
		_, _ = fmt.Fprintf(out, "supervisor: %v\n", err)
	}
	p.s.tell(Event{Process: p.spec.Name, Kind: kind, PID: cmd.Process.Pid})
	return cmd, nil
}

func (p *process) probe(ctx context.Context, pid int) {
	for p.spec.Ready != nil && p.spec.Ready(ctx) != nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(probeEvery):
		}
	}
	if ctx.Err() != nil {
		return
	}
	p.change(func() { p.state, p.early = Running, 0 })
	p.s.tell(Event{Process: p.spec.Name, Kind: Ready, PID: pid})
}

// pause waits before a restart, longer while the process is held. It reports
// false when the process is to stop for good.
func (p *process) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-p.quit:
		return false
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return p.await(ctx, func() (bool, error) {
		if p.stopping {
			return false, errStopping
		}
		return !p.held, nil
	}) == nil
}

func (p *process) setHeld(held bool) { p.change(func() { p.held = held }) }

// kill ends the process and returns when its death was noticed.
func (p *process) kill() error {
	p.mu.Lock()
	before, pid := p.deaths, p.pid
	p.mu.Unlock()
	if pid == 0 {
		return nil // dead already
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("killing %s: %w", p.spec.Name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.s.opts.Grace)
	defer cancel()
	return p.await(ctx, func() (bool, error) { return p.deaths > before || p.state == Stopped, nil })
}

func (p *process) signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid == 0 {
		return fmt.Errorf("%s isn't running", p.spec.Name)
	}
	if err := syscall.Kill(-p.pid, sig); err != nil {
		return fmt.Errorf("signalling %s: %w", p.spec.Name, err)
	}
	return nil
}

func (p *process) restart(ctx context.Context) error {
	p.mu.Lock()
	before, pid := p.deaths, p.pid
	p.mu.Unlock()
	if pid != 0 {
		if err := p.end(ctx, before); err != nil {
			return fmt.Errorf("restarting %s: %w", p.spec.Name, err)
		}
	}
	if err := p.awaitReady(ctx); err != nil {
		return fmt.Errorf("restarting %s: %w%s", p.spec.Name, err, tail(p.log))
	}
	return nil
}

// end asks the running process to end, and kills it when it doesn't within the
// grace; it returns when the death number before+1 was noticed.
func (p *process) end(ctx context.Context, before int) error {
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	_ = p.signal(syscall.SIGCONT) // a paused process can't see SIGTERM
	died := func() (bool, error) { return p.deaths > before, nil }
	polite, cancel := context.WithTimeout(ctx, p.s.opts.Grace)
	defer cancel()
	if p.await(polite, died) == nil {
		return nil
	}
	_ = p.signal(syscall.SIGKILL)
	return p.await(ctx, died)
}

// stop ends the process for good and returns when it is gone.
func (p *process) stop() {
	p.change(func() {
		if !p.stopping {
			p.stopping = true
			close(p.quit)
		}
	})
	_ = p.signal(syscall.SIGTERM)
	_ = p.signal(syscall.SIGCONT)
	grace := time.NewTimer(p.s.opts.Grace)
	defer grace.Stop()
	select {
	case <-p.done:
		return
	case <-grace.C:
	}
	_ = p.signal(syscall.SIGKILL)
	<-p.done
}

func (p *process) status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Status{
		Name: p.spec.Name, State: p.state, PID: p.pid, Restarts: max(0, p.starts-1),
		Since: p.since, LastExit: p.lastExit, Log: p.log,
	}
}

func (p *process) pidFile() string { return filepath.Join(p.s.dir, "run", p.spec.Name+".pid") }
