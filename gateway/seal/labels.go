package seal

import (
	"strings"

	"yitong/chaincode/record"
)

// Systems of the codings that say something about sensitivity.
const (
	actCode         = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	confidentiality = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
	snomed          = "http://snomed.info/sct"
	loinc           = "http://loinc.org"
	icd10           = "http://hl7.org/fhir/sid/icd-10"
	icd10cm         = "http://hl7.org/fhir/sid/icd-10-cm"
)

// labelsIn collects the sensitivity labels of everything in v: security labels
// wherever they are (meta.security, DocumentReference.securityLabel, contained
// resources), and codings that the table of sensitive codes knows. security
// says that v is, or is within, a meta element.
//
// A sensitivity code in meta.security that this program doesn't know becomes R:
// somebody marked the resource as more sensitive, so it isn't normal.
func labelsIn(v any, security bool) record.Labels {
	var set record.Labels
	switch v := v.(type) {
	case []any:
		for _, child := range v {
			set = set.Union(labelsIn(child, security))
		}
	case map[string]any:
		set = ofCoding(v, security)
		if c, ok := v["confidentiality"].(string); ok { // Composition.confidentiality
			set = set.Union(ofConfidentiality(c))
		}
		for name, child := range v {
			set = set.Union(labelsIn(child, security || name == "meta" || name == "securityLabel"))
		}
	}
	return set
}

func ofCoding(v map[string]any, security bool) record.Labels {
	system, _ := v["system"].(string)
	code, _ := v["code"].(string)
	if code == "" {
		return 0
	}
	switch system {
	case confidentiality:
		return ofConfidentiality(code)
	case actCode:
		if l, err := record.ParseLabel(code); err == nil {
			return record.LabelsOf(l)
		}
		if security {
			return record.LabelsOf(record.R)
		}
	case icd10, icd10cm:
		return ofICD(code)
	case snomed, loinc:
		return sensitive[system][code]
	}
	return 0
}

// ofConfidentiality: U, L, M and N are not above normal (v3-Confidentiality).
func ofConfidentiality(code string) record.Labels {
	switch code {
	case "R":
		return record.LabelsOf(record.R)
	case "V":
		return record.LabelsOf(record.V)
	}
	return 0
}

// ofICD looks a code up by its category and, where the table is finer, its
// longer prefixes.
func ofICD(code string) record.Labels {
	code = strings.ToUpper(strings.ReplaceAll(code, ".", ""))
	var set record.Labels
	for n := 1; n <= len(code) && n <= 5; n++ {
		set = set.Union(sensitiveICD[code[:n]])
	}
	return set
}
