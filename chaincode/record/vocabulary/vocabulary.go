// Package vocabulary is a closed list of codes, numbered so that a set of them is one machine word.
//
// A code's number is its place in the list, from 1; 0 is none. Numbers live in memory only: JSON and
// every encoding that is hashed carry the codes, so a code may be added without changing what is on
// the ledger. At most 63 codes fit.
package vocabulary

import (
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Vocabulary is one such list. It is not changed after New.
type Vocabulary struct {
	noun   string
	codes  []string         // by number; codes[0] is ""
	number map[string]uint8 // looked up, never ranged over
	sorted []uint8          // numbers in the order of their codes
	known  string           // all codes, sorted, for errors
	all    uint64
}

// New makes a vocabulary; noun is what one of its codes is called in errors. codes[0] is unused.
func New(noun string, codes []string) *Vocabulary {
	if len(codes) > 64 {
		panic("vocabulary: more than 63 codes of " + noun)
	}
	v := &Vocabulary{noun: noun, codes: codes, number: make(map[string]uint8, len(codes))}
	for n := 1; n < len(codes); n++ {
		v.number[codes[n]] = uint8(n)
		v.sorted = append(v.sorted, uint8(n))
		v.all |= 1 << n
	}
	slices.SortFunc(v.sorted, func(a, b uint8) int { return strings.Compare(codes[a], codes[b]) })
	v.known = strings.Join(v.List(v.all), ", ")
	return v
}

// All is the set of every code.
func (v *Vocabulary) All() uint64 { return v.all }

// Numbers lists every number in the order of its code. It is not to be changed.
func (v *Vocabulary) Numbers() []uint8 { return v.sorted }

// Known lists every code for a person.
func (v *Vocabulary) Known() string { return v.known }

// Code is the code of a number; "" for none and for a number that has none.
func (v *Vocabulary) Code(n uint8) string {
	if int(n) >= len(v.codes) {
		return ""
	}
	return v.codes[n]
}

// Parse is the number of a code. The error of an unknown code lists the known ones.
func (v *Vocabulary) Parse(code string) (uint8, error) {
	if n, ok := v.number[code]; ok {
		return n, nil
	}
	return 0, fmt.Errorf("unknown %s %.40q: known are %s", v.noun, code, v.known)
}

// List gives the codes of a set, sorted.
func (v *Vocabulary) List(set uint64) []string {
	codes := make([]string, 0, bits.OnesCount64(set&v.all))
	for _, n := range v.sorted {
		if set&(1<<n) != 0 {
			codes = append(codes, v.codes[n])
		}
	}
	return codes
}

// JSON writes a set as the array of its codes, sorted.
func (v *Vocabulary) JSON(set uint64) ([]byte, error) { return json.Marshal(v.List(set)) }

// Read takes a JSON array of known codes, none twice, in any order. An empty array is refused: where
// an absent criterion restricts nothing, [] would say the opposite of what it seems to.
func (v *Vocabulary) Read(doc []byte) (uint64, error) {
	var codes []string
	if err := json.Unmarshal(doc, &codes); err != nil || codes == nil {
		return 0, fmt.Errorf("a set of %s codes is a JSON array of strings: known are %s", v.noun, v.known)
	}
	if len(codes) == 0 {
		return 0, fmt.Errorf("an empty list of %s codes: leave the list out, or name some of %s", v.noun, v.known)
	}
	var set uint64
	for _, code := range codes {
		n, err := v.Parse(code)
		if err != nil {
			return 0, err
		}
		if set&(1<<n) != 0 {
			return 0, fmt.Errorf("%s %q is listed twice", v.noun, code)
		}
		set |= 1 << n
	}
	return set, nil
}
