package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// What is received is read by one strict decoder. It refuses what parsers read differently,
// so that nobody downstream reads anything but what was checked here: a name twice in one
// object, anything after the end, text that is not UTF-8 or has half a surrogate pair,
// numbers that no float64 holds, nesting over 64. Names that differ in case are other names,
// and unknown ones are refused by the definitions (validate.go).

const (
	// maxDepth is of objects and arrays within one another.
	maxDepth = 64
	// maxDocument is how many values a document may have. One that is read takes some hundred
	// bytes for each, and "0," is two: without a bound 64 MiB of them would take gigabytes.
	maxDocument = 1 << 19
)

// An element is a JSON value as it was received.
type element struct {
	kind    byte   // '{', '[', '"', '0', 't', 'f', 'n' (of jsontext.Kind)
	raw     []byte // its bytes; those of the document itself
	members []member
	items   []*element
}

type member struct {
	name  string
	value *element
}

// size is how many values it is, itself and those within.
func (e *element) size() int {
	n := 1
	for _, m := range e.members {
		n += m.value.size()
	}
	for _, item := range e.items {
		n += item.size()
	}
	return n
}

// get is a member of an object, nil if there is none.
func (e *element) get(name string) *element {
	if e == nil {
		return nil
	}
	for _, m := range e.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// at follows names; a number is an item of an array.
func (e *element) at(path ...any) *element {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			e = e.get(p)
		case int:
			if e == nil || p >= len(e.items) {
				return nil
			}
			e = e.items[p]
		}
	}
	return e
}

// list is the items of an array; none where there is no array.
func (e *element) list(name string) []*element {
	if e = e.get(name); e != nil {
		return e.items
	}
	return nil
}

// text is the text of a string, "" of anything else.
func (e *element) text() string {
	if e == nil || e.kind != '"' {
		return ""
	}
	if bytes.IndexByte(e.raw, '\\') < 0 {
		return string(e.raw[1 : len(e.raw)-1])
	}
	s, err := jsontext.AppendUnquote(nil, e.raw)
	if err != nil {
		return ""
	}
	return string(s)
}

// str is the text of a member.
func (e *element) str(name string) string { return e.get(name).text() }

// parse reads a document. path is what it is called in faults: "Bundle", or
// "Bundle.entry[3]" where it is a piece of one.
func parse(doc []byte, path string) (*element, error) { return parsePiece(doc, 0, path) }

// parsePiece reads a piece of what was received, from a byte of it on.
func parsePiece(doc []byte, from int64, path string) (*element, error) {
	p := &parser{d: jsontext.NewDecoder(bytes.NewReader(doc)), doc: doc, from: from, path: []string{path}}
	e, err := p.value()
	if err != nil {
		return nil, err
	}
	if _, err := p.d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, p.fault("something comes after the end of the document")
	}
	return e, nil
}

type parser struct {
	d    *jsontext.Decoder
	doc  []byte
	from int64 // where doc begins in what was received
	path []string
	read int // values
}

func (p *parser) fault(what string) error {
	return invalid(strings.Join(p.path, ""), "this can't be read: "+what, "one JSON document, RFC 8259 and I-JSON (RFC 7493)")
}

// syntax says why the decoder stopped, and quotes nothing but names of elements.
func (p *parser) syntax(err error) error {
	var s *jsontext.SyntacticError
	known := errors.As(err, &s)
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName) && known:
		return p.fault("an object has one name twice: " + safeName(s.JSONPointer.LastToken()))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return p.fault("it ends too early")
	case known:
		return p.fault(fmt.Sprintf("it is no JSON, or its text no Unicode, at byte %d", p.from+s.ByteOffset))
	}
	return p.fault("it is no JSON")
}

func (p *parser) value() (*element, error) {
	if p.d.StackDepth() >= maxDepth {
		return nil, p.fault("it is nested deeper than " + strconv.Itoa(maxDepth))
	}
	if p.read++; p.read > maxDocument {
		return nil, tooCostly(p.path[0], "it has too many values to be read as one", "at most "+strconv.Itoa(maxDocument))
	}
	kind := p.d.PeekKind()
	switch kind {
	case '{', '[':
	default:
		return p.leaf()
	}
	if _, err := p.d.ReadToken(); err != nil {
		return nil, p.syntax(err)
	}
	e := &element{kind: byte(kind)}
	begin := p.d.InputOffset() - 1
	for {
		next := p.d.PeekKind()
		if next == '}' || next == ']' {
			break
		}
		if kind == '[' {
			p.path = append(p.path, "["+strconv.Itoa(len(e.items))+"]")
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			p.path = p.path[:len(p.path)-1]
			e.items = append(e.items, v)
			continue
		}
		name, err := p.d.ReadToken()
		if err != nil {
			return nil, p.syntax(err)
		}
		m := member{name: name.String()}
		p.path = append(p.path, "."+safeName(m.name))
		if m.value, err = p.value(); err != nil {
			return nil, err
		}
		p.path = p.path[:len(p.path)-1]
		e.members = append(e.members, m)
	}
	if _, err := p.d.ReadToken(); err != nil {
		return nil, p.syntax(err)
	}
	e.raw = p.doc[begin:p.d.InputOffset()]
	return e, nil
}

func (p *parser) leaf() (*element, error) {
	raw, err := p.d.ReadValue()
	if err != nil {
		return nil, p.syntax(err)
	}
	end := p.d.InputOffset()
	e := &element{kind: byte(raw.Kind()), raw: p.doc[end-int64(len(raw)) : end]}
	if e.kind == '0' {
		if f, err := strconv.ParseFloat(string(e.raw), 64); err != nil || math.IsInf(f, 0) {
			return nil, p.fault("the number is out of range")
		}
	}
	return e, nil
}
