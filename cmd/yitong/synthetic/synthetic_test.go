package synthetic_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"yitong/cmd/yitong/synthetic"
)

var today = time.Date(2026, 11, 21, 13, 37, 0, 0, time.UTC)

type parsed struct {
	ResourceType, Type string
	Entry              []struct {
		FullURL  string `json:"fullUrl"`
		Resource map[string]any
		Request  struct{ Method, URL string }
	}
}

func parse(t interface{ Fatal(...any) }, doc []byte) parsed {
	var p parsed
	dec := json.NewDecoder(bytes.NewReader(doc))
	if err := dec.Decode(&p); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestTheSameSeedAndDayGiveTheSameBytes(t *testing.T) {
	first := synthetic.Bundle(7, today)
	if !bytes.Equal(first, synthetic.Bundle(7, today.Add(5*time.Hour))) {
		t.Error("two runs on one day differ")
	}
	if bytes.Equal(first, synthetic.Bundle(8, today)) {
		t.Error("two seeds gave the same patient")
	}
	if bytes.Equal(first, synthetic.Bundle(7, today.AddDate(0, 0, 1))) {
		t.Error("two days gave the same dates")
	}
}

// required lists the elements of each resource that FHIR R4 demands (cardinality
// 1..1 or 1..*), and those without which it would say nothing.
var required = map[string][]string{
	"Patient":              {"identifier", "name", "gender", "birthDate"},
	"Coverage":             {"status", "beneficiary", "payor"},
	"Organization":         {"name"},
	"Practitioner":         {"name"},
	"Location":             {"name"},
	"Encounter":            {"status", "class", "subject", "period"},
	"Condition":            {"clinicalStatus", "code", "subject"},
	"Observation":          {"status", "category", "code", "subject", "effectiveDateTime"},
	"DiagnosticReport":     {"status", "code", "subject", "effectiveDateTime"},
	"MedicationRequest":    {"status", "intent", "medicationCodeableConcept", "subject"},
	"Procedure":            {"status", "code", "subject"},
	"Immunization":         {"status", "vaccineCode", "patient", "occurrenceDateTime"},
	"AllergyIntolerance":   {"code", "patient"},
	"ImagingStudy":         {"status", "subject", "series"},
	"DocumentReference":    {"status", "content"},
	"Claim":                {"status", "type", "use", "patient", "created", "provider", "priority", "insurance"},
	"ExplanationOfBenefit": {"status", "type", "use", "patient", "created", "insurer", "provider", "outcome", "insurance"},
}

func TestEveryPatientIsAWholeRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 5000).Draw(t, "day"))
		p := parse(t, synthetic.Bundle(rapid.Uint64().Draw(t, "seed"), day))
		if p.ResourceType != "Bundle" || p.Type != "transaction" {
			t.Fatalf("got a %s of type %s", p.ResourceType, p.Type)
		}
		if n := len(p.Entry); n < 60 || n > 200 {
			t.Fatalf("%d resources, want 60 to 200", n)
		}
		urls, seen := map[string]bool{}, map[string]int{}
		for _, e := range p.Entry {
			kind, id := e.Resource["resourceType"].(string), e.Resource["id"].(string)
			seen[kind]++
			if urls[e.FullURL] {
				t.Fatalf("%s stands twice", e.FullURL)
			}
			urls[e.FullURL] = true
			if e.FullURL != "urn:uuid:"+id || e.Request.Method != "POST" || e.Request.URL != kind {
				t.Fatalf("entry %s of %s/%s is inconsistent: %+v", e.FullURL, kind, id, e.Request)
			}
			for _, element := range required[kind] {
				if e.Resource[element] == nil {
					t.Fatalf("%s without %s", kind, element)
				}
			}
			if err := noneEmpty(e.Resource, kind); err != nil {
				t.Fatal(err)
			}
		}
		for kind := range required {
			if seen[kind] == 0 {
				t.Fatalf("no %s", kind)
			}
		}
		for kind := range seen {
			if required[kind] == nil {
				t.Fatalf("%s is not checked by this test", kind)
			}
		}
		if seen["Patient"] != 1 {
			t.Fatalf("%d patients", seen["Patient"])
		}
		for _, e := range p.Entry {
			walk(e.Resource, func(key string, v any) {
				if s, ok := v.(string); ok && key == "reference" && !urls[s] {
					t.Fatalf("reference %s leads nowhere", s)
				}
				if s, ok := v.(string); ok && len(s) > 10 && s[4] == '-' && s[10] == 'T' {
					if at, err := time.Parse(time.RFC3339, s); err != nil || at.After(day.AddDate(0, 0, 1)) {
						t.Fatalf("%s of %s: %s is no past instant", key, e.FullURL, s)
					}
				}
			})
		}
	})
}

