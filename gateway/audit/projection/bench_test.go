package projection_test

import (
	"testing"

	"yitong/gateway/audit/projection/projectiontest"
)

// BenchmarkIngest takes a history of some 20,000 entries an iteration, a block at a time,
// and next to it runs the same INSERTs and UPDATEs bare: the same rows in transactions of a
// block each, with nothing decoded, checked or looked up. The ratio of the two in one run
// is what the projection costs on top of the database.
func BenchmarkIngest(b *testing.B) {
	blocks := projectiontest.Blocks(1, 20000)
	traced, err := open(b, file(b)).Traced(blocks)
	if err != nil {
		b.Fatal(err)
	}
	report := func(b *testing.B, entries int64) {
		b.ReportMetric(float64(entries)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
		b.ReportMetric(float64(len(blocks))*float64(b.N)/b.Elapsed().Seconds(), "blocks/s")
	}
	entries := straight(b, blocks).Entries
	b.Run("projection", func(b *testing.B) {
		for b.Loop() {
			d := open(b, file(b))
			for _, block := range blocks {
				apply(b, d, block)
			}
		}
		report(b, entries)
	})
	b.Run("waiting blocks together", func(b *testing.B) {
		for b.Loop() {
			d := open(b, file(b))
			for at := 0; at < len(blocks); at += 128 {
				apply(b, d, blocks[at:min(at+128, len(blocks))]...)
			}
		}
		report(b, entries)
	})
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			if err := open(b, file(b)).Bare(traced); err != nil {
				b.Fatal(err)
			}
		}
		report(b, entries)
	})
}
