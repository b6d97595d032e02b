package report

import (
	"slices"
	"testing"

	"yitong/gateway/audit/projection"
)

func TestTheLanguagesHaveTheSameTerms(t *testing.T) {
	en := languages["en"]
	for code, l := range languages {
		if len(l.Columns) != len(en.Columns) || l.Code != code {
			t.Errorf("%s: %d columns, code %s", code, len(l.Columns), l.Code)
		}
		for _, pair := range [][2]language{{l, en}, {en, l}} {
			for term := range pair[0].words {
				if _, ok := pair[1].words[term]; !ok {
					t.Errorf("%s lacks %q", pair[1].Code, term)
				}
			}
		}
		for _, k := range projection.Kinds {
			if _, ok := l.words[string(k)]; !ok {
				t.Errorf("%s has no word for the kind %s", code, k)
			}
		}
		for _, o := range projection.Outcomes {
			if _, ok := l.words[string(o)]; !ok {
				t.Errorf("%s has no word for the outcome %s", code, o)
			}
		}
	}
	if !slices.Contains(Formats, "html") {
		t.Error("no format to read")
	}
}
