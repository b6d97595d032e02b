package consent

import "yitong/chaincode/record/vocabulary"

// Purpose is why data is wanted: a code of the HL7 v3 PurposeOfUse value set (code system
// http://terminology.hl7.org/CodeSystem/v3-ActReason, as published with FHIR R4). The codes form a
// hierarchy; a consent that names one covers all below it.
type Purpose uint8

// The purposes, each family after its head. The zero Purpose is none.
const (
	TREAT       Purpose = iota + 1 // treatment
	CLINTRL                        // clinical trial participation care
	COC                            // coordination of care
	ETREAT                         // emergency treatment
	BTG                            // break the glass
	ERTREAT                        // emergency room treatment
	POPHLTH                        // population health
	HPAYMT                         // healthcare payment
	CLMATTCH                       // claim attachment
	COVAUTH                        // coverage authorization
	COVERAGE                       // coverage under policy or program
	ELIGDTRM                       // eligibility determination
	ELIGVER                        // eligibility verification
	ENROLLM                        // enrollment
	MILDCRG                        // military discharge
	REMITADV                       // remittance advice
	HOPERAT                        // healthcare operations
	CAREMGT                        // care management
	DONAT                          // donation
	FRAUD                          // fraud
	GOV                            // government
	HACCRED                        // health accreditation
	HCOMPL                         // health compliance
	HDECD                          // decedent
	HDIRECT                        // directory
	HDM                            // healthcare delivery management
	HLEGAL                         // legal
	HOUTCOMS                       // health outcome measure
	HPRGRP                         // health program reporting
	HQUALIMP                       // health quality improvement
	HSYSADMIN                      // health system administration
	LABELING                       // labeling
	METAMGT                        // metadata management
	MEMADMIN                       // member administration
	MILCDM                         // military command
	PATADMIN                       // patient administration
	PATSFTY                        // patient safety
	PERFMSR                        // performance measure
	RECORDMGT                      // records management
	SYSDEV                         // system development
	HTEST                          // test health data
	TRAIN                          // training
	HRESCH                         // healthcare research
	BIORCH                         // biomedical research
	CLINTRCH                       // clinical trial research
	CLINTRCHNPC                    // clinical trial research without patient care
	CLINTRCHPC                     // clinical trial research with patient care
	PRECLINTRCH                    // preclinical trial research
	DSRCH                          // disease specific research
	POARCH                         // population origins or ancestry research
	TRANSRCH                       // translational research
	PUBHLTH                        // public health
	DISASTER                       // disaster
	THREAT                         // threat
	PATRQT                         // patient requested
	FAMRQT                         // family requested
	PWATRNY                        // power of attorney
	SUPNWK                         // support network
	HMARKT                         // healthcare marketing
)

