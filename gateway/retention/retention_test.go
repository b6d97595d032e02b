package retention_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yitong/chaincode/record"
	"yitong/gateway/retention"
)

func at(s string) record.Instant {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return record.At(t)
}

func TestWhenPartsFallDue(t *testing.T) {
	p, err := retention.Parse(map[string]string{"laboratory": "15y", "document": "18mo"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name                   string
		part                   record.Part
		due, warned, erased    string
		warnedLate, erasedLate string
	}{
		{"from the end of the data", record.Part{Class: record.Laboratory, Period: record.Period{Start: at("2020-01-01"), End: at("2020-02-29")}},
			"2035-03-01", "2035-01-30", "2035-03-01", "2035-02-20", "2035-03-22"},
		{"from the submission where the data has no end", record.Part{Class: record.Laboratory, Period: record.Period{Start: at("2020-01-01")}},
			"2041-11-21", "2041-10-22", "2041-11-21", "2050-01-01", "2050-01-31"},
		{"from the submission where nothing is known", record.Part{Class: record.Document}, "2028-05-21", "2028-04-21", "2028-05-21", "2028-05-21", "2028-06-20"},
	} {
		due, ok := p.Due(c.part, at("2026-11-21"))
		if !ok || due != at(c.due) {
			t.Errorf("%s: due at %v, want %s", c.name, due, c.due)
		}
		if warn := p.Warn(due); warn != at(c.warned) {
			t.Errorf("%s: warned at %v, want %s", c.name, warn, c.warned)
		}
		if e := p.Erase(due, p.Warn(due)); e != at(c.erased) {
			t.Errorf("%s: erased at %v, want %s", c.name, e, c.erased)
		}
		if e := p.Erase(due, at(c.warnedLate)); e != at(c.erasedLate) {
			t.Errorf("%s: warned late, erased at %v, want %s", c.name, e, c.erasedLate)
		}
	}
	if _, ok := p.Due(record.Part{Class: record.Genomics}, at("2026-11-21")); ok {
		t.Error("a class that nobody decided on falls due")
	}
}

func TestEveryProblemOfAPolicyIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		spans   map[string]string
		warning string
		want    []string
	}{
		"all is well":            {map[string]string{"laboratory": "15y", "imaging": "30d"}, "30d", nil},
		"nothing is said":        {nil, "", nil},
		"an unknown class":       {map[string]string{"selfies": "1y"}, "", []string{"selfies"}},
		"no unit":                {map[string]string{"laboratory": "15"}, "", []string{"retention of laboratory", "15y or 30d"}},
		"no number":              {map[string]string{"laboratory": "y"}, "", []string{"15y or 30d"}},
		"nothing at all":         {map[string]string{"laboratory": ""}, "", []string{"15y or 30d"}},
		"a negative one":         {map[string]string{"laboratory": "-1y"}, "", []string{"15y or 30d"}},
		"one that overflows":     {map[string]string{"laboratory": "99999999999999999999y"}, "", []string{"15y or 30d"}},
		"none":                   {map[string]string{"laboratory": "0d"}, "", []string{"15y or 30d"}},
		"longer than a life":     {map[string]string{"laboratory": "151y"}, "", []string{"1d to 150y"}},
		"shorter than a warning": {map[string]string{"laboratory": "29d"}, "", []string{"shorter than the warning of 30d"}},
		"a warning too long":     {nil, "2y", []string{"1d to 1y"}},
		"a warning that isn't":   {nil, "soon", []string{"retention_warning"}},
		"two at once":            {map[string]string{"laboratory": "x", "imaging": "y"}, "", []string{"imaging", "laboratory"}},
	} {
		_, err := retention.Parse(c.spans, c.warning)
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q doesn't say %q", name, err, want)
			}
		}
	}
}

// Nothing is erased before it is due, nor before the warning has stood its time.
func TestNothingIsErasedUnwarned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		span := rapid.SampledFrom([]string{"15y", "7mo", "9w", "31d"}).Draw(t, "span")
		p, err := retention.Parse(map[string]string{"laboratory": span}, rapid.SampledFrom([]string{"", "1d", "2w", "1mo"}).Draw(t, "warning"))
		if err != nil {
			t.Fatal(err)
		}
		end := record.Instant(rapid.Int64Range(1, 4_000_000_000).Draw(t, "end"))
		warned := record.Instant(rapid.Int64Range(1, 8_000_000_000).Draw(t, "warned"))
		due, _ := p.Due(record.Part{Class: record.Laboratory, Period: record.Period{End: end}}, 5)
		erased := p.Erase(due, warned)
		if due <= end || erased < due || erased <= warned || p.Warn(due) >= due {
			t.Fatalf("ends %v, due %v, warned %v, erased %v", end, due, warned, erased)
		}
	})
}
