package record

import (
	"iter"
	"strings"

	"yitong/chaincode/record/vocabulary"
)

// Type is the form a part's content has: what FHIR R4 calls the class of content in
// Consent.provision.class (hl7.org/fhir/R4/valueset-consent-content-class.html), as far as a media
// type tells it. It follows from Part.MediaType, to which the leaf commits, and stands nowhere else:
// custodian, requester and auditor can't differ on it.
//
// A Class says what the data is about, a Type in what form it comes: a laboratory result can be a
// FHIR resource or a scanned page, and a patient may want the one shared without the other.
type Type uint8

// The record types. The zero Type is none; every part has one.
const (
	FHIR      Type = iota + 1 // HL7 FHIR resources
	CDA                       // HL7 clinical document (CDA, C-CDA)
	HL7v2                     // HL7 version 2 messages
	DICOM                     // studies, series and other DICOM objects
	PDF                       //
	Image                     // pictures that aren't DICOM: photographs, scanned pages
	Audio                     //
	Video                     //
	Text                      // plain or marked-up text and other structured text
	OtherType                 // any other form
)

var recordTypes = vocabulary.New("record type", []string{
	FHIR: "fhir", CDA: "cda", HL7v2: "hl7v2", DICOM: "dicom", PDF: "pdf",
	Image: "image", Audio: "audio", Video: "video", Text: "text", OtherType: "other",
})

// AllTypes is the set of every record type.
var AllTypes = Types(recordTypes.All())

// mediaTypes are those that name a form by themselves, lower-case; the rest go by their top level.
var mediaTypes = map[string]Type{
	"application/fhir+json": FHIR, "application/fhir+xml": FHIR, "application/fhir+ndjson": FHIR,
	"application/hl7-cda+xml": CDA, // as FHIR's own value set spells it
	"application/hl7-v2":      HL7v2, "application/hl7-v2+xml": HL7v2, "x-application/hl7-v2+er7": HL7v2,
	"application/dicom": DICOM, "application/dicom+json": DICOM, "application/dicom+xml": DICOM,
	"image/dicom-rle":  DICOM,
	"application/pdf":  PDF,
	"application/json": Text, "application/xml": Text, "application/rtf": Text,
}

// TypeOf is the record type of content of this media type (RFC 6838), parameters and case aside. What
// isn't known is other, which only a permit for other, or for any form, covers.
func TypeOf(mediaType string) Type {
	essence, _, _ := strings.Cut(mediaType, ";")
	essence = strings.ToLower(strings.TrimSpace(essence))
	if t, ok := mediaTypes[essence]; ok {
		return t
	}
	top, _, _ := strings.Cut(essence, "/")
	switch top {
	case "image":
		return Image
	case "audio":
		return Audio
	case "video":
		return Video
	case "text":
		return Text
	}
	return OtherType
}

// Type is the form of the part's content.
func (p Part) Type() Type { return TypeOf(p.MediaType) }

// ParseType reads a code. The error of an unknown one lists the known.
func ParseType(code string) (Type, error) {
	n, err := recordTypes.Parse(code)
	return Type(n), err
}

// String is the code; "" for a type that isn't one.
func (t Type) String() string { return recordTypes.Code(uint8(t)) }

// MarshalText writes the code.
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads a code.
func (t *Type) UnmarshalText(text []byte) (err error) {
	*t, err = ParseType(string(text))
	return err
}

// Types is a set of record types. Its JSON is the array of codes, sorted.
type Types uint16

// TypesOf makes a set.
func TypesOf(ts ...Type) Types {
	var set Types
	for _, t := range ts {
		set = set.With(t)
	}
	return set
}

// Has reports whether t is in the set.
func (s Types) Has(t Type) bool { return s&(1<<t) != 0 && t != 0 }

// With is the set and t.
func (s Types) With(t Type) Types { return (s | 1<<t) & AllTypes }

// Intersect is what is in both.
func (s Types) Intersect(o Types) Types { return s & o }

// Without is what is in s and not in o.
func (s Types) Without(o Types) Types { return s &^ o }

// Empty reports a set of nothing.
func (s Types) Empty() bool { return s == 0 }

// Codes lists the codes, sorted.
func (s Types) Codes() []string { return recordTypes.List(uint64(s)) }

// All yields the types in the order of their codes.
func (s Types) All() iter.Seq[Type] {
	return func(yield func(Type) bool) {
		for _, n := range recordTypes.Numbers() {
			if s.Has(Type(n)) && !yield(Type(n)) {
				return
			}
		}
	}
}

// MarshalJSON writes the sorted array of codes.
func (s Types) MarshalJSON() ([]byte, error) { return recordTypes.JSON(uint64(s)) }

// UnmarshalJSON reads an array of known codes, none twice.
func (s *Types) UnmarshalJSON(doc []byte) error {
	set, err := recordTypes.Read(doc)
	*s = Types(set)
	return err
}