// purposeTable holds each purpose's code and the purpose right above it, 0 for a head.
var purposeTable = []struct {
	code  string
	above Purpose
}{
	TREAT:   {"TREAT", 0},
	CLINTRL: {"CLINTRL", TREAT},
	COC:     {"COC", TREAT},
	ETREAT:  {"ETREAT", TREAT},
	BTG:     {"BTG", ETREAT},
	ERTREAT: {"ERTREAT", ETREAT},
	POPHLTH: {"POPHLTH", TREAT},

	HPAYMT:   {"HPAYMT", 0},
	CLMATTCH: {"CLMATTCH", HPAYMT},
	COVAUTH:  {"COVAUTH", HPAYMT},
	COVERAGE: {"COVERAGE", HPAYMT},
	ELIGDTRM: {"ELIGDTRM", COVERAGE},
	ELIGVER:  {"ELIGVER", COVERAGE},
	ENROLLM:  {"ENROLLM", COVERAGE},
	MILDCRG:  {"MILDCRG", COVERAGE},
	REMITADV: {"REMITADV", HPAYMT},

	HOPERAT:   {"HOPERAT", 0},
	CAREMGT:   {"CAREMGT", HOPERAT},
	DONAT:     {"DONAT", HOPERAT},
	FRAUD:     {"FRAUD", HOPERAT},
	GOV:       {"GOV", HOPERAT},
	HACCRED:   {"HACCRED", HOPERAT},
	HCOMPL:    {"HCOMPL", HOPERAT},
	HDECD:     {"HDECD", HOPERAT},
	HDIRECT:   {"HDIRECT", HOPERAT},
	HDM:       {"HDM", HOPERAT},
	HLEGAL:    {"HLEGAL", HOPERAT},
	HOUTCOMS:  {"HOUTCOMS", HOPERAT},
	HPRGRP:    {"HPRGRP", HOPERAT},
	HQUALIMP:  {"HQUALIMP", HOPERAT},
	HSYSADMIN: {"HSYSADMIN", HOPERAT},
	LABELING:  {"LABELING", HOPERAT},
	METAMGT:   {"METAMGT", HOPERAT},
	MEMADMIN:  {"MEMADMIN", HOPERAT},
	MILCDM:    {"MILCDM", HOPERAT},
	PATADMIN:  {"PATADMIN", HOPERAT},
	PATSFTY:   {"PATSFTY", HOPERAT},
	PERFMSR:   {"PERFMSR", HOPERAT},
	RECORDMGT: {"RECORDMGT", HOPERAT},
	SYSDEV:    {"SYSDEV", HOPERAT},
	HTEST:     {"HTEST", SYSDEV},
	TRAIN:     {"TRAIN", HOPERAT},

	HRESCH:      {"HRESCH", 0},
	BIORCH:      {"BIORCH", HRESCH},
	CLINTRCH:    {"CLINTRCH", HRESCH},
	CLINTRCHNPC: {"CLINTRCHNPC", CLINTRCH},
	CLINTRCHPC:  {"CLINTRCHPC", CLINTRCH},
	PRECLINTRCH: {"PRECLINTRCH", CLINTRCH},
	DSRCH:       {"DSRCH", HRESCH},
	POARCH:      {"POARCH", HRESCH},
	TRANSRCH:    {"TRANSRCH", HRESCH},

	PUBHLTH:  {"PUBHLTH", 0},
	DISASTER: {"DISASTER", PUBHLTH},
	THREAT:   {"THREAT", PUBHLTH},

	PATRQT:  {"PATRQT", 0},
	FAMRQT:  {"FAMRQT", PATRQT},
	PWATRNY: {"PWATRNY", PATRQT},
	SUPNWK:  {"SUPNWK", PATRQT},

	HMARKT: {"HMARKT", 0},
}

var purposes = vocabulary.New("purpose of use", purposeCodes())

// families holds, for each purpose, itself and all above it: a set of purposes covers a purpose if
// it shares a member with the purpose's family.
var families = purposeFamilies()

func purposeCodes() []string {
	codes := make([]string, len(purposeTable))
	for n, row := range purposeTable {
		codes[n] = row.code
	}
	return codes
}

func purposeFamilies() []Purposes {
	up := make([]Purposes, len(purposeTable))
	for n := range purposeTable {
		for p := Purpose(n); p != 0; p = purposeTable[p].above {
			up[n] |= 1 << p
		}
	}
	return up
}

// ParsePurpose reads a code. The error of an unknown one lists the known.
func ParsePurpose(code string) (Purpose, error) {
	n, err := purposes.Parse(code)
	return Purpose(n), err
}

// Under reports whether p is head or lies below it: CLMATTCH is under HPAYMT.
func (p Purpose) Under(head Purpose) bool { return PurposesOf(head).Cover(p) }

// String is the code; "" for none.
func (p Purpose) String() string { return purposes.Code(uint8(p)) }

// MarshalText writes the code.
func (p Purpose) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a code.
func (p *Purpose) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePurpose(string(text))
	return err
}

// Purposes is a set of purposes as written, not closed under the hierarchy. Its JSON is the array of
// codes, sorted.
type Purposes uint64

// PurposesOf makes a set.
func PurposesOf(ps ...Purpose) Purposes {
	var set Purposes
	for _, p := range ps {
		set |= 1 << p
	}
	return set & Purposes(purposes.All())
}

// Cover reports whether p is in the set or below one that is.
func (s Purposes) Cover(p Purpose) bool { return int(p) < len(families) && s&families[p] != 0 }

// Codes lists the codes, sorted.
func (s Purposes) Codes() []string { return purposes.List(uint64(s)) }

// MarshalJSON writes the sorted array of codes.
func (s Purposes) MarshalJSON() ([]byte, error) { return purposes.JSON(uint64(s)) }

// UnmarshalJSON reads an array of known codes, none twice.
func (s *Purposes) UnmarshalJSON(doc []byte) error {
	set, err := purposes.Read(doc)
	*s = Purposes(set)
	return err
}
