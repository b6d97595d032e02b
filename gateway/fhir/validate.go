package fhir

import (
	"bytes"
	"regexp"
	"strconv"
	"strings"

	"yitong/gateway/fhir/definitions"
)

// maxFaults are told of one resource.
const maxFaults = 20

// validate holds a resource against the R4 definitions: structure, types, cardinality and
// required bindings. path is what the resource is called in faults. The fault names each
// place, and quotes no value. References are held to be names: nothing looks whether there
// is what they name, and nothing is called.
func validate(e *element, path string) error {
	v := &validation{}
	v.resource(e, path)
	return v.err()
}

type validation struct{ faults []Fault }

func (v *validation) err() error {
	if len(v.faults) == 0 {
		return nil
	}
	f := v.faults[0]
	f.More = v.faults[1:]
	return &f
}

func (v *validation) fault(kind, at, message, allowed string) {
	if len(v.faults) < maxFaults {
		v.faults = append(v.faults, Fault{Status: 400, Type: kind, Code: "malformed", Expression: at, Message: message, Allowed: allowed})
	}
}

func (v *validation) full() bool { return len(v.faults) >= maxFaults }

// resource is validated as what it says it is.
func (v *validation) resource(e *element, at string) {
	if e.kind != '{' {
		v.fault("structure", at, "this is no resource", "a JSON object")
		return
	}
	kind := e.str("resourceType")
	t, ok := definitions.Types(kind)
	if !ok || !t.Resource {
		v.fault("structure", at+".resourceType", "R4 knows no resource of this name", "a type of hl7.org/fhir/R4/resourcelist.html")
		return
	}
	v.complex(e, t, at)
}

func (v *validation) complex(e *element, t *definitions.Type, at string) {
	if e.kind != '{' {
		v.fault("structure", at, "this is no object", "a "+t.Name)
		return
	}
	if len(e.members) == 0 {
		v.fault("structure", at, "an object is never empty", "leaving it out")
		return
	}
	seen := map[string]string{} // element → the name it came by
	for _, m := range e.members {
		if v.full() {
			return
		}
		if m.name == "resourceType" && t.Resource {
			continue
		}
		name, extra := strings.CutPrefix(m.name, "_")
		d, ok := t.Elements[name]
		place := at + "." + safeName(m.name)
		if !ok || extra && !definitions.Primitive(d.Type) {
			v.fault("structure", place, "a "+t.Name+" has no such element in R4", "leaving it out; names are case-sensitive")
			continue
		}
		if came := seen[d.Name]; came != "" && came != name {
			v.fault("structure", place, "one value at most: "+came+" is there too", "one of them")
			continue
		}
		seen[d.Name] = name
		place = at + "." + expression(name, d)
		if extra {
			v.extra(m.value, e.get(name), d, place)
			continue
		}
		v.element(m.value, e.get("_"+name), d, place)
	}
	for _, d := range t.Required {
		if seen[d.Name] == "" {
			v.fault("required", at+"."+strings.TrimSuffix(d.Name, "[x]"), "this must be there", "")
		}
	}
}

// expression is the name of an element in FHIRPath, where a choice has no type: value, not
// valueString.
func expression(name string, d *definitions.Element) string {
	if d.Choice {
		return strings.TrimSuffix(d.Name, "[x]")
	}
	return name
}

func (v *validation) element(e, extra *element, d *definitions.Element, at string) {
	if !d.Many {
		v.value(e, d, at)
		return
	}
	if e.kind != '[' {
		v.fault("structure", at, "this may be there several times", "an array")
		return
	}
	if len(e.items) == 0 {
		v.fault("structure", at, "an array is never empty", "leaving it out")
	}
	if len(e.items) < d.Min {
		v.fault("structure", at, "there are too few", "at least "+strconv.Itoa(d.Min))
	}
	for i, item := range e.items {
		if v.full() {
			return
		}
		place := at + "[" + strconv.Itoa(i) + "]"
		// A primitive that has extensions alone is null in its array.
		if item.kind == 'n' && definitions.Primitive(d.Type) && extra.at(i).isObject() {
			continue
		}
		v.value(item, d, place)
	}
}

func (e *element) isObject() bool { return e != nil && e.kind == '{' }

// extra is what _name holds of the primitive name: id and extensions.
func (v *validation) extra(e, value *element, d *definitions.Element, at string) {
	t, _ := definitions.Types("Element")
	if !d.Many {
		v.complex(e, t, at)
		return
	}
	if e.kind != '[' || value != nil && len(value.items) != len(e.items) {
		v.fault("structure", at, "what extends an array's items is an array of as many", "null where there is nothing to say")
		return
	}
	for i, item := range e.items {
		if item.kind != 'n' {
			v.complex(item, t, at+"["+strconv.Itoa(i)+"]")
		}
	}
}

func (v *validation) value(e *element, d *definitions.Element, at string) {
	switch {
	case e.kind == 'n':
		v.fault("structure", at, "nothing is written as null", "leaving it out")
	case e.kind == '[':
		v.fault("structure", at, "one value at most", "the value without an array")
	case definitions.Primitive(d.Type):
		v.primitive(e, d, at)
	case d.Type == "Resource":
		v.resource(e, at)
	default:
		t, ok := definitions.Types(d.Type)
		if !ok {
			v.fault("structure", at, "R4 has no such type", "")
			return
		}
		if t.Resource {
			v.resource(e, at)
			return
		}
		v.complex(e, t, at)
		v.bound(e, d, at)
	}
}

