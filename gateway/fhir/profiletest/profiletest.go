// Package profiletest holds resources against the profiles of IHE that they claim in meta.profile:
// what those ask for beyond R4, element by element (profiles.txt). What a validator of R4 looks at,
// it leaves to that.
package profiletest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

//go:embed profiles.txt
var table string

// A rule is one line of the table: how often elements are there, and what they are.
type rule struct {
	line     string
	path     []step // to the elements' parents
	last     step
	min, max int // max -1 is any number
	is       []string
	begins   bool   // is are beginnings
	same     []step // where each element is found again
}

// A step goes to the members of a name, or to those of them of which where, a path, is a code.
type step struct {
	name, where, code string
}

var profiles = read(table)

func read(table string) map[string][]rule {
	all, systems := map[string][]rule{}, map[string]string{}
	var name string
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || fields[0] == "//":
		case fields[0] == "system":
			systems[fields[1]] = fields[2]
		case fields[0] == "profile":
			name = fields[1]
			all[name] = nil
			for _, base := range fields[2:] {
				all[name] = append(all[name], all[base]...)
			}
		default:
			all[name] = append(all[name], ruleOf(strings.TrimSpace(line), fields, systems))
		}
	}
	return all
}

func ruleOf(line string, fields []string, systems map[string]string) rule {
	coded := func(code string) string {
		if short, rest, ok := strings.Cut(code, "#"); ok && systems[short] != "" {
			return systems[short] + "#" + rest
		}
		return code
	}
	path := func(text string) (steps []step) {
		deep := 0
		for _, s := range strings.FieldsFunc(text, func(r rune) bool { // at the dots that stand in no brackets
			deep += strings.Count("[", string(r)) - strings.Count("]", string(r))
			return r == '.' && deep == 0
		}) {
			name, where, _ := strings.Cut(strings.TrimSuffix(s, "]"), "[")
			where, code, _ := strings.Cut(where, "=")
			steps = append(steps, step{name, where, coded(code)})
		}
		return steps
	}
	r := rule{line: line, max: -1, path: path(fields[0])}
	r.last, r.path = r.path[len(r.path)-1], r.path[:len(r.path)-1]
	for rest := fields[1:]; len(rest) > 0; rest = rest[1:] {
		low, high, ranged := strings.Cut(rest[0], "..")
		switch {
		case ranged:
			r.min, _ = strconv.Atoi(low)
			if high != "*" {
				r.max, _ = strconv.Atoi(high)
			}
		case rest[0] == "same":
			r.same, rest = path(rest[1]), rest[1:]
		case rest[0] == "is", rest[0] == "begins":
			r.begins = rest[0] == "begins"
			for _, code := range rest[1:] {
				r.is = append(r.is, coded(code))
			}
			rest = rest[:1]
		default:
			panic("profiletest: " + line)
		}
	}
	return r
}

// Check says what a resource, and those in it if it is a Bundle, lack of the profiles of IHE that they
// claim, and which those are. A profile of IHE's that the table hasn't is lacking.
func Check(resource []byte) (claimed, lacks []string) {
	var doc struct {
		Meta  struct{ Profile []string }
		Entry []struct{ Resource json.RawMessage } // of a List it has none
	}
	if err := json.Unmarshal(resource, &doc); err != nil {
		return nil, []string{err.Error()}
	}
	for _, e := range doc.Entry {
		if e.Resource != nil {
			c, l := Check(e.Resource)
			claimed, lacks = append(claimed, c...), append(lacks, l...)
		}
	}
	for _, p := range doc.Meta.Profile {
		if !strings.HasPrefix(p, "https://profiles.ihe.net/") {
			continue
		}
		name := p[strings.LastIndexByte(p, '/')+1:]
		claimed = append(claimed, name)
		lacks = append(lacks, Lacks(resource, name)...)
	}
	return claimed, lacks
}

// Lacks says what a resource lacks of a profile, by the last part of its address.
func Lacks(resource []byte, profile string) (lacks []string) {
	rules, ok := profiles[profile]
	if !ok {
		return []string{profile + " isn't in the table"}
	}
	var doc any
	if err := json.Unmarshal(resource, &doc); err != nil {
		return []string{err.Error()}
	}
	for _, r := range rules {
		for _, parent := range find(doc, r.path) {
			if found := find(parent, []step{r.last}); len(found) < r.min || r.max >= 0 && len(found) > r.max || slices.ContainsFunc(found, func(v any) bool { return !r.holds(doc, v) }) {
				lacks = append(lacks, fmt.Sprintf("%s: %s", profile, r.line))
			}
		}
	}
	return lacks
}

func (r rule) holds(doc, v any) bool {
	if r.same != nil && !slices.ContainsFunc(find(doc, r.same), func(other any) bool { return reflect.DeepEqual(v, other) }) {
		return false
	}
	return len(r.is) == 0 || slices.ContainsFunc(r.is, func(code string) bool { return is(v, code, r.begins) })
}

// find follows steps, through the items of lists. A name that ends with * is any that begins so, as
// source* is source[x].
func find(v any, path []step) (found []any) {
	found = []any{v}
	for _, s := range path {
		var next []any
		for _, v := range found {
			m, _ := v.(map[string]any)
			for name, value := range m {
				if begin, any := strings.CutSuffix(s.name, "*"); name != s.name && (!any || !strings.HasPrefix(name, begin)) {
					continue
				}
				items, many := value.([]any)
				if !many {
					items = []any{value}
				}
				for _, one := range items {
					if s.where == "" || slices.ContainsFunc(find(one, []step{{name: s.where}}), func(v any) bool { return is(v, s.code, false) }) {
						next = append(next, one)
					}
				}
			}
		}
		found = next
	}
	return found
}

// is compares a value with a code of a system, or with its text.
func is(v any, code string, begins bool) bool {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Sprint(v) == code || begins && strings.HasPrefix(fmt.Sprint(v), code)
	}
	list, _ := m["coding"].([]any)
	return fmt.Sprint(m["system"], "#", m["code"]) == code || slices.ContainsFunc(list, func(c any) bool { return is(c, code, false) })
}
