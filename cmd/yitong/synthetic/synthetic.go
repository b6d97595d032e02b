// Package synthetic makes up a patient: several years of care as one FHIR R4
// transaction Bundle, for the demo, for trying things out and for tests.
//
// Nobody is described. The names are drawn from short lists, the resident
// number has the shape of a Chinese one (GB 11643-1999, check digit included)
// under an area code that no place has, the telephone number lies in a range
// kept free for fiction, and the hosts end in ".example" (RFC 2606).
//
// The course is a common one: type 2 diabetes, high blood pressure and high
// cholesterol, seen three times a year with vital signs, laboratory, medication and
// claims; once an injury with imaging and a small procedure; and, so that
// consents have something to protect, a depression (label PSY) and a harmful
// use of alcohol (label ETH), each with an encounter, observations and claims
// that carry the same label.
//
// The same seed and the same day give the same bytes, for ever: nothing reads a
// clock, and the only randomness is math/rand/v2's PCG under the seed.
package synthetic

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"
)

// Names of the places where the patient is seen. The MRN's system is the one
// that the command's examples use.
const (
	MRNSystem      = "https://hospital-a.example/mrn"
	ResidentSystem = "urn:oid:2.16.156.10011.1.3" // resident identity number, WS/T 500-2016
	hospitalName   = "Hospital A"
	insurerName    = "Insurer"
)

// Bundle makes the patient of a seed, whose care ends on the day of today (UTC;
// the time of day is ignored). It is indented JSON that ends in a newline:
// 60 to 200 resources over four to five years, every reference inside the Bundle.
func Bundle(seed uint64, today time.Time) []byte {
	c := newChart(seed, today)
	c.directory()
	c.person()
	c.diagnoses()
	for _, day := range c.visits() {
		c.checkUp(day)
	}
	c.injury()
	c.mentalHealth()
	c.alcohol()
	c.preventive()
	doc, err := json.MarshalIndent(bundle{ResourceType: "Bundle", Type: "transaction", Entry: c.entries}, "", "  ")
	if err != nil { // plain structs of strings and numbers always marshal
		panic("synthetic: " + err.Error())
	}
	return append(doc, '\n')
}

// chart is the patient's record while it is being written.
type chart struct {
	rnd     *rand.Rand
	today   time.Time
	start   time.Time // first visit
	entries []entry

	patient, hospital, physician, therapist, insurer, ward, coverage reference

	diabetes, hypertension reference
	enrolled               int // visits so far, for the trends
}

func newChart(seed uint64, today time.Time) *chart {
	rnd := rand.New(rand.NewPCG(seed, 0x79_69_74_6f_6e_67)) // the second word keeps the stream ours
	y, m, d := today.UTC().Date()
	c := &chart{rnd: rnd, today: time.Date(y, m, d, 0, 0, 0, 0, time.UTC)}
	c.start = c.today.AddDate(-4, -rnd.IntN(12), -rnd.IntN(28))
	return c
}

// visits are the days of the regular care, about four months apart.
func (c *chart) visits() []time.Time {
	var days []time.Time
	for day := c.start; day.Before(c.today.AddDate(0, 0, -7)); day = day.AddDate(0, 4, c.rnd.IntN(21)-10) {
		days = append(days, day.Add(time.Duration(8*60+c.rnd.IntN(36)*15)*time.Minute))
	}
	return days
}

// add files a resource and returns the reference to it.
func (c *chart) add(kind, id, display string, resource any) reference {
	c.entries = append(c.entries, entry{
		FullURL:  "urn:uuid:" + id,
		Resource: resource,
		Request:  request{Method: "POST", URL: kind},
	})
	return reference{Reference: "urn:uuid:" + id, Display: display}
}

// id draws a version 4 UUID (RFC 9562).
func (c *chart) id() string {
	hi, lo := c.rnd.Uint64(), c.rnd.Uint64()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(0xc<<60) | 0x8<<60
	return fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", hi>>32, hi>>16&0xffff, hi&0xffff, lo>>48, lo&(1<<48-1))
}

// between draws a number from lo to hi in steps of one tenth.
func (c *chart) between(lo, hi float64) float64 {
	tenths := int(lo*10) + c.rnd.IntN(int(hi*10)-int(lo*10)+1)
	return float64(tenths) / 10
}

func pick[T any](c *chart, from []T) T { return from[c.rnd.IntN(len(from))] }
