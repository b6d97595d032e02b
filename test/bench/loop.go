package main

import (
	"context"
	"sync"
	"time"
)

// turn is what one turn of one arm measured.
type turn struct {
	Arm     string  `json:"arm"`
	Clients int     `json:"clients"`
	Round   int     `json:"round"`
	Done    int     `json:"done"` // in the measured window, in items
	Failed  int     `json:"failed"`
	Unknown int     `json:"unknown"`
	Seconds float64 `json:"seconds"` // length of the window
	Rate    float64 `json:"rate"`    // items a second
	latency
	CPU    float64            `json:"cpu_ms"`  // of all processes, a done item
	ByKind map[string]float64 `json:"by_kind"` // the same, by kind of process
	Others float64            `json:"others"`  // share of the machine that other processes used

	took []time.Duration
}

// closed runs a closed loop: each client sends its next call when the one before
// has ended. pass completions go by unmeasured, measured ones are, and the load
// stays what it is until the last of those is in.
func (w *world) closed(ctx context.Context, a arm, clients, pass, measured int) turn {
	t := turn{Arm: a.name, Clients: clients}
	var (
		mu         sync.Mutex
		seen       int
		began, end time.Time
		before     usage
		over       = make(chan struct{})
		running    sync.WaitGroup
	)
	if pass == 0 {
		began, before = time.Now(), w.usage()
	}
	note := func(o outcome, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		seen++
		switch {
		case seen < pass:
		case seen == pass:
			before, began = w.usage(), time.Now()
		case seen <= pass+measured:
			switch o {
			case done:
				t.took = append(t.took, took)
			case failed:
				t.Failed++
			case unknown:
				t.Unknown++
			}
			if seen == pass+measured {
				end = time.Now()
				t.spent(w.usage(), before, a.items)
				close(over)
			}
		}
	}
	for range clients {
		running.Go(func() {
			for ctx.Err() == nil {
				select {
				case <-over:
					return
				default:
				}
				start := time.Now()
				note(a.do(ctx), time.Since(start))
			}
		})
	}
	running.Wait()
	t.Seconds = end.Sub(began).Seconds()
	t.Done = len(t.took) * a.items
	if t.Seconds > 0 {
		t.Rate = float64(t.Done) / t.Seconds
	}
	t.latency = latencyOf(t.took)
	return t
}

// settle waits until the network has done with what the last turn left behind
// (gossip, state, compaction): until it uses less than a quarter of a core over
// 200 ms, for 3 s at most. One turn must not pay for another.
func (w *world) settle(ctx context.Context) {
	before := w.usage()
	for range 15 {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return
		}
		now := w.usage()
		kinds, _ := now.since(before)
		used := 0.0
		for _, seconds := range kinds {
			used += seconds
		}
		if used < 0.05 {
			return
		}
		before = now
	}
}

// spent notes the CPU time of a window.
func (t *turn) spent(after, before usage, items int) {
	kinds, others := after.since(before)
	t.Others, t.ByKind = others, map[string]float64{}
	n := float64(len(t.took) * items)
	if n == 0 {
		return
	}
	for kind, seconds := range kinds {
		t.ByKind[kind] = seconds * 1000 / n
		t.CPU += seconds * 1000 / n
	}
}

// constant is what an open loop at a constant rate measured.
type constant struct {
	Arm     string  `json:"arm"`
	Share   float64 `json:"share"` // of the arm's own measured throughput
	Rate    float64 `json:"rate"`  // calls a second that were due
	Failed  int     `json:"failed"`
	Unknown int     `json:"unknown"`
	latency
}

// open sends a call whenever one is due, whatever has become of those before, and
// counts its latency from that moment.
func (w *world) open(ctx context.Context, a arm, rate float64, lasting time.Duration) constant {
	c := constant{Arm: a.name, Rate: rate}
	var (
		mu      sync.Mutex
		took    []time.Duration
		running sync.WaitGroup
		began   = time.Now()
	)
	for i := range int(rate * lasting.Seconds()) {
		due := began.Add(time.Duration(float64(i) / rate * 1e9))
		time.Sleep(time.Until(due))
		if ctx.Err() != nil {
			break
		}
		running.Go(func() {
			o := a.do(ctx)
			late := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			switch o {
			case done:
				took = append(took, late)
			case failed:
				c.Failed++
			case unknown:
				c.Unknown++
			}
		})
	}
	running.Wait()
	c.latency = latencyOf(took)
	return c
}
