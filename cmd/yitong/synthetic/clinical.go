package synthetic

import (
	"fmt"
	"math/big"
	"strings"
	"time"
)

type conditionResource struct {
	head
	Clinical     concept    `json:"clinicalStatus"`
	Verification concept    `json:"verificationStatus"`
	Category     []concept  `json:"category"`
	Code         concept    `json:"code"`
	Subject      reference  `json:"subject"`
	Encounter    *reference `json:"encounter,omitempty"`
	Onset        string     `json:"onsetDateTime"`
	Recorded     string     `json:"recordedDate"`
}

func (c *chart) condition(at time.Time, code concept, status string, visit reference, label string) reference {
	id := c.id()
	r := conditionResource{
		head: begin("Condition", id, label), Clinical: coded(terms+"condition-clinical", status, ""),
		Verification: coded(terms+"condition-ver-status", "confirmed", ""),
		Category:     one(coded(terms+"condition-category", "encounter-diagnosis", "")),
		Code:         code, Subject: c.patient, Onset: date(at), Recorded: date(at),
	}
	if visit.Reference != "" {
		r.Encounter = &visit
	}
	return c.add("Condition", id, code.Text, r)
}

// diagnoses are those of the regular care.
func (c *chart) diagnoses() {
	c.diabetes = c.condition(c.start, coded(snomed, "44054006", "Type 2 diabetes"), "active", reference{}, "")
	c.hypertension = c.condition(c.start, coded(snomed, "38341003", "High blood pressure"), "active", reference{}, "")
	c.condition(c.start, coded(snomed, "55822004", "High blood lipids"), "active", reference{}, "")
}

type medicationRequestResource struct {
	head
	Status     string      `json:"status"`
	Intent     string      `json:"intent"`
	Medication concept     `json:"medicationCodeableConcept"`
	Subject    reference   `json:"subject"`
	Encounter  reference   `json:"encounter"`
	Authored   string      `json:"authoredOn"`
	Requester  reference   `json:"requester"`
	Reason     []reference `json:"reasonReference,omitempty"`
	Dosage     []dosage    `json:"dosageInstruction"`
}

type dosage struct {
	Text   string `json:"text"`
	Timing timing `json:"timing"`
}

type timing struct {
	Repeat repeat `json:"repeat"`
}

type repeat struct {
	Frequency  int    `json:"frequency"`
	Period     int    `json:"period"`
	PeriodUnit string `json:"periodUnit"`
}

func (c *chart) prescribe(at time.Time, visit reference, code, text, how string, daily int, why reference, label string) {
	id := c.id()
	r := medicationRequestResource{
		head: begin("MedicationRequest", id, label), Status: "active", Intent: "order",
		Medication: coded(rxnorm, code, text), Subject: c.patient, Encounter: visit,
		Authored: instant(at.Add(25 * time.Minute)), Requester: c.physician,
		Dosage: one(dosage{how, timing{repeat{daily, 1, "d"}}}),
	}
	if why.Reference != "" {
		r.Reason = one(why)
	}
	if c.today.Sub(at) > 365*24*time.Hour {
		r.Status = "completed"
	}
	c.add("MedicationRequest", id, text, r)
}

type procedureResource struct {
	head
	Status    string    `json:"status"`
	Code      concept   `json:"code"`
	Subject   reference `json:"subject"`
	Encounter reference `json:"encounter"`
	Performed period    `json:"performedPeriod"`
}

func (c *chart) procedure(at time.Time, visit reference, code, text string) {
	id := c.id()
	c.add("Procedure", id, text, procedureResource{
		head: begin("Procedure", id, ""), Status: "completed", Code: coded(snomed, code, text),
		Subject: c.patient, Encounter: visit,
		Performed: period{Start: instant(at), End: instant(at.Add(25 * time.Minute))},
	})
}

type immunizationResource struct {
	head
	Status     string    `json:"status"`
	Vaccine    concept   `json:"vaccineCode"`
	Patient    reference `json:"patient"`
	Occurrence string    `json:"occurrenceDateTime"`
	Primary    bool      `json:"primarySource"`
	Lot        string    `json:"lotNumber"`
}

func (c *chart) immunize(day time.Time, code, text string) {
	id := c.id()
	c.add("Immunization", id, text, immunizationResource{
		head: begin("Immunization", id, ""), Status: "completed", Vaccine: coded(cvx, code, text),
		Patient: c.patient, Occurrence: date(day), Primary: true, Lot: fmt.Sprintf("L%05d", c.rnd.IntN(100_000)),
	})
}

