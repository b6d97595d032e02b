package synthetic

import "time"

type encounterResource struct {
	head
	Status      string        `json:"status"`
	Class       coding        `json:"class"`
	Type        []concept     `json:"type"`
	Subject     reference     `json:"subject"`
	Participant []participant `json:"participant"`
	Period      period        `json:"period"`
	Reason      []concept     `json:"reasonCode,omitempty"`
	Location    []location    `json:"location"`
	Provider    reference     `json:"serviceProvider"`
}

type participant struct {
	Individual reference `json:"individual"`
}

type location struct {
	Location reference `json:"location"`
}

// visit writes an ambulatory encounter of half an hour.
func (c *chart) visit(at time.Time, who reference, reason concept, label string) reference {
	id := c.id()
	return c.add("Encounter", id, "", encounterResource{
		head: begin("Encounter", id, label), Status: "finished",
		Class:       coding{System: actCode, Code: "AMB", Display: "ambulatory"},
		Type:        one(coded(snomed, "308335008", "Patient encounter")),
		Subject:     c.patient,
		Participant: one(participant{who}),
		Period:      period{Start: instant(at), End: instant(at.Add(30 * time.Minute))},
		Reason:      one(reason),
		Location:    one(location{c.ward}),
		Provider:    c.hospital,
	})
}

// checkUp is one of the regular visits: vital signs and HbA1c each time, the
// rest of the laboratory and the prescriptions once a year.
func (c *chart) checkUp(at time.Time) {
	visit := c.visit(at, c.physician, coded(snomed, "44054006", "Type 2 diabetes"), "")
	c.vitalSigns(at, visit)
	yearly := c.enrolled%3 == 0
	fee := 12_000 + c.rnd.IntN(6_000)
	results := []reference{c.hba1c(at, visit)}
	if yearly {
		results = append(results, c.lipids(at, visit)...)
		results = append(results, c.kidney(at, visit)...)
		c.prescribe(at, visit, "860975", "Metformin 500 mg, extended release", "One tablet with breakfast and one with dinner", 2, c.diabetes, "")
		c.prescribe(at, visit, "314076", "Lisinopril 10 mg", "One tablet in the morning", 1, c.hypertension, "")
		c.prescribe(at, visit, "617310", "Atorvastatin 20 mg", "One tablet in the evening", 1, reference{}, "")
		c.report(at, visit, "11502-2", "Laboratory report", results, "")
		fee += 31_000
	}
	c.bill(at, visit, "Diabetes check-up", fee, "")
	c.enrolled++
}

// injury is a fall with an X-ray, a cast and a letter.
func (c *chart) injury() {
	at := c.start.AddDate(1, 2+c.rnd.IntN(20), 0).Add(15 * time.Hour)
	reason := coded(snomed, "65966004", "Fracture of forearm")
	visit := c.visit(at, c.physician, reason, "")
	c.condition(at, reason, "resolved", visit, "")
	study := c.imaging(at.Add(20*time.Minute), visit)
	c.imagingReport(at.Add(40*time.Minute), visit, study)
	c.procedure(at.Add(time.Hour), visit, "274474001", "Immobilisation of forearm in a cast")
	c.letter(at.Add(2*time.Hour), visit)
	c.bill(at, visit, "Forearm fracture: imaging and cast", 86_000+c.rnd.IntN(20_000), "")
}

// mentalHealth is what the patient wants to keep from the insurer: label PSY.
func (c *chart) mentalHealth() {
	reason := coded(snomed, "35489007", "Depression")
	at := c.today.AddDate(-1, -c.rnd.IntN(10), 0).Add(10 * time.Hour)
	visit := c.visit(at, c.therapist, reason, "PSY")
	condition := c.condition(at, reason, "active", visit, "PSY")
	c.questionnaire(at, visit)
	c.prescribe(at, visit, "312941", "Sertraline 50 mg", "One tablet in the morning", 1, condition, "PSY")
	c.drugLevel(at.AddDate(0, 0, 21), visit)
	c.bill(at, visit, "Psychotherapy, first session", 48_000, "PSY")
}

// alcohol is a harmful use found on the way: label ETH.
func (c *chart) alcohol() {
	reason := coded(snomed, "15167005", "Harmful use of alcohol")
	at := c.today.AddDate(0, -8, -c.rnd.IntN(25)).Add(9 * time.Hour)
	visit := c.visit(at, c.therapist, reason, "ETH")
	c.condition(at, reason, "active", visit, "ETH")
	c.ethanol(at, visit)
	c.bill(at, visit, "Brief intervention, alcohol", 21_000, "ETH")
}

// preventive is what belongs to no single visit.
func (c *chart) preventive() {
	c.allergy(c.start, "294505008", "Allergy to amoxicillin", "high")
	c.allergy(c.start, "91935009", "Allergy to peanuts", "low")
	for day := c.start.AddDate(0, 2, 0); day.Before(c.today); day = day.AddDate(1, 0, 0) {
		c.immunize(day, "140", "Influenza, seasonal")
	}
	c.immunize(c.start.AddDate(0, 4, 0), "133", "Pneumococcal conjugate, 13-valent")
	c.smoking(c.start.AddDate(0, 0, 1))
}
