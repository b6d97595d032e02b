package seal

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"yitong/chaincode/record"
)

// Bounds of a bundle, checked before it is parsed or while it is.
const (
	MaxBundle  = 64 << 20 // bytes
	MaxDepth   = 64       // JSON objects and arrays within one another
	MaxEntries = 100_000
)

// Draft is a part to be: content and what the consent rules see of it.
type Draft struct {
	Class  record.Class
	Labels record.Labels
	Period record.Period // earliest to latest clinical date; zero when any is unknown
	// Content is a FHIR R4 Bundle of type collection in JSON; its entries are the
	// input's, byte for byte and in its order.
	Content []byte
}

// BundleError says which element of a bundle was refused and why. It holds
// element names, never values.
type BundleError struct {
	Element string // JSON pointer (RFC 6901), as /entry/3/resource; "" for the whole
	What    string
}

func (e *BundleError) Error() string {
	if e.Element == "" {
		return "FHIR bundle refused: " + e.What
	}
	return fmt.Sprintf("FHIR bundle refused at %s: %s", e.Element, e.What)
}

// Split cuts a FHIR R4 Bundle (hl7.org/fhir/R4/bundle.html) in JSON into drafts,
// one per data class, set of sensitivity labels, and whether the date is known:
// an undated resource in a dated part would ride along with a permit for a
// period. Resources may refer to others in other parts; nothing is rewritten.
//
// What a Bundle holds beside its entries (identifier, timestamp, signature) goes
// into a part of its own, class other. Labels on the Bundle count for every
// part, and those of what names a Binary for the Binary; a label brings the broader ones with it (psychiatry is mental health). Drafts come in a fixed order. Errors are *BundleError.
func Split(bundle []byte) ([]Draft, error) {
	if err := bound(bundle); err != nil {
		return nil, err
	}
	b, err := readBundle(bundle)
	if err != nil {
		return nil, err
	}
	groups, attached := map[groupKey]*group{}, attachedLabels(b.entries)
	for i, raw := range b.entries {
		e, err := classify(raw)
		if err != nil {
			return nil, &BundleError{fmt.Sprintf("/entry/%d", i), err.Error()}
		}
		k := groupKey{e.class, e.labels.Union(b.labels).Union(attached[i]).Widened(), e.dated}
		g := groups[k]
		if g == nil {
			g = &group{groupKey: k}
			groups[k] = g
		}
		g.add(raw, e.period)
	}
	drafts := b.envelope()
	for _, g := range groups {
		drafts = append(drafts, g.draft())
	}
	slices.SortFunc(drafts, func(x, y Draft) int {
		return cmp.Or(
			cmp.Compare(x.Class, y.Class), cmp.Compare(x.Labels, y.Labels),
			bytes.Compare(x.Content, y.Content))
	})
	if len(drafts) == 0 {
		return nil, &BundleError{"/entry", "there is nothing in it"}
	}
	if len(drafts) > record.MaxParts {
		return nil, &BundleError{"", fmt.Sprintf("it makes %d parts: a record has at most %d", len(drafts), record.MaxParts)}
	}
	return drafts, nil
}

// Entries gives the raw entries of a Bundle, a draft's content for instance.
func Entries(bundle []byte) ([][]byte, error) {
	if err := bound(bundle); err != nil {
		return nil, err
	}
	b, err := readBundle(bundle)
	return b.entries, err
}

type groupKey struct {
	class  record.Class
	labels record.Labels
	dated  bool
}

type group struct {
	groupKey
	period record.Period
	raws   [][]byte
}

func (g *group) add(raw []byte, p record.Period) {
	if len(g.raws) == 0 {
		g.period = p
	} else {
		g.period = span(g.period, p)
	}
	g.raws = append(g.raws, raw)
}

func (g *group) draft() Draft {
	var b bytes.Buffer
	b.WriteString(`{"resourceType":"Bundle","type":"collection","entry":[`)
	b.Write(bytes.Join(g.raws, []byte(",")))
	b.WriteString(`]}`)
	return Draft{Class: g.class, Labels: g.labels, Period: g.period, Content: b.Bytes()}
}

