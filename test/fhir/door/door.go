// Package door is a FHIR client for tests: a member's façade, over TLS with the certificate of one of
// its callers. It keeps what came through it, for validators to look at.
package door

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"yitong/cmd/yitong/client"
	"yitong/test/consortium"
)

// A Door is a member's façade, as one of its callers sees it.
type Door struct {
	Base    string // https://host:port/fhir
	Profile client.Profile
	client  *http.Client
	seen    *Seen
}

// Seen is every resource that came through doors.
type Seen struct{ resources []json.RawMessage }

// Add keeps a resource that came another way.
func (s *Seen) Add(resource []byte) { s.resources = append(s.resources, resource) }

// Len is how many there are.
func (s *Seen) Len() int { return len(s.resources) }

// Bundle is all of them, as one collection.
func (s *Seen) Bundle() []byte {
	type entry struct {
		Resource json.RawMessage `json:"resource"`
	}
	all := struct {
		ResourceType string  `json:"resourceType"`
		Type         string  `json:"type"`
		Entry        []entry `json:"entry"`
	}{"Bundle", "collection", nil}
	for _, r := range s.resources {
		all.Entry = append(all.Entry, entry{r})
	}
	doc, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return doc
}

// Open opens the door of a member; user is a person of it, "" the member's own software.
func Open(t *testing.T, c *consortium.Consortium, seen *Seen, member, user string) *Door {
	t.Helper()
	p, err := client.ReadProfile(c.Dir(), member)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = p.For(user); err != nil {
		t.Fatal(err)
	}
	config, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: config}
	t.Cleanup(transport.CloseIdleConnections)
	return &Door{Base: "https://" + p.HTTP + "/fhir", Profile: p, client: &http.Client{Transport: transport}, seen: seen}
}

// An Answer is what a door answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Resource
}

// Do sends a request. headers are names and values.
func (d *Door) Do(t *testing.T, method, path string, body any, headers ...string) Answer {
	t.Helper()
	if !strings.HasPrefix(path, "https://") {
		path = d.Base + "/" + path
	}
	kind := "application/fhir+json"
	var content []byte
	switch b := body.(type) {
	case nil:
	case url.Values:
		content, kind = []byte(b.Encode()), "application/x-www-form-urlencoded"
	case []byte:
		content = b
	case string:
		content = []byte(b)
	default:
		var err error
		if content, err = json.Marshal(b); err != nil {
			t.Fatal(err)
		}
	}
	in, err := http.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		in.Header.Set("Content-Type", kind)
	}
	for i := 0; i < len(headers); i += 2 {
		in.Header.Set(headers[i], headers[i+1])
	}
	out, err := d.client.Do(in)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	a := Answer{Status: out.StatusCode, Header: out.Header}
	if a.Body, err = io.ReadAll(out.Body); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(out.Header.Get("Content-Type"), "application/fhir+json") && len(a.Body) > 0 {
		if err := json.Unmarshal(a.Body, &a.Resource); err != nil {
			t.Fatalf("%s %s: %v in %.500s", method, path, err, a.Body)
		}
		if d.seen != nil {
			d.seen.resources = append(d.seen.resources, json.RawMessage(a.Body))
		}
	}
	return a
}

// Want fails the test unless the status is as wanted.
func (a Answer) Want(t *testing.T, status int) Answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("answered %d, want %d: %.2000s", a.Status, status, a.Body)
	}
	return a
}

// Refused fails the test unless it is an OperationOutcome with the status, the stable code, and the
// element.
func (a Answer) Refused(t *testing.T, status int, code, expression string) {
	t.Helper()
	gotCode, gotExpression := a.Text("issue", 0, "details", "coding", 0, "code"), a.Text("issue", 0, "expression", 0)
	if a.Status != status || a.Text("resourceType") != "OperationOutcome" || gotCode != code || gotExpression != expression {
		t.Errorf("refused with %d %s at %q, want %d %s at %q: %.1000s", a.Status, gotCode, gotExpression, status, code, expression, a.Body)
	}
}

// Resource is a resource as a tree.
type Resource map[string]any

// At follows names and numbers into it; nil where there is nothing.
func (r Resource) At(path ...any) any {
	var v any = map[string]any(r)
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// Text is what At finds, as text.
func (r Resource) Text(path ...any) string {
	if v := r.At(path...); v != nil {
		return fmt.Sprint(v)
	}
	return ""
}

// Entries are the matches of a Bundle.
func (r Resource) Entries() (all []Resource) {
	list, _ := r["entry"].([]any)
	for _, e := range list {
		if m, ok := e.(map[string]any)["resource"].(map[string]any); ok {
			all = append(all, m)
		}
	}
	return all
}

// Link is a link of a Bundle, "" if it has none of that relation.
func (r Resource) Link(relation string) string {
	list, _ := r["link"].([]any)
	for _, l := range list {
		if m := Resource(l.(map[string]any)); m.Text("relation") == relation {
			return m.Text("url")
		}
	}
	return ""
}

// Outputs are the values of a Task's outputs of a type.
func (r Resource) Outputs(code string) (all []Resource) {
	list, _ := r["output"].([]any)
	for _, o := range list {
		if m := Resource(o.(map[string]any)); m.Text("type", "coding", 0, "code") == code {
			all = append(all, m)
		}
	}
	return all
}

// IDs are those of the matches.
func (r Resource) IDs() (ids []string) {
	for _, e := range r.Entries() {
		ids = append(ids, e.Text("id"))
	}
	slices.Sort(ids)
	return ids
}
