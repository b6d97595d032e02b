package record

import (
	"iter"

	"yitong/chaincode/record/vocabulary"
)

// Label marks a part as more sensitive than health data is anyhow. The codes are HL7's:
// sensitivity from v3-ActCode (InformationSensitivityPolicy), confidentiality from v3-Confidentiality.
// Confidentiality N (normal) is the absence of R and V.
type Label uint8

// The labels. The zero Label is none.
const (
	ETH      Label = iota + 1 // substance abuse
	ETHUD                     // alcohol use disorder
	OPIOIDUD                  // opioid use disorder
	SUD                       // substance use disorder
	PSY                       // psychiatry disorder
	PSYTHPN                   // psychotherapy notes
	BH                        // behavioural health
	COGN                      // cognitive disability
	DVD                       // developmental disability
	EMOTDIS                   // emotional disturbance
	MH                        // mental health
	HIV                       // HIV/AIDS
	STD                       // sexually transmitted disease
	SEX                       // sexuality and reproductive health
	SDV                       // sexual assault, abuse or domestic violence
	VIO                       // violence
	MST                       // military sexual trauma
	GDIS                      // genetic disease
	SICKLE                    // sickle cell disease
	SCA                       // sickle cell anaemia
	TBOO                      // taboo
	CEL                       // celebrity
	VIP                       // very important person
	DEMO                      // all demographic information
	R                         // confidentiality: restricted
	V                         // confidentiality: very restricted
)

var labels = vocabulary.New("sensitivity label", []string{
	ETH: "ETH", ETHUD: "ETHUD", OPIOIDUD: "OPIOIDUD", SUD: "SUD", PSY: "PSY", PSYTHPN: "PSYTHPN",
	BH: "BH", COGN: "COGN", DVD: "DVD", EMOTDIS: "EMOTDIS", MH: "MH", HIV: "HIV", STD: "STD",
	SEX: "SEX", SDV: "SDV", VIO: "VIO", MST: "MST", GDIS: "GDIS", SICKLE: "SICKLE", SCA: "SCA",
	TBOO: "TBOO", CEL: "CEL", VIP: "VIP", DEMO: "DEMO", R: "R", V: "V",
})

// AllLabels is the set of every label.
var AllLabels = Labels(labels.All())

// ParseLabel reads a code. The error of an unknown one lists the known.
func ParseLabel(code string) (Label, error) {
	n, err := labels.Parse(code)
	return Label(n), err
}

// String is the code; "" for a label that isn't one.
func (l Label) String() string { return labels.Code(uint8(l)) }

// MarshalText writes the code.
func (l Label) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads a code.
func (l *Label) UnmarshalText(text []byte) (err error) {
	*l, err = ParseLabel(string(text))
	return err
}

// Labels is a set of labels. Its JSON is the array of codes, sorted.
type Labels uint32

// LabelsOf makes a set.
func LabelsOf(ls ...Label) Labels {
	var set Labels
	for _, l := range ls {
		set = set.With(l)
	}
	return set
}

// Has reports whether l is in the set.
func (s Labels) Has(l Label) bool { return s&(1<<l) != 0 && l != 0 }

// With is the set and l.
func (s Labels) With(l Label) Labels { return (s | 1<<l) & AllLabels }

// Union is what is in either.
func (s Labels) Union(o Labels) Labels { return s | o }

// Intersect is what is in both.
func (s Labels) Intersect(o Labels) Labels { return s & o }

// Without is what is in s and not in o.
func (s Labels) Without(o Labels) Labels { return s &^ o }

// Empty reports a set of nothing.
func (s Labels) Empty() bool { return s == 0 }

// Codes lists the codes, sorted.
func (s Labels) Codes() []string { return labels.List(uint64(s)) }

// All yields the labels in the order of their codes.
func (s Labels) All() iter.Seq[Label] {
	return func(yield func(Label) bool) {
		for _, n := range labels.Numbers() {
			if s.Has(Label(n)) && !yield(Label(n)) {
				return
			}
		}
	}
}

// MarshalJSON writes the sorted array of codes.
func (s Labels) MarshalJSON() ([]byte, error) { return labels.JSON(uint64(s)) }

// UnmarshalJSON reads an array of known codes, none twice.
func (s *Labels) UnmarshalJSON(doc []byte) error {
	set, err := labels.Read(doc)
	*s = Labels(set)
	return err
}

// broader says which sensitivity a narrower one is a case of, as v3-ActCode and v3-Confidentiality
// arrange them.
var broader = [...]Labels{
	PSY: LabelsOf(MH), PSYTHPN: LabelsOf(MH),
	MH: LabelsOf(BH), COGN: LabelsOf(BH), DVD: LabelsOf(BH), EMOTDIS: LabelsOf(BH),
	ETHUD: LabelsOf(SUD), OPIOIDUD: LabelsOf(SUD), SUD: LabelsOf(ETH, BH),
	MST: LabelsOf(SDV),
	SCA: LabelsOf(SICKLE), SICKLE: LabelsOf(GDIS),
	V: LabelsOf(R),
}

// Widened is the set with all that its labels are cases of, so that a denial of mental health touches
// what is labelled psychiatry.
func (s Labels) Widened() Labels {
	for {
		wider := s
		for l := range s.All() {
			wider = wider.Union(broader[l])
		}
		if wider == s {
			return s
		}
		s = wider
	}
}

// Specific is the set without what others in it are cases of: what is labelled psychiatry, and
// therefore mental health too, is specifically psychiatry.
func (s Labels) Specific() Labels {
	specific := s
	for l := range s.All() {
		specific = specific.Without(broader[l].Widened())
	}
	return specific
}