type allergyResource struct {
	head
	Clinical     concept   `json:"clinicalStatus"`
	Verification concept   `json:"verificationStatus"`
	Criticality  string    `json:"criticality"`
	Code         concept   `json:"code"`
	Patient      reference `json:"patient"`
	Recorded     string    `json:"recordedDate"`
}

func (c *chart) allergy(day time.Time, code, text, criticality string) {
	id := c.id()
	c.add("AllergyIntolerance", id, text, allergyResource{
		head: begin("AllergyIntolerance", id, ""), Clinical: coded(terms+"allergyintolerance-clinical", "active", ""),
		Verification: coded(terms+"allergyintolerance-verification", "confirmed", ""),
		Criticality:  criticality, Code: coded(snomed, code, text), Patient: c.patient, Recorded: date(day),
	})
}

type imagingStudyResource struct {
	head
	Identifier []identifier `json:"identifier"`
	Status     string       `json:"status"`
	Subject    reference    `json:"subject"`
	Encounter  reference    `json:"encounter"`
	Started    string       `json:"started"`
	Series     []series     `json:"series"`
}

type series struct {
	UID      string     `json:"uid"`
	Modality coding     `json:"modality"`
	BodySite coding     `json:"bodySite"`
	Started  string     `json:"started"`
	Instance []instance `json:"instance"`
}

type instance struct {
	UID      string `json:"uid"`
	SOPClass coding `json:"sopClass"`
	Number   int    `json:"number"`
	Title    string `json:"title"`
}

func (c *chart) imaging(at time.Time, visit reference) reference {
	id := c.id()
	xray := coding{System: "urn:ietf:rfc:3986", Code: "urn:oid:1.2.840.10008.5.1.4.1.1.1.1", Display: "Digital X-ray"}
	return c.add("ImagingStudy", id, "X-ray of the forearm", imagingStudyResource{
		head:       begin("ImagingStudy", id, ""),
		Identifier: one(identifier{Use: "official", System: "urn:dicom:uid", Value: "urn:oid:" + dicomUID(id)}),
		Status:     "available", Subject: c.patient, Encounter: visit, Started: instant(at),
		Series: one(series{
			UID: dicomUID(c.id()), Modality: coding{System: dicom, Code: "DX", Display: "Digital radiography"},
			BodySite: coding{System: snomed, Code: "14975008", Display: "Forearm"}, Started: instant(at),
			Instance: []instance{
				{dicomUID(c.id()), xray, 1, "front"},
				{dicomUID(c.id()), xray, 2, "side"},
			},
		}),
	})
}

// dicomUID derives a DICOM UID from a UUID (DICOM PS3.5 annex B.2).
func dicomUID(uuid string) string {
	n, _ := new(big.Int).SetString(strings.ReplaceAll(uuid, "-", ""), 16)
	return "2.25." + n.String()
}

type documentReferenceResource struct {
	head
	Status  string       `json:"status"`
	Type    concept      `json:"type"`
	Subject reference    `json:"subject"`
	Date    string       `json:"date"`
	Author  []reference  `json:"author"`
	Content []content    `json:"content"`
	Context visitContext `json:"context"`
}

type content struct {
	Attachment attachment `json:"attachment"`
}

type visitContext struct {
	Encounter []reference `json:"encounter"`
	Period    period      `json:"period"`
}

func (c *chart) letter(at time.Time, visit reference) {
	id := c.id()
	text := fmt.Sprintf("Letter of %s\n\nDear colleague,\n\n%s fell at home and broke the left forearm. The fracture is not displaced;\n"+
		"a cast was applied and is to stay for %d weeks. 建议四周后复查X光片。\n\nWith kind regards\n%s\n",
		date(at), c.patient.Display, 4+c.rnd.IntN(3), c.physician.Display)
	c.add("DocumentReference", id, "Letter", documentReferenceResource{
		head: begin("DocumentReference", id, ""), Status: "current",
		Type: coded(loinc, "11488-4", "Consultation note"), Subject: c.patient, Date: instant(at), Author: one(c.physician),
		Content: one(content{attachment{ContentType: "text/plain; charset=utf-8", Data: []byte(text), Title: "Letter", Creation: instant(at)}}),
		Context: visitContext{Encounter: one(visit), Period: period{Start: instant(at), End: instant(at)}},
	})
}
