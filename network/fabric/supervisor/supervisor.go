// Package supervisor starts processes, watches them and starts again those that
// die.
//
// What it promises, and to whom:
//   - to people: a process that dies is restarted, each time a little later
//     (up to a cap), and the fact is told through an Event; its output is in one
//     log file; a process that never becomes ready is an error that shows the
//     end of that log.
//   - to the next run: a parent that is killed leaves no child behind. On Linux
//     the kernel kills the children; elsewhere pid files name them and the next
//     Supervisor of the same directory ends those that still run the same
//     executable.
//   - to tests: Kill, Pause and Resume are the faults of a real machine.
package supervisor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Spec is a process to run.
type Spec struct {
	Name string   // unique; also the name of its log and pid file
	Path string   // executable
	Args []string // without the executable
	Env  []string // the whole environment; nothing is inherited
	Dir  string   // working directory; empty is the Supervisor's
	// Stage orders the end: processes of a higher stage are stopped first,
	// those of one stage together.
	Stage int
	// Ready returns nil once the process serves. It is asked again and again
	// until it does. Nil means ready as soon as started.
	Ready func(context.Context) error
}

// State of a process.
type State string

const (
	Starting State = "starting" // running, not yet ready
	Running  State = "running"
	Waiting  State = "waiting" // died, will be started again
	Stopped  State = "stopped" // by Stop; final
)

// EventKind is what happened to a process.
type EventKind string

const (
	Started   EventKind = "started"
	Ready     EventKind = "ready"
	Died      EventKind = "died"
	Restarted EventKind = "restarted" // started again after it died
	Ended     EventKind = "ended"     // by Stop
)

// Event is one fact about one process.
type Event struct {
	Process string
	Kind    EventKind
	PID     int
	Detail  string        // of Died: how, e.g. "signal: killed"
	Backoff time.Duration // of Died: until it is started again
}

// Status is a process as it is now.
type Status struct {
	Name     string
	State    State
	PID      int // 0 when not running
	Restarts int
	Since    time.Time // of the state
	LastExit string    // of the last death; empty when it never died
	Log      string    // path
}

// Options of a Supervisor. The zero value of each has a default.
type Options struct {
	// OnEvent is called with every event, one at a time and in order per
	// process. It must not call back into the Supervisor.
	OnEvent func(Event)
	// Backoff is the wait before a first restart (default 200 ms); it doubles
	// up to MaxBackoff (default 10 s) and starts over after a minute of life.
	Backoff, MaxBackoff time.Duration
	// Grace is how long a process may take to stop after SIGTERM (default 10 s).
	Grace time.Duration
	// LogSize is the size in bytes at which a log is rotated when its process
	// starts (default 16 MiB); one older log is kept.
	LogSize int64
}

// ErrUnknown is for a name that no process has.
var ErrUnknown = errors.New("no such process")

// Supervisor runs processes. Make one with New.
type Supervisor struct {
	dir    string
	opts   Options
	events sync.Mutex

	mu        sync.Mutex
	processes map[string]*process
	order     []string // of start
	stopped   bool
}

// New makes a Supervisor that keeps logs in dir/logs and pid files in dir/run.
// Processes that an earlier Supervisor of this directory left running are
// killed. The caller holds the directory's lock.
func New(dir string, opts Options) (*Supervisor, error) {
	if opts.Backoff <= 0 {
		opts.Backoff = 200 * time.Millisecond
	}
	if opts.MaxBackoff <= 0 {
		opts.MaxBackoff = 10 * time.Second
	}
	if opts.Grace <= 0 {
		opts.Grace = 10 * time.Second
	}
	if opts.LogSize <= 0 {
		opts.LogSize = 16 << 20
	}
	for _, d := range []string{"logs", "run"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, fmt.Errorf("preparing supervisor: %w", err)
		}
	}
	s := &Supervisor{dir: dir, opts: opts, processes: map[string]*process{}}
	if err := s.sweep(); err != nil {
		return nil, err
	}
	return s, nil
}

var nameShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Start runs a process and returns when it is ready. When ctx ends first, or
// the process dies three times before it is ready, it is stopped and the error
// shows the end of its log.
func (s *Supervisor) Start(ctx context.Context, spec Spec) error {
	if !nameShape.MatchString(spec.Name) {
		return fmt.Errorf("process name %q: use letters, digits, dots, hyphens and underscores", spec.Name)
	}
	p, err := s.add(spec)
	if err != nil {
		return err
	}
	go p.run()
	if err := p.awaitReady(ctx); err != nil {
		p.stop()
		s.remove(spec.Name)
		return fmt.Errorf("starting %s: %w%s", spec.Name, err, tail(p.log))
	}
	return nil
}

