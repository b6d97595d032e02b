package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// beside is one benchmark that lies beside the code, run in a process of its own.
type beside struct {
	pkg, name, times string // times is go test's -benchtime
	metric           string // the unit that is kept
	rounds           int    // 0 is the plan's
}

func (b beside) key() string { return b.pkg + "." + b.name }

const sealing, deciding = "gateway/seal", "chaincode/consent"

// benchmarks names them all. A benchmark's own set-up isn't in its figure.
func benchmarks() []beside {
	var all []beside
	for _, size := range []struct{ name, times string }{{"1MiB", "300x"}, {"1GiB", "1x"}} {
		for _, b := range []string{"RawGCM", "SHA256", "Seal", "SealWithoutDigest", "Open", "OpenWithoutDigest"} {
			all = append(all, beside{sealing, "Benchmark" + b + "/" + size.name, size.times, "MB/s", 0})
		}
	}
	for _, n := range []string{"1000", "10000", "100000", "1000000"} {
		all = append(all, beside{deciding, "BenchmarkDecision/consents=" + n, "400000x", "p50-ns", 0})
	}
	for _, n := range []string{"1GiB", "8GiB"} {
		all = append(all, beside{sealing, "BenchmarkPeakMemory/" + n, "1x", "peak-MiB", 3})
	}
	return all
}

// sample is what the rounds of one benchmark gave.
type sample struct {
	values map[string][]float64 // by unit
	peak   float64              // MiB, of the process with the largest
}

// benchLocal builds the test programs once and has the benchmarks take turns.
func benchLocal(ctx context.Context, o options, r *report, text printer) error {
	dir, err := os.MkdirTemp("", "yitong-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	text.say("\nthe benchmarks beside the code, %d rounds in random order", o.local)
	for _, pkg := range []string{sealing, deciding} {
		build := exec.CommandContext(ctx, "go", "test", "-c", "-o", program(dir, pkg), "./"+pkg)
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("building the benchmarks of %s: %w\n%s", pkg, err, out)
		}
	}
	rng := rand.New(rand.NewPCG(o.seed, 1))
	all, got := benchmarks(), map[string]*sample{}
	for round := range o.local {
		for _, i := range rng.Perm(len(all)) {
			b := all[i]
			if b.rounds > 0 && round >= b.rounds {
				continue
			}
			s := got[b.key()]
			if s == nil {
				s = &sample{values: map[string][]float64{}}
				got[b.key()] = s
			}
			if err := b.run(ctx, dir, filepath.Join(root, b.pkg), s); err != nil {
				return err
			}
		}
		text.tick()
	}
	r.Local = summariseLocal(rng, all, got)
	text.local(r.Local)
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if mod == "" || mod == os.DevNull {
		return "", errors.New("run it inside the module, as go run ./test/bench, or with --only ledger")
	}
	return filepath.Dir(mod), nil
}

func program(dir, pkg string) string {
	return filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-")+".test")
}

// run runs the benchmark once and adds its figures to the sample.
func (b beside) run(ctx context.Context, dir, pkg string, s *sample) error {
	var pattern []string
	for _, level := range strings.Split(b.name, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(level)+"$")
	}
	cmd := exec.CommandContext(ctx, program(dir, b.pkg), "-test.run=^$", "-test.bench="+strings.Join(pattern, "/"), "-test.benchtime="+b.times, "-test.timeout=10m")
	cmd.Dir = pkg
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running %s: %w\n%s", b.key(), err, out)
	}
	for line := range bytes.Lines(out) {
		name, values, ok := benchmarkLine(string(line))
		if !ok || name != b.name {
			continue
		}
		for unit, v := range values {
			s.values[unit] = append(s.values[unit], v)
		}
		if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			kib := float64(u.Maxrss)
			if runtime.GOOS == "darwin" { // bytes there
				kib /= 1024
			}
			s.peak = max(s.peak, kib/1024)
		}
		return nil
	}
	return fmt.Errorf("%s is not there any more:\n%s", b.key(), out)
}

