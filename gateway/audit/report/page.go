package report

import (
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

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
	"join": strings.Join,
}).ParseFS(files, "page.html.tmpl"))

// maxRows bounds the entries that an HTML report lists. The figures count all of them.
const maxRows = 5000

// figure is a chart and the table that says the same.
type figure struct {
	Title, Unit string
	Bars        []bar
	Height      int // of the drawing
}

type bar struct {
	Label string
	Count int
	// Of the drawing: where the bar is, in units of the viewBox.
	Y, Width int
}

const (
	barHeight = 22
	barWidth  = 420
)

func newFigure(title, unit string, counts map[string]int, byCount bool) figure {
	f := figure{Title: title, Unit: unit}
	most := 1
	for label, n := range counts {
		f.Bars = append(f.Bars, bar{Label: label, Count: n})
		most = max(most, n)
	}
	slices.SortFunc(f.Bars, func(a, b bar) int {
		if byCount && a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Label, b.Label)
	})
	for i := range f.Bars {
		f.Bars[i].Y, f.Bars[i].Width = i*barHeight, max(1, f.Bars[i].Count*barWidth/most)
	}
	f.Height = max(1, len(f.Bars)) * barHeight
	return f
}

// page writes the report for people. It reads the entries once.
func page(w io.Writer, r Report) error {
	words, ok := languages[cmp.Or(r.Language, "en")]
	if !ok {
		return fmt.Errorf("there is no language %q; there are en, zh", r.Language)
	}
	kinds, outcomes, days, why := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
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
		if e.Kind == projection.KindRequest && e.Outcome == projection.Denied {
			why[words.Term(e.Reason)]++
		}
		if total <= maxRows {
			rows = append(rows, row{Entry: e, Who: r.name(e.Member), CustodianName: r.name(e.Custodian), RequesterName: r.name(e.Requester)})
		}
	}
	figures := []figure{
		newFigure(words.Term("figure-kinds"), words.Term("entries"), kinds, true),
		newFigure(words.Term("figure-outcomes"), words.Term("entries"), outcomes, true),
	}
	if len(days) <= 400 {
		figures = append(figures, newFigure(words.Term("figure-days"), words.Term("entries"), days, false))
	} else {
		figures = append(figures, newFigure(words.Term("figure-months"), words.Term("entries"), months(days), false))
	}
	if len(why) > 0 {
		figures = append(figures, newFigure(words.Term("figure-denials"), words.Term("requests"), why, true))
	}
	return pageTemplate.Execute(w, map[string]any{
		"R": r, "W": words, "Figures": figures, "Rows": rows, "Total": total, "Left": total - len(rows),
		"Hash": fmt.Sprintf("%x", r.AsOf.Hash), "Newest": int64(r.AsOf.Blocks) - 1, "BarWidth": barWidth,
	})
}

// row is an entry with names for people.
type row struct {
	history.Entry
	Who, CustodianName, RequesterName string
}

func months(days map[string]int) map[string]int {
	out := map[string]int{}
	for day, n := range days {
		out[day[:7]] += n
	}
	return out
}