// bound refuses what is too large or too deep without parsing it.
func bound(b []byte) error {
	if len(b) > MaxBundle {
		return &BundleError{"", fmt.Sprintf("%d bytes: at most %d", len(b), MaxBundle)}
	}
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return &BundleError{"", fmt.Sprintf("at byte %d more than %d levels deep", i, MaxDepth)}
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// bundle is a Bundle's outermost object.
type bundle struct {
	entries [][]byte
	others  []member // beside resourceType, type and entry
	kind    []byte   // type, raw
	labels  record.Labels
}

type member struct{ name, raw []byte }

// readBundle reads the outermost object. Duplicate names, invalid UTF-8 and
// broken JSON are refused at every depth.
func readBundle(doc []byte) (b bundle, err error) {
	if !jsontext.Value(doc).IsValid() {
		return b, broken(doc)
	}
	// From here on the decoder itself has nothing to refuse.
	d := jsontext.NewDecoder(bytes.NewReader(doc))
	if d.PeekKind() != '{' {
		return b, &BundleError{"", "a Bundle is a JSON object"}
	}
	d.ReadToken()
	named := false
	for d.PeekKind() != '}' {
		name, raw, err := readMember(d, &b)
		if err != nil {
			return b, err
		}
		switch string(name) {
		case `"entry"`:
		case `"resourceType"`:
			if string(raw) != `"Bundle"` {
				return b, &BundleError{"/resourceType", "it is not a Bundle"}
			}
			named = true
		case `"type"`:
			b.kind = raw
		default:
			if err := spelled(name); err != nil {
				return b, err
			}
			b.others = append(b.others, member{name, raw})
			v, err := tree(raw)
			if err != nil {
				return b, &BundleError{"", "it is not JSON"}
			}
			b.labels = b.labels.Union(labelsIn(v, string(name) == `"meta"`))
		}
	}
	if !named {
		return b, &BundleError{"/resourceType", "it is missing"}
	}
	return b, nil
}

// spelled refuses what only a careless reader takes for one of the three names
// above: two readers would see two bundles.
func spelled(name []byte) error {
	for _, known := range []string{`"entry"`, `"resourceType"`, `"type"`} {
		if bytes.EqualFold(name, []byte(known)) {
			return &BundleError{"/" + strings.Trim(string(name), `"`), "FHIR writes " + known}
		}
	}
	return nil
}

// readMember reads a name and its value, or b's entries where the name is that.
func readMember(d *jsontext.Decoder, b *bundle) (name, raw []byte, err error) {
	v, err := d.ReadValue()
	if err != nil {
		return nil, nil, &BundleError{"", "it is not JSON"}
	}
	if name = plain(v); string(name) == `"entry"` {
		b.entries, err = readEntries(d)
		return name, nil, err
	}
	if v, err = d.ReadValue(); err != nil {
		return nil, nil, &BundleError{"", "it is not JSON"}
	}
	return name, bytes.Clone(v), nil
}

// plain is a name without the escapes that JSON allows and doesn't need:
// "\u0065ntry" is entry.
func plain(name jsontext.Value) []byte {
	v := name.Clone()
	if v.Canonicalize() != nil {
		return name.Clone()
	}
	return v
}

func readEntries(d *jsontext.Decoder) ([][]byte, error) {
	if d.PeekKind() != '[' {
		return nil, &BundleError{"/entry", "it is not an array"}
	}
	d.ReadToken()
	var entries [][]byte
	for d.PeekKind() != ']' {
		if len(entries) == MaxEntries {
			return nil, &BundleError{"/entry", fmt.Sprintf("more than %d entries", MaxEntries)}
		}
		raw, err := d.ReadValue()
		if err != nil {
			return nil, &BundleError{"/entry", "it is not JSON"}
		}
		entries = append(entries, bytes.Clone(raw))
	}
	d.ReadToken()
	return entries, nil
}

// envelope is the part that holds what isn't an entry, if there is any.
func (b bundle) envelope() []Draft {
	if len(b.others) == 0 {
		return nil
	}
	var doc bytes.Buffer
	doc.WriteString(`{"resourceType":"Bundle"`)
	others := b.others
	if b.kind != nil {
		others = append([]member{{[]byte(`"type"`), b.kind}}, others...)
	}
	for _, m := range others {
		fmt.Fprintf(&doc, ",%s:%s", m.name, m.raw)
	}
	doc.WriteString(`}`)
	return []Draft{{Class: record.Other, Labels: b.labels.Widened(), Content: doc.Bytes()}}
}

// tree reads JSON as maps, arrays and texts; numbers stay as they are written,
// because FHIR's decimals don't all fit a float.
func tree(raw []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// broken says where a document stops being JSON. It reads token by token, which
// keeps the names on the way; one value at a time, which is faster, loses them.
func broken(doc []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(doc))
	for ended := false; ; {
		_, err := d.ReadToken()
		var s *jsontext.SyntacticError
		switch {
		case errors.As(err, &s):
			return &BundleError{string(s.JSONPointer), fmt.Sprintf("%v, at byte %d", s.Err, s.ByteOffset)}
		case err != nil:
			return &BundleError{"", "it ends too early"}
		case ended:
			return &BundleError{"", "there is something after its end"}
		}
		ended = d.StackDepth() == 0
	}
}