var processors = regexp.MustCompile(`-\d+$`)

// benchmarkLine reads a line of Go's benchmark format (golang.org/design/14313).
func benchmarkLine(line string) (name string, values map[string]float64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return "", nil, false
	}
	values = map[string]float64{}
	for pair := range slices.Chunk(fields[2:], 2) {
		if len(pair) < 2 {
			return "", nil, false
		}
		v, err := strconv.ParseFloat(pair[0], 64)
		if err != nil {
			return "", nil, false
		}
		values[pair[1]] = v
	}
	return processors.ReplaceAllString(fields[0], ""), values, true
}

// Local is what the benchmarks beside the code gave.
type Local struct {
	Benchmarks []LocalFigure `json:"benchmarks"`
	Ratios     []LocalFigure `json:"ratios"`
}

// LocalFigure is one figure with its interval.
type LocalFigure struct {
	Name string  `json:"name"`
	Unit string  `json:"unit"`
	Peak float64 `json:"process_peak_mib,omitzero"` // of the process, its Go runtime included
	estimate
}

func summariseLocal(rng *rand.Rand, all []beside, got map[string]*sample) *Local {
	l := &Local{}
	of := func(pkg, name, unit string) []float64 {
		if s := got[pkg+".Benchmark"+name]; s != nil {
			return s.values[unit]
		}
		return nil
	}
	for _, b := range all {
		s := got[b.key()]
		for _, unit := range []string{"MB/s", "p50-ns", "p99-ns", "allocs/op", "peak-MiB"} {
			if unit == b.metric || b.metric == "p50-ns" && (unit == "p99-ns" || unit == "allocs/op") {
				l.Benchmarks = append(l.Benchmarks, LocalFigure{strings.TrimPrefix(b.name, "Benchmark"), unit, s.peak, estimateOf(rng, s.values[unit])})
			}
		}
	}
	ratio := func(name string, over, under []float64) {
		l.Ratios = append(l.Ratios, LocalFigure{Name: name, Unit: "ratio", estimate: estimateOf(rng, ratios(over, under))})
	}
	for _, size := range []string{"1MiB", "1GiB"} {
		gcm, sha := of(sealing, "RawGCM/"+size, "MB/s"), of(sealing, "SHA256/"+size, "MB/s")
		bound := make([]float64, min(len(gcm), len(sha)))
		for i := range bound {
			bound[i] = min(gcm[i], sha[i])
		}
		ratio("seal/bound "+size, of(sealing, "Seal/"+size, "MB/s"), bound)
		ratio("open/bound "+size, of(sealing, "Open/"+size, "MB/s"), bound)
		ratio("seal without digest/raw GCM "+size, of(sealing, "SealWithoutDigest/"+size, "MB/s"), gcm)
		ratio("open without digest/raw GCM "+size, of(sealing, "OpenWithoutDigest/"+size, "MB/s"), gcm)
	}
	ratio(growth, of(deciding, "Decision/consents=1000000", "p50-ns"), of(deciding, "Decision/consents=1000", "p50-ns"))
	ratio(flatness, of(sealing, "PeakMemory/8GiB", "peak-MiB"), of(sealing, "PeakMemory/1GiB", "peak-MiB"))
	return l
}

// Names of ratios that an aim is about.
const (
	growth   = "decision t(10^6)/t(10^3)"
	flatness = "peak memory 8 GiB/1 GiB"
)

func (l *Local) ratio(name string) (estimate, bool)        { return find(l.Ratios, name, "ratio") }
func (l *Local) figure(name, unit string) (estimate, bool) { return find(l.Benchmarks, name, unit) }

func find(in []LocalFigure, name, unit string) (estimate, bool) {
	i := slices.IndexFunc(in, func(f LocalFigure) bool { return f.Name == name && f.Unit == unit })
	if i < 0 {
		return estimate{}, false
	}
	return in[i].estimate, true
}
