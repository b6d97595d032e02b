package consent_test

import (
	"fmt"
	"testing"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
)

func TestADecisionTakesAtMostTwoAllocations(t *testing.T) {
	at := day(today)
	check := func(name string, cs []consent.Consent, r consent.Request) {
		if n := testing.AllocsPerRun(100, func() { sink = consent.Evaluate(cs, r, at) }); n > 2 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	for _, s := range situations() {
		check(s.name, s.consents, s.request)
	}
	var many []consent.Consent
	for i := range 10 {
		many = append(many, consent.Consent{
			ID: fmt.Sprintf("%032x", 10-i), Version: 1, Status: consent.Active,
			Provision: permit(except(deny(labelled(record.HIV)), deny(classes(record.Genomics)))),
		})
	}
	check("ten consents with thirty provisions that match", many, claim(lab, gen))
}
