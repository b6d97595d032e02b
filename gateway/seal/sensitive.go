package seal

import (
	"strings"

	"yitong/chaincode/record"
)

// The table of sensitive codes: which codes mark a resource as sensitive even
// where nobody labelled it. Codes are opaque keys; no terminology's text is
// here. It is a beginning, not a value set: an organisation that labels at the
// source (meta.security) doesn't depend on it.

var (
	hiv    = record.LabelsOf(record.HIV)
	std    = record.LabelsOf(record.STD)
	sex    = record.LabelsOf(record.SEX)
	psy    = record.LabelsOf(record.PSY)
	sud    = record.LabelsOf(record.SUD)
	etoh   = record.LabelsOf(record.ETHUD)
	opioid = record.LabelsOf(record.OPIOIDUD)
	sdv    = record.LabelsOf(record.SDV)
	gene   = record.LabelsOf(record.GDIS)
	sickle = record.LabelsOf(record.SICKLE)
	cogn   = record.LabelsOf(record.COGN)
	dvd    = record.LabelsOf(record.DVD)
)

var sensitive = map[string]map[string]record.Labels{
	snomed: {
		"86406008": hiv, "62479008": hiv, "165816005": hiv, "31676001": hiv, "171121004": hiv, "91947003": hiv,
		"8098009": std, "76272004": std, "15628003": std, "240589008": std, "165829005": std,
		"310861008": std, "269828009": std, "33839006": std, "266113007": std,
		"72892002": sex, "19169002": sex, "252160004": sex, "169553002": sex, "301807007": sex,
		"287664005": sex, "17369002": sex, "386639001": sex,
		"35489007": psy, "370143000": psy, "36923009": psy, "13746004": psy, "58214004": psy,
		"47505003": psy, "197480006": psy, "171207006": psy, "191736004": psy, "69322001": psy,
		"7200002": etoh, "66590003": etoh, "15167005": etoh,
		"5602001": opioid, "75544000": opioid, "6525002": sud, "26416006": sud, "191816009": sud, "66214007": sud,
		"706893006": sdv, "397940009": sdv,
		"443529005": gene, "417357006": sickle, "127040003": sickle,
		"26929004": cogn, "52448006": cogn,
		"110359009": dvd, "35919005": dvd,
	},
	loinc: {
		"75622-1": hiv, "56888-1": hiv, "7917-8": hiv, "20447-9": hiv, "25836-8": hiv, "24467-3": hiv,
		"20507-0": std, "43304-5": std, "43305-2": std, "21613-5": std,
		"82810-3": sex, "76690-7": sex, "76691-5": sex,
		"44249-1": psy, "44261-6": psy, "55757-9": psy, "55758-7": psy, "69737-5": psy, "70274-6": psy,
		"72109-2": etoh, "75624-7": etoh, "75626-2": etoh, "82667-7": sud, "82666-9": sud,
	},
}

// sensitiveICD is keyed by ICD-10 categories and their prefixes, without the dot.
var sensitiveICD = icdTable(map[string]record.Labels{
	"B20 B21 B22 B23 B24 Z21 R75 O987":                              hiv,
	"A5 A60 A61 A62 A63 A64 Z113 Z202":                              std,
	"O0 Z30 Z31 Z32 Z33 Z34 Z640 F64 F65 F66 Z7252 Z7253":           sex,
	"F2 F3 F4 F5 F60 F61 F62 F63 F68 F69 F99 R4585 X6 X7 X80 T1491": psy,
	"F10 K70 Y90 Y91 Z714 Z7141":                                    etoh,
	"F11":                                                           opioid,
	"F12 F13 F14 F15 F16 F18 F19 Z715 Z722":                         sud,
	"T74 T76 Y05 Y06 Y07 X85 Z044 Z614":                             sdv,
	"D57":                                                           sickle,
	"Q9 G10 E84 Z148 Z15 Z315":                                      gene,
	"F00 F01 F02 F03 G30":                                           cogn,
	"F7 F80 F81 F82 F83 F84 F88 F89":                                dvd,
})

func icdTable(rows map[string]record.Labels) map[string]record.Labels {
	table := map[string]record.Labels{}
	for codes, labels := range rows {
		for code := range strings.FieldsSeq(codes) {
			table[code] = table[code].Union(labels)
		}
	}
	return table
}
