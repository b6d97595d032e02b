package browser_test

import (
	"bytes"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"yitong/gateway/audit/auditevent"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/audit/report"
	"yitong/test/browser"
)

// sheet is a page in a PDF (ISO 32000-1, 7.7.3.3).
var sheet = regexp.MustCompile(`/Type\s*/Page\b[^s]`)

// reported is an HTML report of a generated history, in a file.
func reported(t *testing.T, language string) string {
	t.Helper()
	d, err := projection.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "audit.db"), projectiontest.Chaincode)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Apply(t.Context(), projectiontest.Blocks(31, 600)...); err != nil {
		t.Fatal(err)
	}
	entries, _, asOf, err := history.History{Database: d}.Entries(t.Context(), history.Filter{}, history.Page{Size: 300})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := report.Write(&out, "html", report.Report{
		Source: auditevent.Source{Member: "RegulatorMSP", Channel: "yitong"}, Name: "regulator", AsOf: asOf,
		Made: time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC), Language: language, Wanted: [][2]string{{"filter-custodian", "HospitalAMSP"}},
		Names:   map[string]string{"InsurerMSP": "insurer", "HospitalAMSP": "hospital-a", "HospitalBMSP": "hospital-b"},
		Entries: each(entries),
	}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func each(entries []history.Entry) iter.Seq2[history.Entry, error] {
	return func(yield func(history.Entry, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// wrong finds what would make a person wince: a page wider than the window, a word of the
// table broken in two, columns over each other, a figure without anything in it.
const wrong = `(() => {
	const out = [];
	if (document.documentElement.scrollWidth > innerWidth) out.push("the page is " + document.documentElement.scrollWidth + " wide, the window " + innerWidth);
	for (const cell of document.querySelectorAll("th, td code, .t, .n")) {
		if (cell.getClientRects().length > 1) out.push("broken: " + cell.textContent);
		if (cell.scrollWidth > cell.clientWidth + 1 && getComputedStyle(cell).display !== "inline") out.push("too wide: " + cell.textContent);
	}
	const figures = document.querySelectorAll(".figure");
	if (figures.length < 4) out.push(figures.length + " figures");
	for (const f of figures) if (f.getBoundingClientRect().height < 60 || !f.querySelector("rect, .bar div")) out.push("an empty figure: " + f.textContent);
	return out;
})()`

func TestAReportIsReadableOnAScreenAndOnPaper(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a browser")
	}
	ctx := browser.Start(t)
	for _, language := range []string{"en", "zh"} {
		t.Run(language, func(t *testing.T) {
			path := reported(t, language)
			for _, width := range []int64{1100, 500} {
				if err := chromedp.Do(ctx, chromedp.EmulateViewport(width, 1400), chromedp.Navigate(browser.File(t, path))); err != nil {
					t.Fatal(err)
				}
				found, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](wrong))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range found {
					t.Errorf("%d wide: %s", width, f)
				}
			}
			if err := chromedp.Do(ctx, chromedp.EmulateViewport(1100, 1400)); err != nil {
				t.Fatal(err)
			}
			browser.Shot(t, ctx, "report-"+language)
			pdf := browser.Print(t, ctx, "report-"+language)
			if n := len(sheet.FindAll(pdf, -1)); n < 3 || n > 20 {
				t.Errorf("300 entries are printed on %d pages", n)
			}
		})
	}
}