func TestSensitiveDataIsLabelledInEveryClassThatCouldGiveItAway(t *testing.T) {
	found := map[string][]string{}
	for _, e := range parse(t, synthetic.Bundle(1, today)).Entry {
		label := ""
		if meta, ok := e.Resource["meta"].(map[string]any); ok {
			label = meta["security"].([]any)[0].(map[string]any)["code"].(string)
		}
		if label != "" {
			found[label] = append(found[label], e.Resource["resourceType"].(string))
		}
	}
	for _, label := range []string{"PSY", "ETH"} {
		for _, kind := range []string{"Condition", "Encounter", "Observation", "Claim", "ExplanationOfBenefit"} {
			if !slices.Contains(found[label], kind) {
				t.Errorf("no %s with the label %s: %v", kind, label, found[label])
			}
		}
	}
}

func TestIdentifiersHaveTheirShapeAndBelongToNobody(t *testing.T) {
	for seed := range uint64(50) {
		for _, e := range parse(t, synthetic.Bundle(seed, today)).Entry {
			if e.Resource["resourceType"] != "Patient" {
				continue
			}
			ids := e.Resource["identifier"].([]any)
			mrn, resident := ids[0].(map[string]any), ids[1].(map[string]any)
			if mrn["system"] != synthetic.MRNSystem || mrn["assigner"] == nil {
				t.Errorf("MRN %v lacks system or assigner", mrn)
			}
			number := resident["value"].(string)
			if len(number) != 18 || !strings.HasPrefix(number, "99") {
				t.Errorf("resident number %q: want 18 characters in an impossible area", number)
			}
			if birth := strings.ReplaceAll(e.Resource["birthDate"].(string), "-", ""); number[6:14] != birth {
				t.Errorf("resident number %q does not hold the birth date %s", number, birth)
			}
			if !mod11(number) {
				t.Errorf("resident number %q has a wrong check character", number)
			}
		}
	}
}

// mod11 checks ISO 7064 MOD 11-2 by its definition: the weighted sum is 1 mod 11.
func mod11(number string) bool {
	weights := []int{7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2, 1}
	sum := 0
	for i, ch := range number {
		digit := int(ch - '0')
		if ch == 'X' {
			digit = 10
		}
		sum += weights[i] * digit
	}
	return sum%11 == 1
}

func TestClinicalCodesHaveTheRightCheckDigit(t *testing.T) {
	for _, e := range parse(t, synthetic.Bundle(1, today)).Entry {
		walk(e.Resource, func(_ string, v any) {
			c, ok := v.(map[string]any)
			if !ok {
				return
			}
			code, _ := c["code"].(string)
			switch c["system"] {
			case "http://snomed.info/sct":
				if !verhoeff(code) {
					t.Errorf("SNOMED CT code %s (%v) has a wrong check digit", code, c["display"])
				}
			case "http://loinc.org":
				if !luhn(strings.ReplaceAll(code, "-", "")) {
					t.Errorf("LOINC code %s (%v) has a wrong check digit", code, c["display"])
				}
			}
		})
	}
}

func verhoeff(code string) bool {
	d := [10]string{"0123456789", "1234067895", "2340178956", "3401289567", "4012395678", "5987604321", "6598710432", "7659821043", "8765932104", "9876543210"}
	p := [8]string{"0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258"}
	check := byte('0')
	for i := range len(code) {
		check = d[check-'0'][p[i%8][code[len(code)-1-i]-'0']-'0']
	}
	return check == '0'
}

func luhn(digits string) bool {
	sum := 0
	for i := range len(digits) {
		n := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			n = n*2/10 + n*2%10
		}
		sum += n
	}
	return sum%10 == 0
}

// walk visits every value of a JSON tree under its member's name.
func walk(v any, visit func(key string, v any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			visit(k, child)
			walk(child, visit)
		}
	case []any:
		for _, child := range v {
			visit("", child)
			walk(child, visit)
		}
	}
}

// noneEmpty holds the resource to FHIR's rule that nothing is empty.
func noneEmpty(resource map[string]any, kind string) (err error) {
	walk(resource, func(key string, v any) {
		switch v := v.(type) {
		case nil:
			err = fmt.Errorf("%s: %s is null", kind, key)
		case string:
			if v == "" {
				err = fmt.Errorf("%s: %s is empty", kind, key)
			}
		case []any:
			if len(v) == 0 {
				err = fmt.Errorf("%s: %s is an empty array", kind, key)
			}
		case map[string]any:
			if len(v) == 0 {
				err = fmt.Errorf("%s: %s is an empty object", kind, key)
			}
		}
	})
	return err
}
