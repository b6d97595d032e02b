package history_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/ledger"
)

// BenchmarkHistory asks what is asked most, over histories of 10^3, 10^4 and 10^5 events,
// and 10^6 when YITONG_SCALE is 1000000 or more: a page of 50 of a patient's history, of
// patients from the busiest to the quietest, and the accounting of disclosures. It reports
// the quantiles of the time of one question, and how fast the history was taken in.
func BenchmarkHistory(b *testing.B) {
	most, _ := strconv.Atoi(os.Getenv("YITONG_SCALE"))
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		if n > max(most, 100_000) {
			break
		}
		b.Run(fmt.Sprintf("events=%d", n), func(b *testing.B) {
			h, rate := grown(b, n)
			patients := projectiontest.Busiest(1, n)
			for name, ask := range map[string]func(r contract.Relationship) error{
				"patient": func(r contract.Relationship) error {
					_, _, _, err := h.Entries(b.Context(), history.Filter{About: []contract.Relationship{r}}, history.Page{Newest: true})
					return err
				},
				"disclosures": func(r contract.Relationship) error {
					_, _, _, err := h.Disclosures(b.Context(), []contract.Relationship{r}, record.Period{}, history.Page{Newest: true})
					return err
				},
				"denied": func(contract.Relationship) error {
					_, _, _, err := h.Entries(b.Context(), history.Filter{Outcomes: []projection.Outcome{projection.Denied}}, history.Page{Newest: true})
					return err
				},
				"unreceipted": func(contract.Relationship) error {
					_, _, _, err := h.Unreceipted(b.Context(), "", "", 0, history.Page{})
					return err
				},
			} {
				b.Run(name, func(b *testing.B) {
					var took []time.Duration
					for i := 0; b.Loop(); i++ {
						begin := time.Now()
						if err := ask(patients[i%len(patients)]); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(begin))
					}
					slices.Sort(took)
					b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
					b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
					b.ReportMetric(rate, "ingested/s")
				})
			}
		})
	}
}

// grown is a history of so many events, and how many entries a second were taken in.
func grown(b *testing.B, events int) (history.History, float64) {
	b.Helper()
	d, err := projection.Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "audit.db"), projectiontest.Chaincode)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { d.Close() })
	var waiting []ledger.Block
	var spent time.Duration
	take := func() {
		begin := time.Now()
		if err := d.Apply(b.Context(), waiting...); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(begin)
		waiting = waiting[:0]
	}
	for block := range projectiontest.Generate(1, events) {
		if waiting = append(waiting, block); len(waiting) == 128 {
			take()
		}
	}
	take()
	c, err := d.Checkpoint(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return history.History{Database: d}, float64(c.Entries) / spent.Seconds()
}
