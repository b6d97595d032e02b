package report_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

// A reader that knows nothing of the writer's types finds every entry.
func TestParquetHoldsEveryEntry(t *testing.T) {
	entries, asOf := trail(t)
	raw := write(t, "parquet", "", entries, asOf)
	file, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if height, _ := file.Lookup("ledger_height"); height != fmt.Sprint(asOf.Blocks) {
		t.Errorf("it stands on %q", height)
	}
	type row struct {
		Number  int64      `parquet:"number"`
		Claimed *time.Time `parquet:"time_claimed,optional,timestamp(millisecond)"`
		Kind    string     `parquet:"kind"`
		Outcome string     `parquet:"outcome"`
		Handle  string     `parquet:"handle"`
		Classes []string   `parquet:"classes,list"`
	}
	rows, err := parquet.Read[row](bytes.NewReader(raw), int64(len(raw)))
	if err != nil || len(rows) != len(entries) {
		t.Fatalf("%d rows of %d, %v", len(rows), len(entries), err)
	}
	for i, e := range entries {
		r := rows[i]
		if r.Number != e.Number || r.Kind != string(e.Kind) || r.Outcome != string(e.Outcome) || r.Handle != e.Handle || !slices.Equal(r.Classes, e.Classes) && len(e.Classes) > 0 {
			t.Fatalf("entry %+v is %+v", e, r)
		}
		if (r.Claimed == nil) != e.Claimed.IsZero() || r.Claimed != nil && !r.Claimed.Equal(e.Claimed) {
			t.Fatalf("entry %d: claimed %v, written %v", i, e.Claimed, r.Claimed)
		}
	}
	if csv := write(t, "csv", "", entries, asOf); len(raw) > len(csv)/2 {
		t.Errorf("%d bytes, and %d as CSV", len(raw), len(csv))
	}
}
