// Package definitions is HL7's definition of FHIR R4 (4.0.1) as a table: which elements a
// type has, of which types and how often, and which codes where a binding is required.
//
// r4.txt is made by the command in generate. A line is one of
//
//	==NAME BASE           a resource, with the elements that follow and those of BASE
//	=NAME BASE            another type, or, as Patient.contact, one within a type
//	ELEMENT TYPES CARD #SET
//	#SET (SYSTEM CODE … (SYSTEM CODE …
//
// where TYPES are separated by "|", @NAME being a type within a type; CARD is ? (0..1), 1
// (1..1), * (0..*), + (1..*) or MIN..MAX; and #SET is the value set of a required binding.
// Value sets that can't be listed (media types, units, currencies) are left out, and so are
// the invariants.
package definitions

import (
	_ "embed"
	"strconv"
	"strings"
	"sync"
)

//go:embed r4.txt
var table string

// A Type is a type of R4.
type Type struct {
	Name     string
	Resource bool
	// Elements by the name that they have in JSON: of value[x] every form, valueString and
	// so on.
	Elements map[string]*Element
	Required []*Element // those that must be there
}

// An Element is an element of a type.
type Element struct {
	Name   string // in the definition: "value[x]"
	Choice bool   // it is one of several types
	Min    int
	Many   bool   // an array in JSON
	Type   string // of a choice, that of this form
	// Codes is the value set of a required binding; nil is none.
	Codes *Codes
}

// Codes is a value set.
type Codes struct {
	name  string
	codes map[string]bool // by code, and by "system|code"
}

// Name is the last part of the value set's URL.
func (c *Codes) Name() string { return c.name }

// Has reports whether a code is in the set.
func (c *Codes) Has(code string) bool { return c.codes[code] }

// HasCoding reports whether a coding is in the set.
func (c *Codes) HasCoding(system, code string) bool { return c.codes[system+"|"+code] }

// Types gives a type by its name.
func Types(name string) (*Type, bool) {
	t, ok := load()[name]
	return t, ok
}

// Primitive reports whether a type is a primitive one: they begin in lower case.
func Primitive(name string) bool { return name[0] >= 'a' && name[0] <= 'z' }

var load = sync.OnceValue(func() map[string]*Type {
	types, bases, sets := map[string]*Type{}, map[string]string{}, map[string]*Codes{}
	set := func(name string) *Codes {
		if sets[name] == nil {
			sets[name] = &Codes{name: name, codes: map[string]bool{}}
		}
		return sets[name]
	}
	var t *Type
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case line == "" || strings.HasPrefix(line, "//"):
		case strings.HasPrefix(line, "="):
			name := strings.TrimLeft(fields[0], "=")
			t = &Type{Name: name, Resource: strings.HasPrefix(line, "=="), Elements: map[string]*Element{}}
			types[name] = t
			if len(fields) > 1 {
				bases[name] = fields[1]
			}
		case strings.HasPrefix(line, "#"):
			s, system := set(fields[0][1:]), ""
			for _, f := range fields[1:] {
				if strings.HasPrefix(f, "(") {
					system = f[1:]
					continue
				}
				s.codes[f], s.codes[system+"|"+f] = true, true
			}
		default:
			t.add(fields, set)
		}
	}
	for name, t := range types {
		for base := bases[name]; base != ""; base = bases[base] {
			for name, e := range types[base].Elements {
				if t.Elements[name] == nil {
					t.Elements[name] = e
				}
			}
			t.Required = append(t.Required, types[base].Required...)
		}
	}
	return types
})

func (t *Type) add(fields []string, set func(string) *Codes) {
	e := Element{Name: fields[0]}
	switch card := fields[2]; card {
	case "?":
	case "1":
		e.Min = 1
	case "*":
		e.Many = true
	case "+":
		e.Min, e.Many = 1, true
	default:
		min, _, _ := strings.Cut(card, "..")
		e.Min, _ = strconv.Atoi(min)
		e.Many = true
	}
	if len(fields) > 3 {
		e.Codes = set(fields[3][1:])
	}
	stem, choice := strings.CutSuffix(e.Name, "[x]")
	e.Choice = choice
	for _, of := range strings.Split(fields[1], "|") {
		form := e
		form.Type = strings.TrimPrefix(of, "@")
		name := stem
		if choice {
			name += strings.ToUpper(of[:1]) + of[1:]
		}
		t.Elements[name] = &form
	}
	if e.Min > 0 {
		t.Required = append(t.Required, &e)
	}
}