// bound holds a Coding or CodeableConcept against a required binding.
func (v *validation) bound(e *element, d *definitions.Element, at string) {
	if d.Codes == nil {
		return
	}
	codings := []*element{e}
	switch d.Type {
	case "CodeableConcept":
		codings = e.list("coding")
	case "Coding":
	default:
		return
	}
	for _, c := range codings {
		if d.Codes.HasCoding(c.str("system"), c.str("code")) {
			return
		}
	}
	v.fault("code-invalid", at, "none of its codings is of the value set that is required here", "http://hl7.org/fhir/ValueSet/"+d.Codes.Name())
}

// The grammars of the primitive types (hl7.org/fhir/R4/datatypes.html), as far as they are
// worth one.
const (
	years = `([0-9]([0-9]([0-9][1-9]|[1-9]0)|[1-9]00)|[1-9]000)`
	days  = `(0[1-9]|1[0-2])-(0[1-9]|[1-2][0-9]|3[0-1])`
	hours = `([01][0-9]|2[0-3]):[0-5][0-9]:([0-5][0-9]|60)(\.[0-9]+)?`
	zone  = `(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))`
)

var grammars = map[string]*regexp.Regexp{
	"date":        regexp.MustCompile(`^` + years + `(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1]))?)?$`),
	"dateTime":    regexp.MustCompile(`^` + years + `(-(0[1-9]|1[0-2])(-(0[1-9]|[1-2][0-9]|3[0-1])(T` + hours + zone + `)?)?)?$`),
	"instant":     regexp.MustCompile(`^` + years + `-` + days + `T` + hours + zone + `$`),
	"time":        regexp.MustCompile(`^` + hours + `$`),
	"id":          validID,
	"code":        regexp.MustCompile(`^[^\s]+(\s[^\s]+)*$`),
	"oid":         regexp.MustCompile(`^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$`),
	"uuid":        regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`),
	"uri":         regexp.MustCompile(`^\S+$`),
	"url":         regexp.MustCompile(`^\S+$`),
	"canonical":   regexp.MustCompile(`^\S+$`),
	"integer":     regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`),
	"unsignedInt": regexp.MustCompile(`^(0|[1-9][0-9]*)$`),
	"positiveInt": regexp.MustCompile(`^[1-9][0-9]*$`),
}

func (v *validation) primitive(e *element, d *definitions.Element, at string) {
	switch d.Type {
	case "boolean":
		if e.kind != 't' && e.kind != 'f' {
			v.fault("value", at, "this is no boolean", "true or false, without quotes")
		}
		return
	case "integer", "unsignedInt", "positiveInt":
		if n, err := strconv.ParseInt(string(e.raw), 10, 32); e.kind != '0' || err != nil || !grammars[d.Type].Match(e.raw) || n < 0 && d.Type != "integer" {
			v.fault("value", at, "this is no "+d.Type, "a number of 32 bits, without quotes")
		}
		return
	case "decimal":
		if e.kind != '0' {
			v.fault("value", at, "this is no decimal", "a number, without quotes")
		}
		return
	}
	if e.kind != '"' {
		v.fault("value", at, "this is no "+d.Type, "a string")
		return
	}
	if d.Type == "base64Binary" {
		if !looksLikeBase64(e.raw[1 : len(e.raw)-1]) {
			v.fault("value", at, "this is no base64", "RFC 4648, section 4")
		}
		return
	}
	s := e.text()
	switch g := grammars[d.Type]; {
	case strings.TrimSpace(s) == "":
		v.fault("value", at, "a "+d.Type+" is never empty", "leaving it out")
	case g != nil && !g.MatchString(s), isDate(d.Type) && !dayExists(s):
		v.fault("value", at, "this is no "+d.Type, "the form of hl7.org/fhir/R4/datatypes.html#"+d.Type)
	case d.Type == "xhtml" && !strings.HasPrefix(strings.TrimSpace(s), "<div"):
		v.fault("value", at, "this is no narrative", "one div of XHTML")
	case d.Codes != nil && !d.Codes.Has(s):
		v.fault("code-invalid", at, "this code isn't of the value set that is required here", "http://hl7.org/fhir/ValueSet/"+d.Codes.Name())
	}
}

func isDate(kind string) bool { return kind == "date" || kind == "dateTime" || kind == "instant" }

// dayExists refuses 30 February.
func dayExists(s string) bool {
	if len(s) < len("2006-01-02") {
		return true
	}
	_, ok := parseDate(s[:len("2006-01-02")])
	return ok
}

// looksLikeBase64 checks the alphabet; whoever decodes it checks the rest.
func looksLikeBase64(raw []byte) bool {
	if len(raw) == 0 {
		return false
	}
	raw = bytes.TrimRight(raw, "=")
	for i := 0; i < len(raw); i++ {
		b := raw[i]
		switch {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '+', b == '/', b == ' ':
		case b == '\\' && i+1 < len(raw) && (raw[i+1] == '/' || raw[i+1] == 'n' || raw[i+1] == 'r' || raw[i+1] == 't'):
			i++
		default:
			return false
		}
	}
	return true
}
