package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// tick is what /proc counts CPU time in: 1/100 s on every Linux that Go runs on
// (USER_HZ, part of the kernel's interface).
const tick = 0.01

// Machine is where and of what the figures are.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	OS     string `json:"os"`
	Go     string `json:"go"`
	Commit string `json:"commit"` // with "+changes" if the tree has any
	Load   string `json:"load"`   // /proc/loadavg when the run began
}

func machine(ctx context.Context) Machine {
	m := Machine{Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), CPU: "unknown", Commit: "unknown"}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	m.Load = strings.TrimSpace(string(load))
	if commit, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output(); err == nil {
		m.Commit = strings.TrimSpace(string(commit))
		if changed, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(changed) > 0 {
			m.Commit += "+changes"
		}
	}
	return m
}

// load is CPU time since the machine started, in seconds.
type load struct{ busy, steal, total float64 }

// Load is how a machine was used over a time, as shares of all its cores.
type Load struct {
	Busy  float64 `json:"busy"`
	Steal float64 `json:"steal"` // taken by the hypervisor for others
}

func readLoad() load {
	raw, _ := os.ReadFile("/proc/stat")
	first, _, _ := strings.Cut(string(raw), "\n")
	var l load
	for i, field := range strings.Fields(first) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 8 { // guest time is in user time already
			continue
		}
		l.total += n * tick
		switch i {
		case 4, 5: // idle, iowait
		case 8:
			l.steal += n * tick
		default:
			l.busy += n * tick
		}
	}
	return l
}

func (l load) since(before load) Load {
	total := l.total - before.total
	if total <= 0 {
		return Load{}
	}
	return Load{Busy: (l.busy - before.busy) / total, Steal: (l.steal - before.steal) / total}
}

// usage is the CPU seconds that each kind of process has used, and the machine's.
type usage struct {
	kinds   map[string]float64
	machine load
}

// usageOf reads the CPU time of this process (the driver) and of others, given by
// kind.
func usageOf(processes map[int]string) usage {
	u := usage{kinds: map[string]float64{}, machine: readLoad()}
	for pid, kind := range processes {
		u.kinds[kind] += cpuSeconds(pid)
	}
	u.kinds["driver"] = cpuSeconds(os.Getpid())
	return u
}

// cpuSeconds is the user and system time of a process; 0 where it can't be read.
func cpuSeconds(pid int) float64 {
	raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	// The second field, the program's name in parentheses, may hold anything.
	fields := strings.Fields(string(raw[strings.LastIndex(string(raw), ")")+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) * tick
}

// since is what was used between two readings: by kind, and by whom the program
// doesn't know, the latter as a share of the machine.
func (u usage) since(before usage) (kinds map[string]float64, others float64) {
	kinds = map[string]float64{}
	own := 0.0
	for kind, seconds := range u.kinds {
		kinds[kind] = seconds - before.kinds[kind]
		own += kinds[kind]
	}
	total := u.machine.total - before.machine.total
	if total > 0 {
		others = max(0, (u.machine.busy-before.machine.busy-own)/total)
	}
	return kinds, others
}

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s, %s, commit %s, load %s", m.CPU, m.Cores, m.OS, m.Go, m.Commit, m.Load)
}
