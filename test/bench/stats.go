package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// estimate is a median with its 95 % interval by bootstrap.
type estimate struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
	N      int     `json:"n"` // rounds
}

// resamples of a bootstrap.
const resamples = 5000

// estimateOf takes the percentile bootstrap of the median (Efron 1979): what the
// median would have been, had other rounds of the same been drawn.
func estimateOf(rng *rand.Rand, sample []float64) estimate {
	if len(sample) == 0 {
		return estimate{}
	}
	medians, draw := make([]float64, resamples), make([]float64, len(sample))
	for i := range medians {
		for j := range draw {
			draw[j] = sample[rng.IntN(len(sample))]
		}
		medians[i] = median(draw)
	}
	slices.Sort(medians)
	return estimate{Median: median(sample), Low: medians[resamples*25/1000], High: medians[resamples*975/1000-1], N: len(sample)}
}

func median(sample []float64) float64 {
	s := slices.Sorted(slices.Values(sample))
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// ratios divides one sample by another, round by round.
func ratios(over, under []float64) []float64 {
	out := make([]float64, 0, len(over))
	for i := range over {
		if i < len(under) && under[i] > 0 {
			out = append(out, over[i]/under[i])
		}
	}
	return out
}

// latency is percentiles in milliseconds.
type latency struct {
	P50 float64 `json:"p50_ms"`
	P95 float64 `json:"p95_ms"`
	P99 float64 `json:"p99_ms"`
	N   int     `json:"n"`
}

func latencyOf(took []time.Duration) latency {
	s := slices.Sorted(slices.Values(took))
	at := func(q float64) float64 {
		if len(s) == 0 {
			return 0
		}
		// Nearest rank: the smallest value that at least a share q does not exceed.
		rank := min(int(q*float64(len(s))+0.999999), len(s))
		return float64(s[max(rank, 1)-1]) / 1e6
	}
	return latency{P50: at(.50), P95: at(.95), P99: at(.99), N: len(s)}
}
