package report

import (
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"yitong/chaincode/record"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
)

//go:embed page.html.tmpl
var files embed.FS

// pageTemplate is checked when the program starts: a mistake in it never waits for a reader.
var pageTemplate = template.Must(template.New("page.html.tmpl").Funcs(template.FuncMap{
	"time": func(t time.Time) string {
		if t.IsZero() {
			return "–"
		}
		return t.UTC().Format("2006-01-02 15:04:05Z")
	},
	"or": func(s, otherwise string) string { return cmp.Or(s, otherwise) },
	"short": func(s string) string {
		return s[:min(12, len(s))]
	},
}).ParseFS(files, "page.html.tmpl"))

// maxRows bounds the entries that an HTML report lists. The figures count all of them.
const maxRows = 5000

// figure is counts by label: a table with a bar in each row, or, over time, columns.
type figure struct {
	Title, Unit string
	Bars        []bar
	// Of a figure over time: the highest count, and the drawing's width in its own units.
	OverTime    bool
	Most, Width int
}

type bar struct {
	Label   string
	Count   int
	Percent float64 // of the longest
	// Of a column: where it stands in the drawing, which is columnHeight high.
	X, Y, Height int
}

// The columns of a figure over time.
const (
	columnHeight = 120
	columnPitch  = 10
)

func newFigure(title, unit string, counts map[string]int) figure {
	f := figure{Title: title, Unit: unit}
	for label, n := range counts {
		f.Bars = append(f.Bars, bar{Label: label, Count: n})
		f.Most = max(f.Most, n)
	}
	slices.SortFunc(f.Bars, func(a, b bar) int { return cmp.Or(b.Count-a.Count, strings.Compare(a.Label, b.Label)) })
	for i := range f.Bars {
		f.Bars[i].Percent = 100 * float64(f.Bars[i].Count) / float64(max(1, f.Most))
	}
	return f
}

// overTime draws counts by day or month. labels are all there are between the first and the
// last, so that nothing happening is seen too.
func overTime(title, unit string, counts map[string]int, labels []string) figure {
	f := figure{Title: title, Unit: unit, OverTime: true, Width: columnPitch * max(20, len(labels))}
	for _, label := range labels {
		f.Bars = append(f.Bars, bar{Label: label, Count: counts[label]})
		f.Most = max(f.Most, counts[label])
	}
	for i := range f.Bars {
		b := &f.Bars[i]
		b.X, b.Height = i*columnPitch, b.Count*columnHeight/max(1, f.Most)
		if b.Count > 0 {
			b.Height = max(1, b.Height)
		}
		b.Y = columnHeight - b.Height
	}
	return f
}

// First and Last are the ends of the time drawn.
func (f figure) First() string { return f.Bars[0].Label }

// Last is the other end.
func (f figure) Last() string { return f.Bars[len(f.Bars)-1].Label }

// span lists every day between the first and the last, or every month if the days are too
// many to draw, and counts by what it lists.
func span(days map[string]int) (labels []string, counts map[string]int, byMonth bool) {
	if len(days) == 0 {
		return nil, days, false
	}
	all := slices.Sorted(maps.Keys(days))
	first, _ := time.Parse(time.DateOnly, all[0])
	last, _ := time.Parse(time.DateOnly, all[len(all)-1])
	layout, step := time.DateOnly, func(t time.Time) time.Time { return t.AddDate(0, 0, 1) }
	if last.Sub(first) > 120*24*time.Hour {
		days, byMonth, layout = months(days), true, "2006-01"
		first = time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, time.UTC)
		step = func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }
	}
	for at := first; !at.After(last) && len(labels) < maxColumns; at = step(at) {
		labels = append(labels, at.Format(layout))
	}
	return labels, days, byMonth
}

// maxColumns bounds a drawing: a transaction may claim to be of any time.
const maxColumns = 240

// page writes the report for people. It reads the entries once.
func page(w io.Writer, r Report) error {
	words, ok := languages[cmp.Or(r.Language, "en")]
	if !ok {
		return fmt.Errorf("there is no language %q; there are en, zh", r.Language)
	}
	kinds, outcomes, days, why, asking := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	var rows []row
	total := 0
	for e, err := range r.Entries {
		if err != nil {
			return err
		}
		total++
		kinds[words.Term(string(e.Kind))]++
		outcomes[words.Term(string(e.Outcome))]++
		if !e.Claimed.IsZero() {
			days[e.Claimed.Format(time.DateOnly)]++
		}
		if e.Kind == projection.KindRequest {
			asking[r.name(e.Member)]++
			if e.Outcome == projection.Denied {
				why[words.Term(e.Reason)]++
			}
		}
		if total <= maxRows {
			rows = append(rows, row{Entry: e, Who: r.name(e.Member), CustodianName: r.name(e.Custodian), RequesterName: r.name(e.Requester)})
		}
	}
	figures := []figure{
		newFigure(words.Term("figure-kinds"), words.Term("unit-entries"), kinds),
		newFigure(words.Term("figure-outcomes"), words.Term("unit-entries"), outcomes),
	}
	if len(asking) > 0 {
		figures = append(figures, newFigure(words.Term("figure-requesters"), words.Term("unit-requests"), asking))
	}
	if len(why) > 0 {
		figures = append(figures, newFigure(words.Term("figure-denials"), words.Term("unit-requests"), why))
	}
	if labels, counts, byMonth := span(days); len(labels) > 0 {
		title := "figure-days"
		if byMonth {
			title = "figure-months"
		}
		figures = append(figures, overTime(words.Term(title), words.Term("unit-entries"), counts, labels))
	}
	return pageTemplate.Execute(w, map[string]any{
		"R": r, "W": words, "Figures": figures, "Rows": rows, "Total": total, "Left": total - len(rows),
		"Hash": fmt.Sprintf("%x", r.AsOf.Hash), "Newest": int64(r.AsOf.Blocks) - 1, "ColumnHeight": columnHeight,
	})
}

// row is an entry with names for people.
type row struct {
	history.Entry
	Who, CustodianName, RequesterName string
}

// Person reports whether somebody is behind the entry whom the ledger knows, by a digest or a key.
func (r row) Person() bool { return r.User != "" && r.UserRole != projection.Software }

// All reports whether the entry is about every class of data.
func (r row) All() bool { return len(r.Classes) == len(record.AllClasses.Codes()) }

func months(days map[string]int) map[string]int {
	out := map[string]int{}
	for day, n := range days {
		out[day[:7]] += n
	}
	return out
}
