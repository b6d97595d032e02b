package fhir

import (
	"cmp"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Bounds of a search.
const (
	defaultCount = 50
	maxCount     = 100
	maxForm      = 64 << 10 // bytes of a POST _search
	maxValues    = 50       // values of all parameters together
)

// A param is a parameter of a search (hl7.org/fhir/R4/search.html).
type param struct {
	name string
	kind string // "token", "reference", "date", "string", "uri", "number", "special"
	doc  string
	// patient marks what names a patient: it stands in no link.
	patient bool
}

// A criterion is one parameter as it was given. Several of one name all hold; of the
// values of one, any does.
type criterion struct {
	param  param
	values []string // unescaped, split at commas
}

// A query is a search that was understood.
type query struct {
	criteria []criterion
	count    int    // entries of a page, 0 to 100
	summary  string // "", "true", "false", "count", "data", "text"
	cursor   string // where the page begins: what a page gave as next; "" is the beginning
	form     url.Values
}

// get gives the criteria of a parameter.
func (q query) get(name string) (found []criterion) {
	for _, c := range q.criteria {
		if c.param.name == name {
			found = append(found, c)
		}
	}
	return found
}

// first is the first value of a parameter, "" of none.
func (q query) first(name string) string {
	for _, c := range q.get(name) {
		return c.values[0]
	}
	return ""
}

// A page is a piece of a search's result.
type page struct {
	entries []entry
	next    string // cursor of the next page, "" if there is none
	total   *int   // of all pages, where it is known
}

// rounds bound how many pieces of what lies behind one page of a search reads on, where what is wanted
// can only be seen of the resources that are made of it.
const rounds = 20

// gather fills the page of a query: it asks for piece after piece, and keeps what all of also hold of,
// until there is as much as is wanted or as many pieces were looked at. What can't be counted so isn't.
func gather[T any](q query, pieces int, ask func(*yitongv1.Page) (found []T, next string, err error), also []func(T) bool, as func(T) entry) (page, error) {
	p, wanted := page{next: q.cursor}, max(1, q.count)
	if q.summary == "count" {
		wanted = pieces * maxCount
	}
	for range pieces {
		found, next, err := ask(&yitongv1.Page{Size: int32(min(wanted-len(p.entries), maxCount)), Bookmark: p.next})
		if err != nil {
			return page{}, err
		}
		for _, one := range found {
			if !slices.ContainsFunc(also, func(holds func(T) bool) bool { return !holds(one) }) {
				p.entries = append(p.entries, as(one))
			}
		}
		if p.next = next; next == "" || len(p.entries) >= wanted {
			break
		}
	}
	if q.summary == "count" {
		if p.next != "" {
			return page{}, tooCostly("http._summary", "there are too many to count", "a search for fewer, or page by page")
		}
		n := len(p.entries)
		p.total = &n
	}
	return p, nil
}

// An entry is a resource in a page.
type entry struct {
	id       string // of the resource
	kind     string
	resource any    // marshalled, unless it is []byte or json.RawMessage
	mode     string // "" is "match"; "include", "outcome"
}

// shared are the parameters that every search has.
var shared = []param{
	{name: "_id", kind: "token", doc: "the resource's id"},
	{name: "_lastUpdated", kind: "date", doc: "when the resource last changed"},
}

// searching is the handler of a resource's search, by GET and by POST _search.
func (f *facade) searching(r resource) handle {
	return func(c *call) (answer, error) {
		q, err := c.query(append(slices.Clone(r.params), shared...))
		if err != nil {
			return answer{}, err
		}
		p, err := r.search(c, q)
		if err != nil {
			return answer{}, err
		}
		return answer{resource: c.bundle(r.kind, "searchset", q, p)}, nil
	}
}

// query reads the parameters of the address and, of a POST, of the form.
func (c *call) query(known []param) (query, error) {
	form := url.Values{}
	for name, values := range c.asked {
		form[name] = values
	}
	if c.in.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(c.in.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
			return query{}, &Fault{Status: http.StatusUnsupportedMediaType, Type: "not-supported", Code: "unsupported-media-type", Expression: "http.header.Content-Type",
				Message: "a search is posted as a form", Allowed: "application/x-www-form-urlencoded"}
		}
		raw, err := c.body(maxForm)
		if err != nil {
			return query{}, err
		}
		posted, err := url.ParseQuery(string(raw))
		if err != nil {
			return query{}, invalid("http.body", "the form can't be read", "name=value, percent-encoded, joined by &")
		}
		for name, values := range posted {
			form[name] = append(slices.Clone(form[name]), values...)
		}
	}
	return c.parse(form, known)
}

