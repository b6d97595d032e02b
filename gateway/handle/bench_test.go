package handle_test

import (
	"fmt"
	"testing"

	"yitong/gateway/handle"
)

// One handle of two evaluators, nothing cached and no network: blind, evaluate, verify,
// finalise, combine.
func BenchmarkDerive(b *testing.B) {
	for _, batch := range []int{1, 8, handle.MaxBatch} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			keys := newKeys(b, 2)
			ids := make([]string, batch)
			for i := range ids {
				ids[i] = fmt.Sprintf("urn:oid:1|%d", i)
			}
			for b.Loop() {
				derive(b, relation, keys, ids...)
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*batch), "µs/handle")
		})
	}
}

// What one evaluator does for one element.
func BenchmarkEvaluate(b *testing.B) {
	k := newKeys(b, 1)[0]
	blinding, err := handle.Blind(k.Public(), [][]byte{[]byte("urn:oid:1|a")})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := k.Evaluate(relation, blinding.Elements()); err != nil {
			b.Fatal(err)
		}
	}
}
