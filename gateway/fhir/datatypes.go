package fhir

import (
	"bytes"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// The data types of R4 (hl7.org/fhir/R4/datatypes.html) as far as this package writes them.
// What it receives is never read into these and written again: they'd lose what they don't know.

// Coding is a code of a system.
type Coding struct {
	System  string `json:"system,omitempty"`
	Code    string `json:"code,omitempty"`
	Display string `json:"display,omitempty"`
}

// Concept is a CodeableConcept.
type Concept struct {
	Coding []Coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}

// Identifier is an identifier in its namespace.
type Identifier struct {
	Use    string   `json:"use,omitempty"`
	Type   *Concept `json:"type,omitempty"`
	System string   `json:"system,omitempty"`
	Value  string   `json:"value,omitempty"`
}

// Reference names a resource.
type Reference struct {
	Reference  string      `json:"reference,omitempty"`
	Type       string      `json:"type,omitempty"`
	Identifier *Identifier `json:"identifier,omitempty"`
	Display    string      `json:"display,omitempty"`
}

// Period is a span of time, its end inclusive.
type Period struct {
	Start string `json:"start,omitempty"`
	End   string `json:"end,omitempty"`
}

// Meta is what is known of a resource rather than in it.
type Meta struct {
	VersionID   string   `json:"versionId,omitempty"`
	LastUpdated string   `json:"lastUpdated,omitempty"`
	Profile     []string `json:"profile,omitempty"`
	Security    []Coding `json:"security,omitempty"`
	Tag         []Coding `json:"tag,omitempty"`
}

// marshal writes what this package made; that always has a JSON.
func marshal(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic("fhir: " + err.Error())
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// instant writes a FHIR instant or dateTime, in UTC to the second; "" of no time.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}

// period writes a span of ours, whose end is exclusive, as FHIR's, whose end is inclusive.
func period(p *yitongv1.Period) *Period {
	if p.GetStart() == nil && p.GetEnd() == nil {
		return nil
	}
	out := &Period{Start: instant(timeOf(p.GetStart()))}
	if p.GetEnd() != nil {
		out.End = instant(p.GetEnd().AsTime().Add(-time.Second))
	}
	return out
}
