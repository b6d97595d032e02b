package seal

import (
	"time"

	"yitong/chaincode/record"
)

// Elements that say when what a resource tells happened, and, only where none of
// them is there, when it was written down.
var (
	clinicalDates = []string{
		"effectiveDateTime", "effectivePeriod", "effectiveInstant", "onsetDateTime", "onsetPeriod",
		"abatementDateTime", "abatementPeriod", "performedDateTime", "performedPeriod",
		"occurrenceDateTime", "occurrencePeriod", "identifiedDateTime", "identifiedPeriod", "lastOccurrence",
		"period", "billablePeriod", "servicedDate", "servicedPeriod", "started", "start", "end", "startDate",
		"whenPrepared", "whenHandedOver", "executionPeriod", "timingDateTime", "timingPeriod", "createdPeriod",
		"createdDateTime",
	}
	recordedDates = []string{
		"recordedDate", "recorded", "issued", "authoredOn", "authored", "dateAsserted", "dateWritten",
		"receivedTime", "sent", "received", "created", "date",
	}
)

// undatedTypes hold dates that say nothing about when the data is from.
var undatedTypes = map[string]bool{
	"Patient": true, "RelatedPerson": true, "Person": true, "Practitioner": true, "PractitionerRole": true,
	"Organization": true, "Location": true, "HealthcareService": true, "Device": true,
}

// periodOf is the time that a resource tells about; false where any of its dates
// can't be read or there is none.
func periodOf(resource map[string]any) (record.Period, bool) {
	if kind, _ := resource["resourceType"].(string); undatedTypes[kind] {
		return record.Period{}, false
	}
	for _, elements := range [][]string{clinicalDates, recordedDates} {
		var all record.Period
		found := false
		for _, name := range elements {
			v, ok := resource[name]
			if !ok {
				continue
			}
			p, ok := readPeriod(v)
			if !ok {
				return record.Period{}, false
			}
			if found {
				p = span(all, p)
			}
			all, found = p, true
		}
		if found {
			return all, true
		}
	}
	return record.Period{}, false
}

// readPeriod reads a FHIR dateTime or Period; a missing end is open.
func readPeriod(v any) (record.Period, bool) {
	switch v := v.(type) {
	case string:
		return readDate(v)
	case map[string]any:
		var p record.Period
		start, hasStart := v["start"].(string)
		end, hasEnd := v["end"].(string)
		if hasStart {
			d, ok := readDate(start)
			if !ok {
				return record.Period{}, false
			}
			p.Start = d.Start
		}
		if hasEnd {
			d, ok := readDate(end)
			if !ok {
				return record.Period{}, false
			}
			p.End = d.End
		}
		return p, (hasStart || hasEnd) && p.Valid()
	}
	return record.Period{}, false
}

// readDate reads a FHIR dateTime (hl7.org/fhir/R4/datatypes.html#dateTime) as
// the time it covers: a year, a month, a day or a second. Dates without a time
// have no time zone; they count from midnight UTC.
func readDate(s string) (record.Period, bool) {
	for _, f := range []struct {
		layout              string
		years, months, days int
	}{
		{"2006", 1, 0, 0},
		{"2006-01", 0, 1, 0},
		{"2006-01-02", 0, 0, 1},
	} {
		if t, err := time.Parse(f.layout, s); err == nil {
			return between(t, t.AddDate(f.years, f.months, f.days))
		}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return record.Period{}, false
	}
	return between(t, t.Add(time.Second))
}

func between(start, end time.Time) (record.Period, bool) {
	p := record.Period{Start: record.At(start), End: record.At(end)}
	// 0 is the instant that means none: take a second more instead.
	if p.Start == 0 {
		p.Start = -1
	}
	if p.End == 0 {
		p.End = 1
	}
	// A period that its own JSON can't carry is no better than none.
	if _, err := p.Start.MarshalText(); err != nil {
		return record.Period{}, false
	}
	if _, err := p.End.MarshalText(); err != nil {
		return record.Period{}, false
	}
	return p, true
}

// span is the shortest period that holds both.
func span(a, b record.Period) record.Period {
	s := record.Period{}
	if a.Start != 0 && b.Start != 0 {
		s.Start = min(a.Start, b.Start)
	}
	if a.End != 0 && b.End != 0 {
		s.End = max(a.End, b.End)
	}
	return s
}
