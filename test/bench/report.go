package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// report is everything, as --json prints it.
type report struct {
	Began   time.Time  `json:"began"`
	Seconds float64    `json:"seconds"`
	Short   bool       `json:"short"`
	Seed    uint64     `json:"seed"`
	Machine Machine    `json:"machine"`
	Load    Load       `json:"load"`
	Network Network    `json:"network,omitzero"`
	Levels  []Level    `json:"levels,omitempty"`
	Open    []constant `json:"open_loops,omitempty"`
	Check   Check      `json:"check,omitzero"`
	Local   *Local     `json:"local,omitempty"`
	Aims    []Aim      `json:"aims"`
	Turns   []turn     `json:"turns,omitempty"` // raw
}

// Aim is what the project wants a figure to be.
type Aim struct {
	What  string   `json:"what"`
	Limit float64  `json:"limit"`
	Least bool     `json:"least"` // the limit is the least wanted, else the most
	Got   estimate `json:"got"`
	Met   bool     `json:"met"` // by the unfavourable end of the interval
}

// judge compares the figures with the aims. Chain ratios are judged with the most
// clients measured: with few, they are ratios of the batch timeout to itself.
func (r *report) judge() {
	add := func(what string, limit float64, least bool, got estimate) {
		a := Aim{What: what, Limit: limit, Least: least, Got: got}
		a.Met = got.N > 0 && (least && got.Low >= limit || !least && got.High <= limit)
		r.Aims = append(r.Aims, a)
	}
	if n := len(r.Levels); n > 0 {
		top := r.Levels[n-1]
		at := fmt.Sprintf(", %d clients", top.Clients)
		for _, a := range []struct {
			arm   string
			least float64
		}{{armRequest, 0.92}, {armAccess, 0.75}} {
			if got := top.arm(a.arm).Ratio; got.N > 0 {
				add(a.arm+" / floor"+at, a.least, true, got)
			}
		}
		for _, name := range []string{armRequestFull, armAccessFull} {
			if a := top.arm(name); a.Beside.N > 0 {
				add(name+" / "+a.Against+at, 0.9, true, a.Beside)
			}
		}
	}
	if r.Local != nil {
		of := func(e estimate, _ bool) estimate { return e }
		add("decision p50 over 10^6 consents, ns", 1500, false, of(r.Local.figure("Decision/consents=1000000", "p50-ns")))
		add(growth, 2.5, false, of(r.Local.ratio(growth)))
		add("seal with digest / bound, 1 GiB", 0.8, true, of(r.Local.ratio("seal/bound 1GiB")))
		add("peak memory of sealing 8 GiB, MiB", 64, false, of(r.Local.figure("PeakMemory/8GiB", "peak-MiB")))
		add(flatness, 1.1, false, of(r.Local.ratio(flatness)))
	}
}

// printer prints for people.
type printer struct{ out io.Writer }

func (p printer) say(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }

func (p printer) tick() { fmt.Fprint(p.out, ".") }

func (p printer) machine(m Machine) { p.say("%s", m) }

func (p printer) level(l level, arms []arm) {
	p.say("\n%s; %d arms in random order each round", l, len(arms))
}

func (p printer) results(l Level) {
	p.say("")
	p.say("%-9s %8s %26s %8s %8s %8s %8s %20s %6s %6s %7s", "arm", "per s", "x floor [95 %]", "p50 ms", "p95 ms", "p99 ms", "CPU ms", "x floor [95 %]", "failed", "unkn.", "others")
	for _, a := range l.Arms {
		p.say("%-9s %8.1f %26s %8.1f %8.1f %8.1f %8.2f %20s %6d %6d %6.0f%%", a.Name, a.Rate, a.Ratio.text(3),
			a.Latency.P50, a.Latency.P95, a.Latency.P99, a.CPU, a.CPUTo.text(2), a.Failed, a.Unknown, 100*a.Others)
	}
	p.say("CPU ms by kind of process:")
	for _, a := range l.Arms {
		var each []string
		for _, kind := range kinds {
			each = append(each, fmt.Sprintf("%s %.2f", kind, a.ByKind[kind]))
		}
		p.say("  %-9s %s", a.Name, strings.Join(each, ", "))
	}
	p.say("what privacy costs, as throughput beside the arm without it [95 %%]:")
	for _, a := range l.Arms {
		if a.Beside.N > 0 {
			p.say("  %-9s / %-8s %s; CPU %.2f ms and %.2f ms", a.Name, a.Against, a.Beside.text(3), a.CPU, l.arm(a.Against).CPU)
		}
	}
	control := l.arm(armControl).Ratio
	if control.N == 0 {
		return
	}
	width := control.High - control.Low
	if control.Low <= 1 && 1 <= control.High && width < 0.06 {
		p.say("control: holds (1 is inside, width %.3f)", width)
	} else {
		p.say("control: does NOT hold (want 1 inside and a width below 0.06, it is %.3f): too noisy, take the ratios above as rough", width)
	}
}

func (e estimate) text(digits int) string {
	return fmt.Sprintf("%.*f [%.*f, %.*f]", digits, e.Median, digits, e.Low, digits, e.High)
}

func (p printer) constant(c constant) {
	p.say("%-9s at %3.0f %% of capacity, %6.1f/s: p50 %7.1f  p95 %7.1f  p99 %7.1f ms  p99/p50 %.1f  failed %d, unknown %d",
		c.Arm, 100*c.Share, c.Rate, c.P50, c.P95, c.P99, c.P99/cmp.Or(c.P50, 1), c.Failed, c.Unknown)
}

func (p printer) check(c Check) {
	p.say("\nafter the run: %d blocks read from %s's peer; %d transactions acknowledged, all there once and valid; %d unknown, of which %d committed; "+
		"%d accesses acknowledged, each with decision, release and receipt; %d that did not end well; %d disagreements; "+
		"on average %.1f releases and %.1f receipts a transaction",
		c.Blocks, asker, c.Acknowledged, c.Unknown, c.UnknownDone, c.Accesses, c.AccessesOpen, len(c.Wrong), c.Releases, c.Receipts)
	for _, t := range slices.Sorted(maps.Keys(c.Troubles)) {
		p.say("  %d x %s", c.Troubles[t], t)
	}
	for _, w := range c.Wrong[:min(len(c.Wrong), 10)] {
		p.say("  WRONG: %s", w)
	}
}

func (p printer) local(l *Local) {
	p.say("")
	for _, f := range l.Benchmarks {
		p.say("%-34s %12.1f %-9s [%.1f, %.1f], process at most %.0f MiB", f.Name, f.Median, f.Unit, f.Low, f.High, f.Peak)
	}
	p.say("")
	for _, f := range l.Ratios {
		p.say("%-34s %s", f.Name, f.text(3))
	}
}

func (p printer) ending(r *report) {
	p.say("\naims, judged by the unfavourable end of the interval:")
	for _, a := range r.Aims {
		sign, verdict := "<=", "missed"
		if a.Least {
			sign = ">="
		}
		if a.Met {
			verdict = "met"
		}
		p.say("  %-6s %-38s %s %g: %s", verdict, a.What, sign, a.Limit, a.Got.text(3))
	}
	p.say("\n%.0f s; the machine was %.0f %% busy, %.1f %% stolen by its host", r.Seconds, 100*r.Load.Busy, 100*r.Load.Steal)
}
