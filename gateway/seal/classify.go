package seal

import (
	"errors"

	"yitong/chaincode/record"
)

// entry is what decides into which part a Bundle entry goes.
type entry struct {
	class  record.Class
	labels record.Labels
	period record.Period
	dated  bool
}

func classify(raw []byte) (entry, error) {
	v, _ := tree(raw)
	e, ok := v.(map[string]any)
	if !ok {
		return entry{}, errors.New("an entry is a JSON object")
	}
	resource, ok := e["resource"].(map[string]any)
	if !ok {
		// A deletion or a query in a transaction: says something about the
		// patient, but not what.
		return entry{class: record.Other, labels: labelsIn(e, false)}, nil
	}
	kind, ok := resource["resourceType"].(string)
	if !ok || kind == "" {
		return entry{}, errors.New("the resource has no resourceType")
	}
	period, dated := periodOf(resource)
	return entry{class: classOf(kind, resource), labels: labelsIn(e, false), period: period, dated: dated}, nil
}

// classOf decides by resource type (hl7.org/fhir/R4/resourcelist.html), for
// Observation and DiagnosticReport by category. What isn't known is other, which
// only a permit for other covers: a mistake here hides data and shows none.
func classOf(kind string, resource map[string]any) record.Class {
	switch kind {
	case "Observation":
		return observation(resource)
	case "DiagnosticReport":
		return report(resource)
	}
	if c, ok := byType[kind]; ok {
		return c
	}
	return record.Other
}

var byType = map[string]record.Class{
	"Patient": record.Demographics, "RelatedPerson": record.Demographics, "Person": record.Demographics,

	"Encounter": record.Encounter, "EpisodeOfCare": record.Encounter, "Appointment": record.Encounter,
	"AppointmentResponse": record.Encounter,

	"Condition": record.Condition, "ClinicalImpression": record.Condition, "DetectedIssue": record.Condition,

	"AllergyIntolerance": record.Allergy, "AdverseEvent": record.Allergy,

	"Medication": record.Medication, "MedicationRequest": record.Medication,
	"MedicationStatement": record.Medication, "MedicationDispense": record.Medication,
	"MedicationAdministration": record.Medication,

	"Immunization": record.Immunization, "ImmunizationEvaluation": record.Immunization,
	"ImmunizationRecommendation": record.Immunization,

	"Specimen": record.Laboratory,

	"ImagingStudy": record.Imaging, "Media": record.Imaging, "BodyStructure": record.Imaging,

	"Procedure": record.Procedure,

	"FamilyMemberHistory": record.Genomics, "MolecularSequence": record.Genomics,

	"CarePlan": record.CarePlan, "CareTeam": record.CarePlan, "Goal": record.CarePlan,
	"ServiceRequest": record.CarePlan, "NutritionOrder": record.CarePlan, "RiskAssessment": record.CarePlan,

	"DocumentReference": record.Document, "DocumentManifest": record.Document, "Composition": record.Document,
	"Binary": record.Document, "QuestionnaireResponse": record.Document, "Communication": record.Document,

	"Device": record.Device, "DeviceUseStatement": record.Device, "DeviceMetric": record.Device,
	"DeviceRequest": record.Device,

	"Claim": record.Claim, "ClaimResponse": record.Claim, "ExplanationOfBenefit": record.Claim,
	"Coverage": record.Claim, "CoverageEligibilityRequest": record.Claim,
	"CoverageEligibilityResponse": record.Claim, "Account": record.Claim, "Invoice": record.Claim,
	"ChargeItem": record.Claim, "PaymentNotice": record.Claim, "PaymentReconciliation": record.Claim,

	"Practitioner": record.Administrative, "PractitionerRole": record.Administrative,
	"Organization": record.Administrative, "Location": record.Administrative,
	"HealthcareService": record.Administrative, "Endpoint": record.Administrative,
	"OrganizationAffiliation": record.Administrative,
}

// Where an Observation or report is in several categories, the first of these
// counts: the one fewer permits name.
var precedence = []record.Class{
	record.Genomics, record.SocialHistory, record.Imaging, record.Procedure, record.Laboratory, record.VitalSigns,
}

// observationCategory is hl7.org/fhir/R4/valueset-observation-category.html;
// survey, exam, therapy and activity tell nothing about the data and stay other.
var observationCategory = map[string]record.Class{
	"laboratory": record.Laboratory, "vital-signs": record.VitalSigns, "vital-sign": record.VitalSigns,
	"imaging": record.Imaging, "procedure": record.Procedure, "social-history": record.SocialHistory,
	"genomics": record.Genomics, "GE": record.Genomics, "LAB": record.Laboratory,
}

// observationCode decides for LOINC codes whose category is missing or says
// nothing: the FHIR R4 vital signs profile, and tobacco use.
var observationCode = map[string]record.Class{
	"85353-1": record.VitalSigns, "9279-1": record.VitalSigns, "8867-4": record.VitalSigns,
	"2708-6": record.VitalSigns, "8310-5": record.VitalSigns, "8302-2": record.VitalSigns,
	"9843-4": record.VitalSigns, "29463-7": record.VitalSigns, "39156-5": record.VitalSigns,
	"85354-9": record.VitalSigns, "8480-6": record.VitalSigns, "8462-4": record.VitalSigns,
	"72166-2": record.SocialHistory,
}

func observation(resource map[string]any) record.Class {
	if c := strongest(resource["category"], observationCategory); c != 0 {
		return c
	}
	if c := strongest(resource["code"], observationCode); c != 0 {
		return c
	}
	return record.Other
}

// reportCategory is v2 table 0074, diagnostic service section
// (terminology.hl7.org/CodeSystem-v2-0074.html).
var reportCategory = map[string]record.Class{
	"LAB": record.Laboratory, "CH": record.Laboratory, "HM": record.Laboratory, "MB": record.Laboratory,
	"MCB": record.Laboratory, "MYC": record.Laboratory, "BLB": record.Laboratory, "CG": record.Genomics,
	"CP": record.Laboratory, "CTH": record.Procedure, "CUS": record.Imaging, "CT": record.Imaging,
	"EC": record.Procedure, "EN": record.Procedure, "GE": record.Genomics, "ICU": record.VitalSigns,
	"IMM": record.Laboratory, "NMR": record.Imaging, "NMS": record.Imaging, "NRS": record.VitalSigns,
	"OUS": record.Imaging, "PF": record.Procedure, "RAD": record.Imaging, "RUS": record.Imaging,
	"RX": record.Imaging, "SP": record.Laboratory, "SR": record.Laboratory, "TX": record.Laboratory,
	"URN": record.Laboratory, "VR": record.Laboratory, "VUS": record.Imaging, "XRC": record.Imaging,
}

func report(resource map[string]any) record.Class {
	if c := strongest(resource["category"], reportCategory); c != 0 {
		return c
	}
	return record.Other
}

// strongest gives the class of a CodeableConcept, or a list of them, by the order
// of precedence; 0 for none.
func strongest(concepts any, table map[string]record.Class) record.Class {
	var found record.Classes
	eachObject(concepts, func(coding map[string]any) {
		if code, ok := coding["code"].(string); ok && table[code] != 0 {
			found = found.With(table[code])
		}
	})
	for _, c := range precedence {
		if found.Has(c) {
			return c
		}
	}
	return 0
}

// eachObject calls f for v and every object in it.
func eachObject(v any, f func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(v)
		for _, child := range v {
			eachObject(child, f)
		}
	case []any:
		for _, child := range v {
			eachObject(child, f)
		}
	}
}
