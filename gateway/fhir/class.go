package fhir

import (
	"strings"

	"yitong/chaincode/record"
)

// classOf is the data class of a document, by its DocumentReference: a class named as such
// (urn:yitong:data-class), else what category and then type say in LOINC, else what the
// media type says. One that says nothing is of class document; one that says what isn't
// known here is refused, for a wrong guess would show it to those who may not see it.
func classOf(d *element, at, media string) (record.Class, error) {
	var said []Coding
	for _, concept := range append(d.list("category"), d.get("type")) {
		said = append(said, codings(concept)...)
	}
	for _, k := range said {
		if k.System != classSystem {
			continue
		}
		class, err := record.ParseClass(k.Code)
		if err != nil {
			return 0, unprocessable(at+".category", "there is no such data class", strings.Join(record.AllClasses.Codes(), ", "))
		}
		return class, nil
	}
	for _, k := range said {
		if class, ok := documentClasses[k.Code]; ok && k.System == loinc {
			return class, nil
		}
	}
	switch {
	case media == "application/dicom":
		return record.Imaging, nil
	case len(said) == 0:
		return record.Document, nil
	}
	return 0, unprocessable(at+".category", "its data class can't be told from category and type",
		"a category of the system "+classSystem+" ("+strings.Join(record.AllClasses.Codes(), ", ")+"), or a LOINC document class (hl7.org/fhir/R4/valueset-document-classcodes.html)")
}

// documentClasses are the LOINC codes of hl7.org/fhir/R4/valueset-document-classcodes.html
// and of common document types.
var documentClasses = map[string]record.Class{
	"11369-6": record.Immunization, "11485-0": record.Procedure, "11486-8": record.Medication, "11488-4": record.Document,
	"11506-3": record.Document, "11543-6": record.Document, "15508-5": record.Procedure, "18726-0": record.Imaging,
	"18761-7": record.Document, "18842-5": record.Document, "26436-6": record.Laboratory, "26441-6": record.Procedure,
	"26442-4": record.Procedure, "27895-2": record.Procedure, "27896-0": record.Procedure, "27897-8": record.Procedure,
	"27898-6": record.Laboratory, "28570-0": record.Procedure, "28619-5": record.Procedure, "28634-4": record.Document,
	"29749-9": record.Procedure, "29750-7": record.Document, "29751-5": record.Document, "29752-3": record.Procedure,
	"34109-9": record.Document, "34117-2": record.Document, "34121-4": record.Procedure, "34122-2": record.Laboratory,
	"34133-9": record.Document, "34140-4": record.CarePlan, "34748-4": record.Document, "34775-7": record.Procedure,
	"47039-3": record.Document, "47042-7": record.Document, "47045-0": record.Document, "47046-8": record.Document,
	"47049-2": record.Document, "57017-6": record.Administrative, "57016-8": record.Administrative, "56445-0": record.Medication,
	"53576-5": record.VitalSigns, "56447-6": record.CarePlan, "18748-4": record.Imaging, "11502-2": record.Laboratory,
	"11526-1": record.Laboratory, "11504-8": record.Procedure, "57133-1": record.CarePlan, "57833-6": record.Medication,
	"10160-0": record.Medication, "48765-2": record.Allergy, "11450-4": record.Condition, "60591-5": record.Document,
	"51969-4": record.Genomics, "51845-6": record.Document, "68604-8": record.Imaging, "29762-2": record.SocialHistory,
	"8716-3": record.VitalSigns, "60593-1": record.Medication, "46264-8": record.Device, "64291-8": record.Claim,
}
