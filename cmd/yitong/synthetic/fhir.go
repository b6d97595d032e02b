package synthetic

import "time"

// The data types of FHIR R4 (hl7.org/fhir/R4/datatypes.html), as far as this
// package writes them. Members stand in the order of the specification.

type bundle struct {
	ResourceType string  `json:"resourceType"`
	Type         string  `json:"type"`
	Entry        []entry `json:"entry"`
}

type entry struct {
	FullURL  string  `json:"fullUrl"`
	Resource any     `json:"resource"`
	Request  request `json:"request"`
}

type request struct {
	Method string `json:"method"`
	URL    string `json:"url"`
}

// head is what every resource begins with.
type head struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
	Meta         *meta  `json:"meta,omitempty"`
}

type meta struct {
	Security []coding `json:"security"`
}

type coding struct {
	System  string `json:"system"`
	Code    string `json:"code"`
	Display string `json:"display,omitempty"`
}

type concept struct {
	Coding []coding `json:"coding"`
	Text   string   `json:"text,omitempty"`
}

type reference struct {
	Reference string `json:"reference"`
	Display   string `json:"display,omitempty"`
}

type identifier struct {
	Use      string     `json:"use,omitempty"`
	Type     *concept   `json:"type,omitempty"`
	System   string     `json:"system"`
	Value    string     `json:"value"`
	Assigner *reference `json:"assigner,omitempty"`
}

type humanName struct {
	Use    string   `json:"use"`
	Text   string   `json:"text,omitempty"`
	Family string   `json:"family"`
	Given  []string `json:"given"`
}

type contactPoint struct {
	System string `json:"system"`
	Value  string `json:"value"`
	Use    string `json:"use,omitempty"`
}

type address struct {
	Use        string   `json:"use"`
	Line       []string `json:"line"`
	City       string   `json:"city"`
	State      string   `json:"state"`
	PostalCode string   `json:"postalCode"`
	Country    string   `json:"country"`
}

type period struct {
	Start string `json:"start"`
	End   string `json:"end,omitempty"`
}

type quantity struct {
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	System string  `json:"system"`
	Code   string  `json:"code"` // UCUM
}

type money struct {
	Value    float64 `json:"value"`
	Currency string  `json:"currency"`
}

type attachment struct {
	ContentType string `json:"contentType"`
	Data        []byte `json:"data"` // base64 in JSON, as FHIR wants it
	Title       string `json:"title,omitempty"`
	Creation    string `json:"creation,omitempty"`
}

const (
	snomed   = "http://snomed.info/sct"
	loinc    = "http://loinc.org"
	rxnorm   = "http://www.nlm.nih.gov/research/umls/rxnorm"
	cvx      = "http://hl7.org/fhir/sid/cvx"
	dicom    = "http://dicom.nema.org/resources/ontology/DCM"
	ucum     = "http://unitsofmeasure.org"
	actCode  = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	terms    = "http://terminology.hl7.org/CodeSystem/"
	currency = "CNY"
)

// begin is the head of a resource, with its sensitivity label where it has one.
func begin(kind, id, label string) head {
	h := head{ResourceType: kind, ID: id}
	if label != "" {
		h.Meta = &meta{Security: []coding{{System: actCode, Code: label}}}
	}
	return h
}

func coded(system, code, text string) concept {
	return concept{Coding: []coding{{System: system, Code: code, Display: text}}, Text: text}
}

func amount(value float64, unit string) quantity {
	return quantity{Value: value, Unit: unit, System: ucum, Code: unit}
}

func yuan(fen int) money { return money{Value: float64(fen) / 100, Currency: currency} }

func one[T any](v T) []T { return []T{v} }

func date(t time.Time) string    { return t.Format(time.DateOnly) }
func instant(t time.Time) string { return t.Format(time.RFC3339) }