func (s *Supervisor) add(spec Spec) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, fmt.Errorf("starting %s: the supervisor has stopped", spec.Name)
	}
	if _, dup := s.processes[spec.Name]; dup {
		return nil, fmt.Errorf("starting %s: a process of this name runs already", spec.Name)
	}
	p := newProcess(s, spec)
	s.processes[spec.Name] = p
	s.order = append(s.order, spec.Name)
	return p, nil
}

func (s *Supervisor) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.processes, name)
	s.order = slices.DeleteFunc(s.order, func(n string) bool { return n == name })
}

func (s *Supervisor) get(name string) (*process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.processes[name]
	if !ok {
		return nil, fmt.Errorf("%s: %w", name, ErrUnknown)
	}
	return p, nil
}

// Remove stops one process for good.
func (s *Supervisor) Remove(name string) error {
	p, err := s.get(name)
	if err != nil {
		return err
	}
	p.stop()
	s.remove(name)
	return nil
}

// Stop stops all processes, the highest stage first, and returns when they are
// gone. A second call does nothing.
func (s *Supervisor) Stop() {
	s.mu.Lock()
	s.stopped = true
	stages := map[int][]*process{}
	for _, p := range s.processes {
		stages[p.spec.Stage] = append(stages[p.spec.Stage], p)
	}
	s.mu.Unlock()
	for _, stage := range slices.Backward(slices.Sorted(maps.Keys(stages))) {
		var ended sync.WaitGroup
		for _, p := range stages[stage] {
			ended.Go(p.stop)
		}
		ended.Wait()
	}
}

// Kill ends a process with SIGKILL, as a crash would; it is then restarted.
// It returns when the death was noticed, so that Await waits for the restart.
func (s *Supervisor) Kill(name string) error {
	p, err := s.get(name)
	if err != nil {
		return err
	}
	return p.kill()
}

// Pause stops a process without ending it (SIGSTOP), as a hang would.
func (s *Supervisor) Pause(name string) error { return s.signal(name, syscall.SIGSTOP) }

// Resume lets a paused process go on (SIGCONT).
func (s *Supervisor) Resume(name string) error { return s.signal(name, syscall.SIGCONT) }

// Hold kills a process and keeps it down until Release.
func (s *Supervisor) Hold(name string) error {
	p, err := s.get(name)
	if err != nil {
		return err
	}
	p.setHeld(true)
	return p.kill()
}

// Release lets a held process start again.
func (s *Supervisor) Release(name string) error {
	p, err := s.get(name)
	if err != nil {
		return err
	}
	p.setHeld(false)
	return nil
}

// Restart stops a process in order (SIGTERM) and waits until it is ready again.
func (s *Supervisor) Restart(ctx context.Context, name string) error {
	p, err := s.get(name)
	if err != nil {
		return err
	}
	return p.restart(ctx)
}

// Await returns when a process is ready, e.g. after it was killed.
func (s *Supervisor) Await(ctx context.Context, name string) error {
	p, err := s.get(name)
	if err != nil {
		return err
	}
	return p.awaitReady(ctx)
}

// Has says whether a process of this name was started and not removed.
func (s *Supervisor) Has(name string) bool {
	_, err := s.get(name)
	return err == nil
}

// Probe asks a process once whether it is ready.
func (s *Supervisor) Probe(ctx context.Context, name string) error {
	p, err := s.get(name)
	if err != nil {
		return err
	}
	if st := p.status(); st.PID == 0 {
		return fmt.Errorf("%s isn't running (%s)", name, st.State)
	}
	if p.spec.Ready == nil {
		return nil
	}
	return p.spec.Ready(ctx)
}

// Status of all processes in the order of their start.
func (s *Supervisor) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Status, 0, len(s.order))
	for _, name := range s.order {
		all = append(all, s.processes[name].status())
	}
	return all
}

func (s *Supervisor) signal(name string, sig syscall.Signal) error {
	p, err := s.get(name)
	if err != nil {
		return err
	}
	return p.signal(sig)
}

func (s *Supervisor) tell(e Event) {
	if s.opts.OnEvent == nil {
		return
	}
	s.events.Lock()
	defer s.events.Unlock()
	s.opts.OnEvent(e)
}
