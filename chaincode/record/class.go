package record

import (
	"iter"

	"yitong/chaincode/record/vocabulary"
)

// Class is the kind of data a part holds. One part has one class: it is the grain of "minimum necessary".
type Class uint8

// The data classes. The zero Class is none and never valid in a part.
const (
	Demographics Class = iota + 1
	Encounter
	Condition
	Allergy
	Medication
	Immunization
	Laboratory
	VitalSigns
	Imaging
	Procedure
	SocialHistory
	Genomics
	CarePlan
	Document
	Device
	Claim
	Administrative // directory data: practitioners, organisations, locations
	Other
)

var classes = vocabulary.New("data class", []string{
	Demographics: "demographics", Encounter: "encounter", Condition: "condition", Allergy: "allergy",
	Medication: "medication", Immunization: "immunization", Laboratory: "laboratory",
	VitalSigns: "vital-signs", Imaging: "imaging", Procedure: "procedure",
	SocialHistory: "social-history", Genomics: "genomics", CarePlan: "care-plan",
	Document: "document", Device: "device", Claim: "claim", Administrative: "administrative", Other: "other",
})

// AllClasses is the set of every class.
var AllClasses = Classes(classes.All())

// ParseClass reads a code. The error of an unknown one lists the known.
func ParseClass(code string) (Class, error) {
	n, err := classes.Parse(code)
	return Class(n), err
}

// String is the code; "" for a class that isn't one.
func (c Class) String() string { return classes.Code(uint8(c)) }

// MarshalText writes the code.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a code.
func (c *Class) UnmarshalText(text []byte) (err error) {
	*c, err = ParseClass(string(text))
	return err
}

// Classes is a set of classes. Its JSON is the array of codes, sorted.
type Classes uint32

// ClassesOf makes a set.
func ClassesOf(cs ...Class) Classes {
	var set Classes
	for _, c := range cs {
		set = set.With(c)
	}
	return set
}

// Has reports whether c is in the set.
func (s Classes) Has(c Class) bool { return s&(1<<c) != 0 && c != 0 }

// With is the set and c.
func (s Classes) With(c Class) Classes { return (s | 1<<c) & AllClasses }

// Union is what is in either.
func (s Classes) Union(o Classes) Classes { return s | o }

// Intersect is what is in both.
func (s Classes) Intersect(o Classes) Classes { return s & o }

// Without is what is in s and not in o.
func (s Classes) Without(o Classes) Classes { return s &^ o }

// Empty reports a set of nothing.
func (s Classes) Empty() bool { return s == 0 }

// Codes lists the codes, sorted.
func (s Classes) Codes() []string { return classes.List(uint64(s)) }

// All yields the classes in the order of their codes.
func (s Classes) All() iter.Seq[Class] {
	return func(yield func(Class) bool) {
		for _, n := range classes.Numbers() {
			if s.Has(Class(n)) && !yield(Class(n)) {
				return
			}
		}
	}
}

// MarshalJSON writes the sorted array of codes.
func (s Classes) MarshalJSON() ([]byte, error) { return classes.JSON(uint64(s)) }

// UnmarshalJSON reads an array of known codes, none twice.
func (s *Classes) UnmarshalJSON(doc []byte) error {
	set, err := classes.Read(doc)
	*s = Classes(set)
	return err
}
