package report

import (
	"slices"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
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
		said := slices.Concat(record.AllClasses.Codes(), []string{ // what rules, actions and roles there are
			string(consent.Permitted), string(consent.Denied), string(consent.NothingSaid), string(consent.NotPurpose), string(consent.NotAction), string(consent.NotClass),
			string(consent.NotType), string(consent.NotData), string(consent.NotActor), string(consent.NotYet), string(consent.IsOver), string(consent.IsWithdrawn), string(consent.NotSure),
			string(consent.GlassBroken), string(consent.DenialBroken),
			string(access.Clinician), string(access.RecordsOfficer), string(access.ClaimsHandler), string(access.Auditor), string(access.Operator), string(access.PatientRole),
		})
		for _, one := range said {
			if _, ok := l.words[one]; !ok {
				t.Errorf("%s has no word for %s", code, one)
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
