package main

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestTheMedianLiesInItsInterval(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sample := []float64{0.9, 1.1, 1.0, 0.95, 1.05, 1.02, 0.98, 1.01, 0.99, 1.0}
	e := estimateOf(rng, sample)
	if e.Median != 1.0 || e.Low > e.Median || e.High < e.Median || e.Low < 0.9 || e.High > 1.1 || e.N != 10 {
		t.Errorf("%+v", e)
	}
	if e := estimateOf(rng, []float64{2, 2, 2}); e.Low != 2 || e.High != 2 {
		t.Errorf("without scatter: %+v", e)
	}
	if e := estimateOf(rng, nil); e != (estimate{}) {
		t.Errorf("of nothing: %+v", e)
	}
}

// The interval must hold the true median about as often as it says.
func TestTheIntervalHoldsTheTruthMostly(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	held := 0
	const trials = 200
	for range trials {
		sample := make([]float64, 15)
		for i := range sample {
			sample[i] = rng.NormFloat64()
		}
		if e := estimateOf(rng, sample); e.Low <= 0 && 0 <= e.High {
			held++
		}
	}
	if held < trials*88/100 {
		t.Errorf("held in %d of %d", held, trials)
	}
}

func TestPercentilesAreByNearestRank(t *testing.T) {
	var took []time.Duration
	for i := 100; i >= 1; i-- {
		took = append(took, time.Duration(i)*time.Millisecond)
	}
	if got := latencyOf(took); got != (latency{P50: 50, P95: 95, P99: 99, N: 100}) {
		t.Errorf("%+v", got)
	}
	if got := latencyOf([]time.Duration{7e6}); got != (latency{P50: 7, P95: 7, P99: 7, N: 1}) {
		t.Errorf("%+v", got)
	}
	if got := latencyOf(nil); got != (latency{}) {
		t.Errorf("%+v", got)
	}
}

func TestABenchmarksLineIsRead(t *testing.T) {
	name, values, ok := benchmarkLine("BenchmarkDecision/consents=1000-2   \t  300000\t   0 ns/op\t  212.0 p50-ns\t 530 p99-ns\t 0 B/op\t 0 allocs/op")
	if !ok || name != "BenchmarkDecision/consents=1000" || values["p50-ns"] != 212 || values["p99-ns"] != 530 || values["allocs/op"] != 0 {
		t.Errorf("%q %v %v", name, values, ok)
	}
	for _, line := range []string{"", "ok  \tyitong\t1s", "BenchmarkX", "PASS"} {
		if _, _, ok := benchmarkLine(line); ok {
			t.Errorf("%q was read as a benchmark", line)
		}
	}
}
