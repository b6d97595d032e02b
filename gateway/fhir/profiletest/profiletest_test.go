package profiletest_test

import (
	"slices"
	"strings"
	"testing"

	"yitong/gateway/fhir/profiletest"
)

const (
	submissionSet = `{"resourceType":"List","meta":{"profile":["https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.Minimal.SubmissionSet"]},
		"extension":[{"url":"https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId","valueIdentifier":{"value":"urn:oid:2.999.1"}}],
		"identifier":[{"type":{"coding":[{"system":"https://profiles.ihe.net/ITI/MHD/CodeSystem/IHE.MHD.MHDIdentifierType","code":"uniqueId"}]},"system":"urn:ietf:rfc:3986","value":"urn:oid:2.999.2"}],
		"status":"current","mode":"working","code":{"coding":[{"system":"https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes","code":"submissionset"}]},
		"date":"2026-11-21","entry":[{"item":{"reference":"DocumentReference/1"}}]}`
	disclosed = `{"resourceType":"AuditEvent","meta":{"profile":["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PrivacyDisclosure.Source"]},
		"type":{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110106"},"subtype":[{"system":"http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle","code":"disclose"}],
		"action":"R","recorded":"2026-11-21T12:00:00Z","outcome":"0","source":{"observer":{"display":"A"}},
		"agent":[{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110153"}]},"who":{"display":"A"},"requestor":false,"network":{"address":"a"}},
			{"type":{"coding":[{"system":"http://dicom.nema.org/resources/ontology/DCM","code":"110152"}]},"who":{"display":"B"},"requestor":true,"network":{"address":"b"}}],
		"entity":[{"what":{"reference":"Patient/1"},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"1"},"role":{"system":"http://terminology.hl7.org/CodeSystem/object-role","code":"1"}},
			{"what":{"reference":"Observation/1"},"type":{"system":"http://terminology.hl7.org/CodeSystem/audit-entity-type","code":"2"}}]}`
)

// What a profile asks for is missed where it isn't, and nothing is where it is.
func TestWhatAProfileAsksForIsMissed(t *testing.T) {
	for name, c := range map[string]struct{ doc, old, new, lacks string }{
		"a set that is one":             {submissionSet, "", "", ""},
		"a set of nobody":               {submissionSet, "ihe-sourceId", "ihe-intendedRecipient", "ihe-sourceId] 1..1"},
		"a set named by no OID":         {submissionSet, "urn:oid:2.999.2", "urn:uuid:2", "begins urn:oid:"},
		"another list":                  {submissionSet, `"submissionset"`, `"folder"`, "MHDLIST#submissionset"},
		"a set with a flag":             {submissionSet, `"item"`, `"flag":{"text":"x"},"item"`, "entry.flag 0..0"},
		"a set of no time":              {submissionSet, `"date":"2026-11-21",`, ``, "date 1..1"},
		"another's code":                {submissionSet, `MHDlistTypes"`, `Other"`, "MHDLIST#submissionset"},
		"a disclosure that is one":      {disclosed, "", "", ""},
		"a disclosure watched by B":     {disclosed, `"observer":{"display":"A"}`, `"observer":{"display":"B"}`, "same source.observer"},
		"a disclosure of a device":      {disclosed, `"code":"1"},"role"`, `"code":"2"},"role"`, "entity[type=ENT#1] 1..1"},
		"a disclosure to two":           {disclosed, `"110153"`, `"110152"`, "agent[type=DCM#110153] 1..1"},
		"a disclosure without a way":    {disclosed, `,"network":{"address":"b"}`, ``, "agent[type=DCM#110152].network 1..1"},
		"a disclosure that is imported": {disclosed, `"110106"`, `"110107"`, "type 1..1 is DCM#110106"},
		"a profile that isn't known":    {disclosed, "PrivacyDisclosure.Source", "Poke", "isn't in the table"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := strings.Replace(c.doc, c.old, c.new, 1)
			if c.old != "" && doc == c.doc {
				t.Fatal("nothing was changed")
			}
			claimed, lacks := profiletest.Check([]byte(doc))
			if len(claimed) != 1 || (c.lacks == "") != (len(lacks) == 0) || c.lacks != "" && !slices.ContainsFunc(lacks, func(l string) bool { return strings.Contains(l, c.lacks) }) {
				t.Errorf("of %v it lacks %q, want %q", claimed, lacks, c.lacks)
			}
		})
	}
}
