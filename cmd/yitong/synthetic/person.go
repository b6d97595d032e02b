package synthetic

import (
	"fmt"
	"strings"
	"time"
)

type name struct {
	text, family string
	given        []string
	gender       string
}

// names mixes scripts: what a hospital in a trading city has in its register.
var names = []name{
	{"王秀英", "王", []string{"秀英"}, "female"},
	{"李志强", "李", []string{"志强"}, "male"},
	{"陈丽华", "陈", []string{"丽华"}, "female"},
	{"欧阳建国", "欧阳", []string{"建国"}, "male"},
	{"赵雨桐", "赵", []string{"雨桐"}, "female"},
	{"买买提·艾力", "艾力", []string{"买买提"}, "male"},
	{"Margaret O'Sullivan", "O'Sullivan", []string{"Margaret", "Anne"}, "female"},
	{"José García Núñez", "García Núñez", []string{"José"}, "male"},
	{"Siobhán Müller-Łukasz", "Müller-Łukasz", []string{"Siobhán"}, "female"},
	{"Henry Adeyemi", "Adeyemi", []string{"Henry", "Olu"}, "male"},
}

var streets = []string{"梧桐路", "望江路", "Harbour Road", "Lindenstraße", "青石巷"}

type patientResource struct {
	head
	Identifier []identifier   `json:"identifier"`
	Active     bool           `json:"active"`
	Name       []humanName    `json:"name"`
	Telecom    []contactPoint `json:"telecom"`
	Gender     string         `json:"gender"`
	BirthDate  string         `json:"birthDate"`
	Address    []address      `json:"address"`
	Marital    concept        `json:"maritalStatus"`
	Managing   reference      `json:"managingOrganization"`
}

// person writes the Patient and its Coverage.
func (c *chart) person() {
	who := pick(c, names)
	birth := c.today.AddDate(-48-c.rnd.IntN(25), -c.rnd.IntN(12), -c.rnd.IntN(28))
	id := c.id()
	c.patient = c.add("Patient", id, who.text, patientResource{
		head: begin("Patient", id, ""),
		Identifier: []identifier{
			{Use: "usual", Type: new(coded(terms+"v2-0203", "MR", "Medical record number")), System: MRNSystem,
				Value: fmt.Sprintf("MRN-%07d", c.rnd.IntN(10_000_000)), Assigner: &c.hospital},
			{Use: "official", Type: new(coded(terms+"v2-0203", "NI", "National identifier")), System: ResidentSystem,
				Value: c.residentNumber(birth, who.gender)},
		},
		Active:    true,
		Name:      one(humanName{Use: "official", Text: who.text, Family: who.family, Given: who.given}),
		Telecom:   one(contactPoint{System: "phone", Value: fmt.Sprintf("+44 7700 900%03d", c.rnd.IntN(1000)), Use: "mobile"}),
		Gender:    who.gender,
		BirthDate: date(birth),
		Address: one(address{Use: "home", Line: one(fmt.Sprintf("%d %s", 1+c.rnd.IntN(280), pick(c, streets))),
			City: "Nowhere", State: "Nowhere", PostalCode: fmt.Sprintf("99%04d", c.rnd.IntN(10_000)), Country: "ZZ"}),
		Marital:  coded(terms+"v3-MaritalStatus", pick(c, []string{"M", "S", "W", "D"}), ""),
		Managing: c.hospital,
	})
	c.cover()
}

// residentNumber has the shape of GB 11643-1999: area, birth date, sequence (odd
// for men), check character by ISO 7064 MOD 11-2. No area begins with 99.
func (c *chart) residentNumber(birth time.Time, gender string) string {
	sequence := 10 + c.rnd.IntN(490)*2
	if gender == "male" {
		sequence++
	}
	digits := fmt.Sprintf("9900%02d%s%03d", 1+c.rnd.IntN(28), birth.Format("20060102"), sequence)
	return digits + checkCharacter(digits)
}

// checkCharacter of ISO 7064 MOD 11-2: the weights are 2^(n-i) mod 11.
func checkCharacter(digits string) string {
	sum := 0
	for _, d := range digits {
		sum = (sum + int(d-'0')) * 2 % 11
	}
	return string("0123456789X"[(12-sum)%11])
}

type coverageResource struct {
	head
	Status      string      `json:"status"`
	Type        concept     `json:"type"`
	Subscriber  string      `json:"subscriberId"`
	Beneficiary reference   `json:"beneficiary"`
	Period      period      `json:"period"`
	Payor       []reference `json:"payor"`
}

func (c *chart) cover() {
	id := c.id()
	c.coverage = c.add("Coverage", id, "", coverageResource{
		head: begin("Coverage", id, ""), Status: "active",
		Type:        coded(terms+"v3-ActCode", "EHCPOL", "Extended healthcare"),
		Subscriber:  fmt.Sprintf("POL-%s-%06d", strings.ToUpper(c.id()[:4]), c.rnd.IntN(1_000_000)),
		Beneficiary: c.patient,
		Period:      period{Start: date(c.start.AddDate(-1, 0, 0)), End: date(c.today.AddDate(1, 0, 0))},
		Payor:       one(c.insurer),
	})
}
