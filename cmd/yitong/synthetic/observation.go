package synthetic

import (
	"math"
	"time"
)

type observationResource struct {
	head
	Status    string         `json:"status"`
	Category  []concept      `json:"category"`
	Code      concept        `json:"code"`
	Subject   reference      `json:"subject"`
	Encounter *reference     `json:"encounter,omitempty"`
	Effective string         `json:"effectiveDateTime"`
	Issued    string         `json:"issued"`
	Quantity  *quantity      `json:"valueQuantity,omitempty"`
	Concept   *concept       `json:"valueCodeableConcept,omitempty"`
	Integer   *int           `json:"valueInteger,omitempty"`
	Reference []rangeOfValue `json:"referenceRange,omitempty"`
	Component []component    `json:"component,omitempty"`
}

type rangeOfValue struct {
	Text string `json:"text"`
}

type component struct {
	Code     concept  `json:"code"`
	Quantity quantity `json:"valueQuantity"`
}

// observe files an observation of a category; set fills in its value.
func (c *chart) observe(at time.Time, visit reference, category, code, text, label string, set func(*observationResource)) reference {
	id := c.id()
	o := observationResource{
		head: begin("Observation", id, label), Status: "final",
		Category: one(coded(terms+"observation-category", category, "")),
		Code:     coded(loinc, code, text), Subject: c.patient,
		Effective: instant(at), Issued: instant(at.Add(90 * time.Minute)),
	}
	if visit.Reference != "" {
		o.Encounter = &visit
	}
	set(&o)
	return c.add("Observation", id, text, o)
}

// measure is an observation with one number; normal is the reference range.
func (c *chart) measure(at time.Time, visit reference, category, code, text string, value float64, unit, normal, label string) reference {
	return c.observe(at, visit, category, code, text, label, func(o *observationResource) {
		o.Quantity = new(amount(value, unit))
		if normal != "" {
			o.Reference = one(rangeOfValue{normal})
		}
	})
}

func (c *chart) vitalSigns(at time.Time, visit reference) {
	c.observe(at, visit, "vital-signs", "85354-9", "Blood pressure", "", func(o *observationResource) {
		o.Component = []component{
			{coded(loinc, "8480-6", "Systolic blood pressure"), amount(float64(124+c.rnd.IntN(34)), "mm[Hg]")},
			{coded(loinc, "8462-4", "Diastolic blood pressure"), amount(float64(72+c.rnd.IntN(24)), "mm[Hg]")},
		}
	})
	c.measure(at, visit, "vital-signs", "29463-7", "Body weight", c.between(71, 84), "kg", "", "")
}

// hba1c falls from badly to fairly controlled over the visits.
func (c *chart) hba1c(at time.Time, visit reference) reference {
	level := 6.7 + 2.4*math.Exp(-float64(c.enrolled)/5) + c.between(-0.3, 0.3)
	return c.measure(at, visit, "laboratory", "4548-4", "HbA1c", math.Round(level*10)/10, "%", "4.0 to 5.6 %", "")
}

func (c *chart) lipids(at time.Time, visit reference) []reference {
	line := func(code, text string, lo, hi float64, normal string) reference {
		return c.measure(at, visit, "laboratory", code, text, math.Round(c.between(lo, hi)), "mg/dL", normal, "")
	}
	return []reference{
		line("2093-3", "Total cholesterol", 168, 238, "below 200 mg/dL"),
		line("2571-8", "Triglycerides", 110, 210, "below 150 mg/dL"),
		line("2085-9", "HDL cholesterol", 38, 62, "above 40 mg/dL"),
		line("13457-7", "LDL cholesterol, calculated", 84, 152, "below 100 mg/dL"),
	}
}

func (c *chart) kidney(at time.Time, visit reference) []reference {
	return []reference{
		c.measure(at, visit, "laboratory", "2160-0", "Creatinine", c.between(0.7, 1.3), "mg/dL", "0.7 to 1.3 mg/dL", ""),
		c.measure(at, visit, "laboratory", "2345-7", "Glucose", math.Round(c.between(98, 176)), "mg/dL", "70 to 99 mg/dL", ""),
	}
}

func (c *chart) smoking(at time.Time) {
	c.observe(at, reference{}, "social-history", "72166-2", "Tobacco smoking status", "", func(o *observationResource) {
		o.Concept = new(coded(snomed, "8517006", "Ex-smoker"))
	})
}

func (c *chart) questionnaire(at time.Time, visit reference) {
	c.observe(at, visit, "survey", "44261-6", "PHQ-9 total score", "PSY", func(o *observationResource) {
		o.Integer = new(10 + c.rnd.IntN(9))
	})
}

// drugLevel is laboratory work that gives a psychiatric treatment away.
func (c *chart) drugLevel(at time.Time, visit reference) {
	c.measure(at, visit, "laboratory", "34693-2", "Sertraline level", math.Round(c.between(12, 90)), "ng/mL", "10 to 150 ng/mL", "PSY")
}

func (c *chart) ethanol(at time.Time, visit reference) {
	c.measure(at, visit, "laboratory", "5643-2", "Ethanol in serum", math.Round(c.between(60, 190)), "mg/dL", "none", "ETH")
}

type diagnosticReportResource struct {
	head
	Status     string      `json:"status"`
	Category   []concept   `json:"category"`
	Code       concept     `json:"code"`
	Subject    reference   `json:"subject"`
	Encounter  reference   `json:"encounter"`
	Effective  string      `json:"effectiveDateTime"`
	Issued     string      `json:"issued"`
	Performer  []reference `json:"performer"`
	Result     []reference `json:"result,omitempty"`
	Study      []reference `json:"imagingStudy,omitempty"`
	Conclusion string      `json:"conclusion,omitempty"`
}

func (c *chart) report(at time.Time, visit reference, code, text string, results []reference, label string) {
	id := c.id()
	c.add("DiagnosticReport", id, text, diagnosticReportResource{
		head: begin("DiagnosticReport", id, label), Status: "final",
		Category: one(coded(terms+"v2-0074", "LAB", "Laboratory")), Code: coded(loinc, code, text),
		Subject: c.patient, Encounter: visit, Effective: instant(at), Issued: instant(at.Add(2 * time.Hour)),
		Performer: one(c.hospital), Result: results,
	})
}

func (c *chart) imagingReport(at time.Time, visit, study reference) {
	id := c.id()
	c.add("DiagnosticReport", id, "X-ray report", diagnosticReportResource{
		head: begin("DiagnosticReport", id, ""), Status: "final",
		Category: one(coded(terms+"v2-0074", "RAD", "Radiology")), Code: coded(loinc, "18748-4", "Diagnostic imaging report"),
		Subject: c.patient, Encounter: visit, Effective: instant(at), Issued: instant(at.Add(time.Hour)),
		Performer: one(c.hospital), Study: one(study), Conclusion: "Fracture of the distal radius, not displaced.",
	})
}
