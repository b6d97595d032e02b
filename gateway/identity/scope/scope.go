// Package scope reads the scopes by which SMART Backend Services ask for what they may do
// (SMART App Launch 2.2, "Scopes for requesting FHIR Resources"):
//
//	system/Consent.rs      reading (r) and searching (s) of Consent
//	system/Task.cruds      creating, reading, updating, deleting and searching of Task
//	system/*.rs            of everything that this gateway has
//	system/Consent.read    the same as system/Consent.rs, as SMART 1 wrote it
//
// Scopes with search parameters ("?category=…") are not understood, and an unknown one
// gives nothing: a scope only ever narrows.
package scope

import (
	"fmt"
	"slices"
	"strings"
)

// Resources are the FHIR resource types that scopes can be about here.
var Resources = []string{
	"AuditEvent", "Binary", "Bundle", "Communication", "Consent", "DocumentReference", "Patient", "Subscription", "Task",
}

// letters are the interactions, in the one order in which they may be written.
const letters = "cruds"

// Scope is what may be done with one type of resource. Resource is "*" for all.
type Scope struct {
	Resource string
	Letters  string // of c, r, u, d and s, in this order
}

// Parse reads one scope.
func Parse(text string) (Scope, error) {
	rest, ok := strings.CutPrefix(text, "system/")
	if !ok {
		return Scope{}, fmt.Errorf("%.60q is no scope of a backend service: those begin with system/", text)
	}
	resource, do, ok := strings.Cut(rest, ".")
	if !ok || resource != "*" && !slices.Contains(Resources, resource) {
		return Scope{}, fmt.Errorf("%.60q names no resource of this gateway: %s, or *", text, strings.Join(Resources, ", "))
	}
	switch do {
	case "read":
		do = "rs"
	case "write":
		do = "cud"
	case "*":
		do = letters
	}
	last := -1
	for _, l := range do {
		at := strings.IndexRune(letters, l)
		if at <= last {
			return Scope{}, fmt.Errorf("%.60q doesn't end in letters of %q, each once and in this order", text, letters)
		}
		last = at
	}
	if do == "" {
		return Scope{}, fmt.Errorf("%.60q doesn't say what may be done: letters of %q after the dot", text, letters)
	}
	return Scope{resource, do}, nil
}

// String is the scope as SMART 2 writes it.
func (s Scope) String() string { return "system/" + s.Resource + "." + s.Letters }

// Permissions are the single things that scopes permit, sorted, as the policy names them:
// "Consent.r" and "Consent.s" for system/Consent.rs.
func Permissions(scopes []Scope) []string {
	var out []string
	for _, s := range scopes {
		of := []string{s.Resource}
		if s.Resource == "*" {
			of = Resources
		}
		for _, resource := range of {
			for _, l := range s.Letters {
				out = append(out, resource+"."+string(l))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Within are the scopes of asked cut down to what granted has: nothing is in it that isn't
// in both.
func Within(asked, granted []Scope) []Scope {
	may := Permissions(granted)
	letters := map[string]string{}
	for _, p := range Permissions(asked) {
		if _, ok := slices.BinarySearch(may, p); ok {
			resource, l, _ := strings.Cut(p, ".")
			letters[resource] += l
		}
	}
	var out []Scope
	for _, resource := range Resources {
		if do := ordered(letters[resource]); do != "" {
			out = append(out, Scope{resource, do})
		}
	}
	return out
}

func ordered(some string) string {
	var b strings.Builder
	for _, l := range letters {
		if strings.ContainsRune(some, l) {
			b.WriteRune(l)
		}
	}
	return b.String()
}

// ParseList reads scopes separated by spaces (RFC 6749, section 3.3) and leaves out those
// that aren't known, as an authorization server may.
func ParseList(text string) (known []Scope) {
	for _, one := range strings.Fields(text) {
		if s, err := Parse(one); err == nil {
			known = append(known, s)
		}
	}
	return known
}

// List writes scopes separated by spaces.
func List(scopes []Scope) string {
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = s.String()
	}
	return strings.Join(texts, " ")
}