// parse understands the parameters, or says which it doesn't: a filter with a slip of the
// pen would answer another question.
func (c *call) parse(form url.Values, known []param) (query, error) {
	if token := form.Get("_page"); token != "" {
		mark, err := c.bookmarks.open(token)
		if err != nil || mark.Path != c.path() {
			return query{}, &Fault{Status: http.StatusGone, Type: "not-found", Code: "bookmark-unknown", Expression: "http._page",
				Message: "the bookmark isn't of this search, or too old", Allowed: "the search anew"}
		}
		q, err := c.parse(mark.Form, known)
		q.cursor = mark.Cursor
		return q, err
	}
	q := query{count: max(defaultCount, c.maxCount), form: url.Values{}}
	n := 0
	for _, name := range slices.Sorted(keysOf(form)) {
		for _, value := range form[name] {
			if n++; n > maxValues || len(value) > 2<<10 {
				return query{}, tooCostly("http."+safeName(name), "there is too much to compare with", "at most 50 values of 2 KiB")
			}
			if err := c.parameter(&q, name, value, known); err != nil {
				return query{}, err
			}
		}
	}
	return q, nil
}

func keysOf(v url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for name := range v {
			if !yield(name) {
				return
			}
		}
	}
}

func (c *call) parameter(q *query, name, value string, known []param) error {
	at := "http." + safeName(name)
	switch name {
	case "_format", "_pretty":
		return nil
	case "_count":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return invalid(at, "this is no number of entries", "0 to "+strconv.Itoa(max(maxCount, c.maxCount)))
		}
		q.count = min(n, max(maxCount, c.maxCount))
		q.form.Set(name, strconv.Itoa(q.count))
		if n == 0 {
			q.summary = "count"
		}
		return nil
	case "_summary":
		if !slices.Contains([]string{"true", "false", "count", "data", "text"}, value) {
			return invalid(at, "there is no such summary", "true, false, count, data or text")
		}
		q.summary = value
		q.form.Set(name, value)
		return nil
	case "_total":
		if !slices.Contains([]string{"none", "estimate", "accurate"}, value) {
			return invalid(at, "there is no such total", "none, estimate or accurate")
		}
		return nil
	}
	i := slices.IndexFunc(known, func(p param) bool { return p.name == name })
	if i < 0 {
		if c.lenient {
			return nil
		}
		names := make([]string, len(known))
		for i, p := range known {
			names[i] = p.name
		}
		slices.Sort(names)
		return &Fault{Status: http.StatusBadRequest, Type: "not-supported", Code: "parameter-unknown", Expression: at,
			Message: "this parameter, or its modifier, isn't known here", Allowed: strings.Join(names, ", ") + "; or Prefer: handling=lenient, which leaves it out"}
	}
	if value == "" {
		return nil // as if it weren't there (hl7.org/fhir/R4/search.html#escaping)
	}
	q.criteria = append(q.criteria, criterion{known[i], splitValues(value)})
	q.form.Add(name, value)
	return nil
}

// safeName is a parameter's name as far as it can be one; names can be anything, also a
// patient's.
func safeName(name string) string {
	for i := range len(name) {
		if b := name[i]; !('a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || strings.IndexByte("_-.:$", b) >= 0) || i > 40 {
			return "parameter"
		}
	}
	return name
}

func tooCostly(expression, message, allowed string) error {
	return &Fault{Status: http.StatusUnprocessableEntity, Type: "too-costly", Code: "too-large", Expression: expression, Message: message, Allowed: allowed}
}

// splitValues splits at the commas that no backslash is before, and unescapes the rest but
// "|" and "$", which parts of a value are split at later.
func splitValues(s string) []string {
	var all []string
	var one strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			if s[i+1] == '|' || s[i+1] == '$' {
				one.WriteByte('\\')
			}
			i++
			one.WriteByte(s[i])
		case s[i] == ',':
			all = append(all, one.String())
			one.Reset()
		default:
			one.WriteByte(s[i])
		}
	}
	return append(all, one.String())
}

