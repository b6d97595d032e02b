package fhir

import (
	"cmp"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// Base is where the façade is mounted.
const Base = "/fhir"

// Config is what the façade has to know beside the connection.
type Config struct {
	Member  string // name of the member
	Kind    string // "hospital", "insurer" or "regulator"
	Channel string // of the ledger
	Version string // of the software
	Address string // base URL from outside, https://host:port/fhir; "" takes the request's host
	// Secret is the member's own, at least 32 bytes; ids and bookmarks are derived from it. They
	// hold across a restart if it does. nil makes one up.
	Secret []byte
	Now    func() time.Time // nil is time.Now
	Log    *slog.Logger     // nil logs nothing
}

// facade is the façade of one gateway.
type facade struct {
	Config
	conn      grpc.ClientConnInterface
	resources []resource
	transact  handle // POST of a Bundle to the base itself
	bookmarks *bookmarks
	derive    func(purpose string, parts ...string) []byte
	started   time.Time

	custodians custodians
	patients   patients
}

// New makes the handler for everything below [Base].
func New(c Config, conn grpc.ClientConnInterface) http.Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if len(c.Secret) == 0 {
		c.Secret = make([]byte, 32)
		rand.Read(c.Secret)
	}
	f := &facade{Config: c, conn: conn, started: c.Now()}
	f.bookmarks = newBookmarks(key(c.Secret, "bookmarks"))
	f.derive = deriver(key(c.Secret, "ids"))
	// The table. A resource is a file of its own; it adds itself here.
	f.resources = []resource{
		f.bundles(), f.documentReferences(), f.binaries(), f.patientsOf(),
		f.lists(), f.consents(), f.auditEvents(), f.tasks(), f.subscriptions(),
	}
	f.transact = transaction
	slices.SortFunc(f.resources, func(a, b resource) int { return cmp.Compare(a.kind, b.kind) })
	return f.routes()
}

// Public are the paths that anybody may read, who calls or not.
var Public = []string{Base + "/metadata", Base + smartPath}

// smartPath is where SMART's clients look below a FHIR base (SMART App Launch 2.2, section 4).
const smartPath = "/.well-known/smart-configuration"

// Streams reports whether a request is answered bit by bit, and may take long.
func Streams(in *http.Request) bool {
	if in.Method != http.MethodGet && in.Method != http.MethodHead {
		return strings.HasSuffix(in.URL.Path, "/$everything") && in.ContentLength == 0
	}
	path := strings.TrimPrefix(in.URL.Path, Base)
	return strings.HasPrefix(path, "/Binary/") || strings.HasPrefix(path, "/Bundle/") || strings.HasSuffix(path, "/$everything")
}

// smart sends to where the gateway tells how tokens are got.
func smart(c *call) (answer, error) {
	http.Redirect(c.out, c.in, smartPath, http.StatusTemporaryRedirect)
	return answer{sent: true}, nil
}

// key is the key for one purpose (HKDF-SHA-256, RFC 5869).
func key(secret []byte, purpose string) []byte {
	k, err := hkdf.Key(sha256.New, secret, nil, "yitong/fhir/"+purpose, 32)
	if err != nil { // 32 bytes are always to be had
		panic(err)
	}
	return k
}

// A handle answers one kind of request.
type handle func(*call) (answer, error)

// A resource is a FHIR resource type with what the façade does with it. What is nil isn't
// offered.
type resource struct {
	kind          string // as "Consent"
	profiles      []string
	documentation string // what a reader of the CapabilityStatement must know

	read   handle // GET [type]/[id]
	vread  handle // GET [type]/[id]/_history/[vid]
	past   handle // GET [type]/[id]/_history
	create handle // POST [type]
	update handle // PUT [type]/[id]
	remove handle // DELETE [type]/[id]
	search func(*call, query) (page, error)

	params     []param // of search
	include    []string
	operations []operation
	// conditional says that create heeds If-None-Exist.
	conditional bool
}

// An operation is one of FHIR's $operations.
type operation struct {
	name       string // "everything"
	definition string // canonical URL of its OperationDefinition
	instance   bool   // on [type]/[id]; otherwise on [type]
	reads      bool   // may be asked by GET
	serve      handle
}

