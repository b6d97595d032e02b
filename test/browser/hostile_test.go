package browser_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"yitong/gateway/audit/auditevent"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/report"
	"yitong/test/browser"
)

// payloads run, in a page that takes them for its own.
var payloads = []string{
	`<svg onload="window.ran=1">`, `"><img src=x onerror="window.ran=1">`, `<script>window.ran=1</script>`, `'-(window.ran=1)-'`,
	`</title></style><script>window.ran=1</script>`, `javascript:window.ran=1`, `{{html "<script>window.ran=1</script>"}}`, "`+(window.ran=1)+`",
}

// ran says what of the payloads came to life.
const ran = `(() => {
	const out = [];
	if (window.ran) out.push("it ran");
	for (const e of document.querySelectorAll("svg[onload], [onerror], script, iframe, object, embed, base, form, a[href^='javascript:' i]")) out.push("there is " + e.outerHTML.slice(0, 80));
	return out;
})()`

// A25: whatever stands in a text of an entry, the report shows it as text.
func TestNothingOfAnEntryRunsInAReport(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a browser")
	}
	ctx := browser.Start(t)
	look := func(t *testing.T, page []byte) (out []string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "page.html")
		if err := os.WriteFile(path, page, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.Navigate(browser.File(t, path))); err != nil {
			t.Fatal(err)
		}
		out, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](ran))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for _, payload := range payloads {
		var page bytes.Buffer
		if err := report.Write(&page, "html", hostileReport(payload)); err != nil {
			t.Fatal(err)
		}
		for _, found := range look(t, page.Bytes()) {
			t.Errorf("%s: %s", payload, found)
		}
	}
	t.Run("control: in a page that doesn't escape", func(t *testing.T) {
		for _, payload := range payloads[:3] {
			if found := look(t, []byte("<!doctype html><title>x</title><table><tr><td>"+payload+"</table>")); len(found) == 0 {
				t.Errorf("%s doesn't run: nothing is shown", payload)
			}
		}
	})
	t.Run("control: what escaped the template would still be stopped by the page's policy", func(t *testing.T) {
		var page bytes.Buffer
		if err := report.Write(&page, "html", hostileReport("MARK")); err != nil {
			t.Fatal(err)
		}
		found := look(t, []byte(strings.ReplaceAll(page.String(), "MARK", payloads[2])))
		if len(found) == 0 || found[0] == "it ran" {
			t.Errorf("found %q: the page has no policy of its own, or nothing was there to stop", found)
		}
	})
}

// hostileReport has the payload in every text.
func hostileReport(payload string) report.Report {
	var entries []history.Entry
	for _, kind := range projection.Kinds {
		var e history.Entry
		plant(reflect.ValueOf(&e).Elem(), payload)
		entries = append(entries, e)
		e.Kind = kind
		e.Outcome = projection.Denied
		entries = append(entries, e)
	}
	return report.Report{
		Source: auditevent.Source{Member: payload, Channel: payload}, Name: payload, Made: time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC),
		Language: "en", Wanted: [][2]string{{"filter-custodian", payload}, {payload, payload}},
		Names: map[string]string{payload: payload}, Gateways: map[string]string{payload: payload}, Entries: each(entries),
	}
}

// plant puts a text wherever one fits.
func plant(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				plant(v.Field(i), text)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			plant(v.Index(0), text)
		}
	}
}