// A token is a value of a token search: "code", "system|code", "|code" or "system|".
type token struct {
	system, code string
	anySystem    bool
}

func tokenOf(value string) token {
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' {
			i++
			continue
		}
		if value[i] == '|' {
			return token{system: plain(value[:i]), code: plain(value[i+1:])}
		}
	}
	return token{code: plain(value), anySystem: true}
}

func plain(s string) string { return strings.NewReplacer(`\|`, "|", `\$`, "$").Replace(s) }

// is reports whether a coding is what the token asks for.
func (t token) is(system, code string) bool {
	return (t.anySystem || t.system == system) && (t.code == "" || t.code == code)
}

// has reports whether any value of the criterion is one of the codings.
func (c criterion) has(codings ...Coding) bool {
	return slices.ContainsFunc(c.values, func(v string) bool {
		t := tokenOf(v)
		return slices.ContainsFunc(codings, func(k Coding) bool { return t.is(k.System, k.Code) })
	})
}

// patientOf is the patient that a token names by an identifier. It needs the system: a
// number alone is many people's.
func patientOf(at, value string) (system, id string, err error) {
	t := tokenOf(value)
	if t.anySystem || t.system == "" || t.code == "" {
		return "", "", invalid(at, "a patient is named by an identifier and its system", "system|value")
	}
	return t.system, t.code, nil
}

// bundle is a page as a Bundle.
func (c *call) bundle(kind, of string, q query, p page) searchBundle {
	b := searchBundle{ResourceType: "Bundle", Type: of, Total: p.total, Meta: &Meta{LastUpdated: instant(c.Now())}}
	link := func(relation, cursor string) {
		b.Link = append(b.Link, bundleLink{relation, c.link(q, cursor)})
	}
	link("self", q.cursor)
	if p.next != "" {
		link("next", p.next)
	}
	if q.summary == "count" {
		return b
	}
	for _, e := range p.entries {
		kind := cmp.Or(e.kind, kind)
		be := bundleEntry{Resource: raw(e.resource), Search: &bundleSearch{cmp.Or(e.mode, "match")}}
		if e.id != "" {
			be.FullURL = c.address() + "/" + kind + "/" + e.id
		}
		b.Entry = append(b.Entry, be)
	}
	return b
}

// raw is a resource's JSON.
func raw(resource any) json.RawMessage {
	switch r := resource.(type) {
	case []byte:
		return r
	case json.RawMessage:
		return r
	}
	return marshal(resource)
}

// link is the address of a page. What names a patient is in the sealed bookmark alone, for
// addresses end up in logs.
func (c *call) link(q query, cursor string) string {
	shown := url.Values{}
	sealed := cursor != ""
	for name, values := range q.form {
		shown[name] = values
	}
	for _, cr := range q.criteria {
		if cr.param.patient {
			sealed = true
		}
	}
	if sealed {
		shown = url.Values{"_page": {c.bookmarks.seal(bookmark{c.path(), q.form, cursor})}}
	}
	at := c.address() + c.path()
	if len(shown) == 0 {
		return at
	}
	return at + "?" + shown.Encode()
}

// path is the search's own, below the base: that of a GET also where it was posted.
func (c *call) path() string {
	return strings.TrimSuffix(strings.TrimPrefix(c.in.URL.Path, Base), "/_search")
}

type searchBundle struct {
	ResourceType string        `json:"resourceType"`
	Meta         *Meta         `json:"meta,omitempty"`
	Type         string        `json:"type"`
	Total        *int          `json:"total,omitempty"`
	Link         []bundleLink  `json:"link,omitempty"`
	Entry        []bundleEntry `json:"entry,omitempty"`
}

type bundleLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

type bundleEntry struct {
	FullURL  string          `json:"fullUrl,omitempty"`
	Resource json.RawMessage `json:"resource,omitempty"`
	Search   *bundleSearch   `json:"search,omitempty"`
	Response *bundleResponse `json:"response,omitempty"`
}

type bundleSearch struct {
	Mode string `json:"mode"`
}

type bundleResponse struct {
	Status       string            `json:"status"`
	Location     string            `json:"location,omitempty"`
	ETag         string            `json:"etag,omitempty"`
	LastModified string            `json:"lastModified,omitempty"`
	Outcome      *operationOutcome `json:"outcome,omitempty"`
}