// routes makes the handler out of the table.
func (f *facade) routes() http.Handler {
	mux := http.NewServeMux()
	on := func(path string, methods map[string]handle) {
		if len(methods) > 0 {
			mux.Handle(path, f.serve(methods, strings.HasPrefix(path, Base+"/Binary")))
		}
	}
	on(Base+"/metadata", map[string]handle{http.MethodGet: f.metadata})
	mux.Handle("GET "+Base+smartPath, f.serve(map[string]handle{http.MethodGet: smart}, true))
	system := map[string]handle{http.MethodPost: nowhere}
	if f.transact != nil {
		system[http.MethodPost] = f.transact
	}
	on(Base, system)
	on(Base+"/{$}", system)
	for _, r := range f.resources {
		f.route(r, on)
	}
	mux.Handle("/", f.serve(nil, false))
	return mux
}

func (f *facade) route(r resource, on func(string, map[string]handle)) {
	at := Base + "/" + r.kind
	as := func(h handle) handle {
		return func(c *call) (answer, error) { c.resource = r; return h(c) }
	}
	add := func(m map[string]handle, method string, h handle) {
		if h != nil {
			m[method] = as(h)
		}
	}
	whole, one, version, past := map[string]handle{}, map[string]handle{}, map[string]handle{}, map[string]handle{}
	if r.search != nil {
		add(whole, http.MethodGet, f.searching(r))
		on(at+"/_search", map[string]handle{http.MethodPost: as(f.searching(r))})
	}
	add(whole, http.MethodPost, r.create)
	add(one, http.MethodGet, r.read)
	add(one, http.MethodPut, r.update)
	add(one, http.MethodDelete, r.remove)
	add(version, http.MethodGet, r.vread)
	add(past, http.MethodGet, r.past)
	on(at, whole)
	on(at+"/{id}", one)
	on(at+"/{id}/_history", past)
	on(at+"/{id}/_history/{version}", version)
	for _, o := range r.operations {
		methods := map[string]handle{http.MethodPost: as(o.serve)}
		if o.reads {
			methods[http.MethodGet] = as(o.serve)
		}
		path := at + "/$" + o.name
		if o.instance {
			path = at + "/{id}/$" + o.name
		}
		on(path, methods)
	}
}

// serve answers the methods of one path; nil is a path where nothing is. other says that
// what is there has a form that is no JSON.
func (f *facade) serve(methods map[string]handle, other bool) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		c := &call{facade: f, out: out, in: in, id: in.PathValue("id"), version: in.PathValue("version"), mayBeOther: other}
		if out.Header().Get("X-Request-Id") == "" { // the guard in front has named it otherwise
			out.Header().Set("X-Request-Id", requestID(in))
		}
		defer c.close()
		a, err := c.dispatch(methods)
		if err == nil {
			err = c.answer(a)
		}
		if err != nil {
			c.fail(err)
		}
	})
}

// dispatch finds the handler, once the request is one that can be answered at all.
func (c *call) dispatch(methods map[string]handle) (answer, error) {
	if methods == nil {
		return nowhere(c)
	}
	method := c.in.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	h, ok := methods[method]
	if !ok {
		allowed := make([]string, 0, len(methods)+1)
		for m := range methods {
			allowed = append(allowed, m)
		}
		if methods[http.MethodGet] != nil {
			allowed = append(allowed, http.MethodHead)
		}
		slices.Sort(allowed)
		c.out.Header().Set("Allow", strings.Join(allowed, ", "))
		return answer{}, &Fault{Status: http.StatusMethodNotAllowed, Type: "not-supported", Code: "method-not-allowed",
			Message: "this method isn't offered here", Allowed: strings.Join(allowed, ", ") + "; GET " + Base + "/metadata lists what there is"}
	}
	if err := c.negotiate(); err != nil {
		return answer{}, err
	}
	if c.id != "" && !validID.MatchString(c.id) {
		return answer{}, notFound()
	}
	return h(c)
}

// validID is the grammar of R4's id (hl7.org/fhir/R4/datatypes.html#id).
var validID = regexp.MustCompile(`^[A-Za-z0-9\-.]{1,64}$`)

func nowhere(*call) (answer, error) {
	return answer{}, &Fault{Status: http.StatusNotFound, Type: "not-supported", Code: "not-found",
		Message: "there is nothing at this address", Allowed: "what GET " + Base + "/metadata lists"}
}

// notFound is the one answer for what isn't there and for what the caller may not know of.
func notFound() *Fault {
	return &Fault{Status: http.StatusNotFound, Type: "not-found", Code: "not-found", Message: "there is no such resource, or not for this caller"}
}

var requestIDs = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// requestID is the caller's own id of its request, if it is one that a log can hold.
func requestID(in *http.Request) string {
	if id := in.Header.Get("X-Request-Id"); requestIDs.MatchString(id) {
		return id
	}
	return rand.Text()
}
