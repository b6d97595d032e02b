package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// plan says how much is measured.
type plan struct {
	short  bool
	warmUp int // calls of each of floor, request and access before anything is measured
	levels []level
	open   time.Duration // of each open loop; 0 leaves them out
	local  int           // rounds of the benchmarks beside the code
}

// level is a number of clients.
type level struct {
	clients  int
	rounds   int
	measured int // completions in a turn
	batches  int // the same, of anchor64
}

var (
	whole = plan{
		warmUp: 900, open: 15 * time.Second, local: 10,
		levels: []level{{1, 10, 8, 8}, {32, 10, 256, 64}, {128, 12, 512, 96}},
	}
	brief = plan{
		short: true, warmUp: 100, local: 2,
		levels: []level{{1, 2, 3, 3}, {32, 2, 64, 32}, {128, 3, 128, 16}},
	}
)

// with replaces the rounds (0 leaves them) and the numbers of clients (0 likewise).
func (p plan) with(rounds, clients int) plan {
	levels := slices.Clone(p.levels)
	if clients != 0 {
		i := slices.IndexFunc(levels, func(l level) bool { return l.clients == clients })
		if i < 0 { // none of the plan's: like its last
			last := levels[len(levels)-1]
			levels = append(levels, level{clients, last.rounds, 6 * clients, clients})
			i = len(levels) - 1
		}
		levels = levels[i : i+1]
	}
	for i := range levels {
		if rounds > 0 {
			levels[i].rounds = rounds
		}
	}
	p.levels = levels
	return p
}

func (l level) pass() int {
	if l.clients < 32 {
		return 1
	}
	return 2 * l.clients
}

// measure takes the turns of every level and fills in the report.
func measure(ctx context.Context, o options, w *world, r *report, text printer) error {
	rng := rand.New(rand.NewPCG(o.seed, 0))
	arms := slices.DeleteFunc(w.arms(), func(a arm) bool {
		return o.arms != nil && a.name != armFloor && !slices.Contains(o.arms, a.name)
	})
	text.say("warming up")
	for _, a := range arms {
		if slices.Contains([]string{armFloor, armRequest, armAccess, armRequestFull, armAccessFull}, a.name) {
			w.closed(ctx, a, 128, 0, o.warmUp)
		}
	}
	for _, l := range o.levels {
		text.level(l, arms)
		var turns []turn
		for round := range l.rounds {
			for _, i := range rng.Perm(len(arms)) {
				a := arms[i]
				measured := l.measured
				if a.items > 1 {
					measured = l.batches
				}
				w.settle(ctx)
				t := w.closed(ctx, a, l.clients, min(l.pass(), measured), measured)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				t.Round = round
				turns = append(turns, t)
			}
			text.tick()
		}
		r.Turns = append(r.Turns, turns...)
		lv := summarise(rng, l, arms, turns)
		r.Levels = append(r.Levels, lv)
		text.results(lv)
	}
	return openLoops(ctx, o, w, r, arms, rng, text)
}

// openLoops drives floor, request and access at half and at 70 % of what they did
// with the most clients.
func openLoops(ctx context.Context, o options, w *world, r *report, arms []arm, rng *rand.Rand, text printer) error {
	if o.open == 0 || len(r.Levels) == 0 {
		return nil
	}
	top := r.Levels[len(r.Levels)-1]
	text.say("\nopen loops at a constant rate, %v each", o.open)
	for _, share := range []float64{0.5, 0.7} {
		for _, i := range rng.Perm(len(arms)) {
			a := arms[i]
			if a.name != armFloor && a.name != armRequest && a.name != armAccess {
				continue
			}
			w.settle(ctx)
			c := w.open(ctx, a, share*top.arm(a.name).Rate, o.open)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			c.Share = share
			r.Open = append(r.Open, c)
			text.constant(c)
		}
	}
	return nil
}

// Level sums the turns of one number of clients up.
type Level struct {
	Clients int           `json:"clients"`
	Arms    []Arm         `json:"arms"`
	Took    time.Duration `json:"-"`
}

// Arm sums up one arm at one number of clients. Rate and latency are over all its
// turns, the ratios are to the floor of the same round.
type Arm struct {
	Name    string             `json:"name"`
	Rate    float64            `json:"rate"` // median, items a second
	Latency latency            `json:"latency"`
	Ratio   estimate           `json:"rate_to_floor"`
	Against string             `json:"against,omitempty"` // the arm without what this one has
	Beside  estimate           `json:"rate_to_it,omitzero"`
	CPU     float64            `json:"cpu_ms"` // median, an item
	CPUTo   estimate           `json:"cpu_to_floor"`
	ByKind  map[string]float64 `json:"cpu_ms_by_kind"` // medians
	Others  float64            `json:"others"`
	Done    int                `json:"done"`
	Failed  int                `json:"failed"`
	Unknown int                `json:"unknown"`
}

func (l Level) arm(name string) Arm {
	for _, a := range l.Arms {
		if a.Name == name {
			return a
		}
	}
	return Arm{Name: name}
}

func summarise(rng *rand.Rand, l level, arms []arm, turns []turn) Level {
	out := Level{Clients: l.clients}
	pick := func(name string, of func(turn) float64) []float64 {
		var x []float64
		for _, t := range turns {
			if t.Arm == name {
				x = append(x, of(t))
			}
		}
		return x
	}
	rate := func(t turn) float64 { return t.Rate }
	cpu := func(t turn) float64 { return t.CPU }
	for _, a := range arms {
		one := Arm{
			Name: a.name, Rate: median(pick(a.name, rate)), CPU: median(pick(a.name, cpu)), ByKind: map[string]float64{},
			Ratio:  estimateOf(rng, ratios(pick(a.name, rate), pick(armFloor, rate))),
			CPUTo:  estimateOf(rng, ratios(pick(a.name, cpu), pick(armFloor, cpu))),
			Others: median(pick(a.name, func(t turn) float64 { return t.Others })),
		}
		if a.against != "" {
			one.Against, one.Beside = a.against, estimateOf(rng, ratios(pick(a.name, rate), pick(a.against, rate)))
		}
		var took []time.Duration
		for _, t := range turns {
			if t.Arm != a.name {
				continue
			}
			took = append(took, t.took...)
			one.Done, one.Failed, one.Unknown = one.Done+t.Done, one.Failed+t.Failed, one.Unknown+t.Unknown
		}
		for _, kind := range kinds {
			one.ByKind[kind] = median(pick(a.name, func(t turn) float64 { return t.ByKind[kind] }))
		}
		one.Latency = latencyOf(took)
		out.Arms = append(out.Arms, one)
	}
	return out
}

// kinds of process, as their names begin.
var kinds = []string{"peer", "orderer", "chaincode", "gateway", "driver"}

func (l level) String() string {
	return fmt.Sprintf("%d clients, %d rounds of %d measured calls an arm (%d of %s)", l.clients, l.rounds, l.measured, l.batches, armAnchor64)
}
