package fhir

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ask puts one request to the façade of a gateway that answers as conn does.
func ask(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	in := httptest.NewRequest(method, "https://gateway.example"+path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		in.Header.Set(headers[i], headers[i+1])
	}
	out := httptest.NewRecorder()
	h.ServeHTTP(out, in)
	return out
}

func TestEveryErrorIsAnOperationOutcome(t *testing.T) {
	h := New(Config{Member: "hospital-a", Kind: "hospital", Version: "test"}, nil)
	for _, c := range []struct {
		name, method, path string
		headers            []string
		status             int
		code, expression   string
	}{
		{"no such path", "GET", "/fhir/Nothing", nil, 404, "not-found", ""},
		{"no such path, longer", "GET", "/fhir/Nothing/1/2/3", nil, 404, "not-found", ""},
		{"another method", "DELETE", "/fhir/metadata", nil, 405, "method-not-allowed", ""},
		{"XML by Accept", "GET", "/fhir/metadata", []string{"Accept", "application/fhir+xml"}, 406, "not-acceptable", "http.header.Accept"},
		{"XML by _format", "GET", "/fhir/metadata?_format=xml", nil, 406, "not-acceptable", "http._format"},
		{"another version of FHIR", "GET", "/fhir/metadata", []string{"Accept", "application/fhir+json; fhirVersion=3.0"}, 406, "not-acceptable", "http.header.Accept"},
		{"a boolean that is none", "GET", "/fhir/metadata?_pretty=perhaps", nil, 400, "malformed", "http._pretty"},
		{"half an escape", "GET", "/fhir/metadata?a=%4", nil, 400, "malformed", "http.query"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := ask(h, c.method, c.path, "", c.headers...)
			var o operationOutcome
			if err := json.Unmarshal(out.Body.Bytes(), &o); err != nil {
				t.Fatalf("%v in %s", err, out.Body)
			}
			got := o.Issue[0]
			if out.Code != c.status || o.ResourceType != "OperationOutcome" || got.Details.Coding[0].Code != c.code || strings.Join(got.Expression, " ") != c.expression {
				t.Errorf("got %d %s", out.Code, out.Body)
			}
			if ct := out.Header().Get("Content-Type"); !strings.HasPrefix(ct, mediaType) {
				t.Errorf("it comes as %s", ct)
			}
		})
	}
	if got := ask(h, "DELETE", "/fhir/metadata", "").Header().Get("Allow"); got != "GET, HEAD" {
		t.Errorf("allowed are %q", got)
	}
}

func TestMetadataTellsWhatIsThere(t *testing.T) {
	h := New(Config{Member: "hospital-a", Kind: "hospital", Version: "1.2"}, nil)
	for _, accept := range []string{"", "*/*", "application/fhir+json", "application/json;q=0.9, text/html", "application/fhir+json; fhirVersion=4.0", "application/fhir+xml, application/fhir+json"} {
		out := ask(h, "GET", "/fhir/metadata", "", "Accept", accept)
		var statement struct {
			ResourceType, Kind, FHIRVersion string
			Software                        struct{ Version string }
			Rest                            []struct{ Mode string }
		}
		if err := json.Unmarshal(out.Body.Bytes(), &statement); err != nil {
			t.Fatal(err)
		}
		if out.Code != 200 || statement.ResourceType != "CapabilityStatement" || statement.Kind != "instance" || statement.FHIRVersion != "4.0.1" ||
			statement.Software.Version != "1.2" || statement.Rest[0].Mode != "server" {
			t.Errorf("for %q got %d %s", accept, out.Code, out.Body)
		}
	}
	whole := ask(h, "GET", "/fhir/metadata", "")
	if e, err := parse(whole.Body.Bytes(), "CapabilityStatement"); err != nil {
		t.Error(err)
	} else if err := validate(e, "CapabilityStatement"); err != nil {
		t.Errorf("what it tells isn't R4: %v", err)
	}
	if pretty := ask(h, "GET", "/fhir/metadata?_pretty=true", ""); pretty.Body.Len() <= whole.Body.Len() || !strings.Contains(pretty.Body.String(), "\n  \"") {
		t.Error("pretty isn't")
	}
	if head := ask(h, "HEAD", "/fhir/metadata", ""); head.Body.Len() != 0 || head.Header().Get("ETag") != whole.Header().Get("ETag") {
		t.Error("HEAD isn't GET without its body")
	}
	if same := ask(h, "GET", "/fhir/metadata", "", "If-None-Match", whole.Header().Get("ETag")); same.Code != 304 || same.Body.Len() != 0 {
		t.Errorf("what the caller has already comes again: %d", same.Code)
	}
	if squeezed := ask(h, "GET", "/fhir/metadata", "", "Accept-Encoding", "gzip"); squeezed.Header().Get("Content-Encoding") != "gzip" || squeezed.Body.Len() >= whole.Body.Len() {
		t.Error("it isn't compressed")
	}
}
