package command_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// visitor is a member's own software that speaks HTTP and no gRPC.
type visitor struct {
	t    *testing.T
	base string
	http *http.Client
}

func visit(t *testing.T, p client.Profile, as ...client.Profile) visitor {
	t.Helper()
	config, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	if len(as) > 0 {
		other, err := as[0].TLS()
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = other.Certificates
	}
	transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return visitor{t, "https://" + p.HTTP, &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

func (v visitor) do(method, path string, header ...string) (*http.Response, []byte) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, v.base+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	out, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(out.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return out, body
}

// get wants an answer, and reads it into a message.
func (v visitor) get(into proto.Message, path string, header ...string) {
	v.t.Helper()
	r, body := v.do(http.MethodGet, path, header...)
	if r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Cache-Control") != "no-store" {
		v.t.Fatalf("%s: %s, %v: %s", path, r.Status, r.Header, body)
	}
	if err := protojson.Unmarshal(body, into); err != nil {
		v.t.Fatalf("%s: %v: %s", path, err, body)
	}
}

// refused wants a problem.
func (v visitor) refused(status int, code, method, path string, header ...string) {
	v.t.Helper()
	r, body := v.do(method, path, header...)
	var p struct {
		Type, Title, Detail, Code, Allowed string
		Status                             int
	}
	if err := json.Unmarshal(body, &p); err != nil || r.Header.Get("Content-Type") != "application/problem+json" {
		v.t.Fatalf("%s %s: %s, %s", method, path, r.Status, body)
	}
	if r.StatusCode != status || p.Status != status || p.Code != code || p.Title == "" || p.Detail == "" {
		v.t.Errorf("%s %s: %s, want %d with %s: %s", method, path, r.Status, status, code, body)
	}
}

// Every question has the same answer over HTTPS as over gRPC.
func TestQuestionsOverHTTPS(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	bundle, form := filepath.Join(dir, "bundle.json"), filepath.Join(dir, "form")
	example := yitong(t, "record", "example", "--seed", "7", "--day", "2026-11-21")
	for file, text := range map[string]string{bundle: example.out, form: "signed"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	play := func(want int, args ...string) {
		t.Helper()
		if got := yitong(t, append(args, "--dir", dir)...); got.exit != want {
			t.Fatalf("%v: exit code %d: %s", args, got.exit, got.err)
		}
	}
	const id = "33333333333333333333333333333333"
	play(0, "record", "submit", bundle, "--as", "hospital-a")
	play(3, "access", "request", "--as", "insurer", "--custodian", "hospital-a", "--patient-file", bundle, "--purpose", "CLMATTCH", "--class", "laboratory")
	play(0, "consent", "grant", "--as", "hospital-a", "--patient-file", bundle, "--requester", "insurer", "--purpose", "HPAYMT", "--form", form, "--id", id)
	for range 3 {
		play(0, "access", "request", "--as", "insurer", "--custodian", "hospital-a", "--patient-file", bundle, "--purpose", "CLMATTCH", "--class", "laboratory")
	}
	play(0, "access", "request", "--as", "insurer", "--custodian", "hospital-a", "--patient-file", bundle, "--purpose", "CLMATTCH", "--class", "laboratory", "--id", "44444444444444444444444444444444")
	play(0, "access", "open", "44444444444444444444444444444444", "--as", "insurer", "--out", filepath.Join(dir, "opened"))

	for _, of := range []string{"55555555555555555555555555555555", "66666666666666666666666666666666"} {
		play(0, "emergency", "open", "--as", "hospital-b", "--user", "clinician", "--custodian", "hospital-a", "--patient-file", bundle, "--reason", "unconscious", "--id", of)
	}

	profile := func(member string) client.Profile {
		p, err := client.ReadProfile(dir, member)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	v := visit(t, profile("regulator"))
	c, err := client.Dial(profile("regulator"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	same := func(path string, got proto.Message, want proto.Message, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		v.get(got, path)
		if !proto.Equal(got, want) {
			t.Errorf("%s:\nover HTTPS %v\nover gRPC  %v", path, got, want)
		}
		if proto.Size(want) < 30 && !strings.Contains(path, "unreceipted") && !strings.Contains(path, "expiring") && !strings.Contains(path, "orders") && !strings.Contains(path, "changes") && !strings.Contains(path, "erasures") && !strings.Contains(path, "counts") {
			t.Errorf("%s: the answer is empty: %v", path, want)
		}
	}
	entries, err := c.Audit.Entries(ctx, &yitongv1.EntriesRequest{
		Filter: &yitongv1.EntryFilter{Custodian: "hospital-a", Kinds: []string{"request", "release"}, Outcomes: []string{"success"}}, NewestFirst: true, Page: &yitongv1.Page{Size: 3},
	})
	same("/v1/audit/entries?custodian=hospital-a&kind=request&kind=release&outcome=success&newest_first=true&size=3", &yitongv1.EntriesResponse{}, entries, err)
	if entries.GetNextBookmark() == "" {
		t.Error("there is no second page to try")
	}
	second, err := c.Audit.Entries(ctx, &yitongv1.EntriesRequest{
		Filter: &yitongv1.EntryFilter{Custodian: "hospital-a", Kinds: []string{"request", "release"}, Outcomes: []string{"success"}}, NewestFirst: true,
		Page: &yitongv1.Page{Size: 3, Bookmark: entries.GetNextBookmark()},
	})
	same("/v1/audit/entries?custodian=hospital-a&kind=request&kind=release&outcome=success&newest_first=true&size=3&bookmark="+entries.GetNextBookmark(), &yitongv1.EntriesResponse{}, second, err)
	life, err := c.Audit.Consent(ctx, &yitongv1.ConsentLifeRequest{Id: id})
	same("/v1/audit/consents/"+id, &yitongv1.ConsentLifeResponse{}, life, err)
	handle := life.GetVersions()[0].GetConsent().GetHandle()
	let, err := c.Audit.Disclosures(ctx, &yitongv1.DisclosuresRequest{Handle: handle})
	same("/v1/audit/disclosures?handle="+handle, &yitongv1.DisclosuresResponse{}, let, err)
	no, err := c.Audit.Denials(ctx, &yitongv1.DenialsRequest{Requester: "insurer"})
	same("/v1/audit/denials?requester=insurer", &yitongv1.DenialsResponse{}, no, err)
	open, err := c.Audit.Unreceipted(ctx, &yitongv1.UnreceiptedRequest{})
	same("/v1/audit/unreceipted", &yitongv1.UnreceiptedResponse{}, open, err)
	soon, err := c.Audit.Expiring(ctx, &yitongv1.ExpiringRequest{})
	same("/v1/audit/expiring", &yitongv1.ExpiringResponse{}, soon, err)
	sudden, err := c.Audit.Changes(ctx, &yitongv1.ChangesRequest{})
	same("/v1/audit/changes", &yitongv1.ChangesResponse{}, sudden, err)
	orders, err := c.Audit.Orders(ctx, &yitongv1.OrdersRequest{})
	same("/v1/audit/orders", &yitongv1.OrdersResponse{}, orders, err)
	digest, err := c.Audit.Digest(ctx, &yitongv1.DigestRequest{})
	same("/v1/audit/digest", &yitongv1.DigestResponse{}, digest, err)

	// Break-glass, reviewed and not, and what other services answer of an audit.
	for _, who := range []string{"regulator", "hospital-a"} {
		v = visit(t, profile(who))
		c, err := client.Dial(profile(who))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		past, err := c.Emergencies.History(ctx, &yitongv1.EmergencyHistoryRequest{Custodian: "hospital-a", State: "unreviewed", NewestFirst: true, Page: &yitongv1.Page{Size: 1}})
		same("/v1/emergencies/history?custodian=hospital-a&state=unreviewed&newest_first=true&size=1", &yitongv1.EmergencyHistoryResponse{}, past, err)
		unreviewed, err := c.Emergencies.List(ctx, &yitongv1.ListEmergenciesRequest{Requester: "hospital-b"})
		same("/v1/emergencies/open?requester=hospital-b", &yitongv1.ListEmergenciesResponse{}, unreviewed, err)
		rates, err := c.Emergencies.Rates(ctx, &yitongv1.EmergencyRatesRequest{Member: "hospital-b"})
		same("/v1/emergencies/rates?member=hospital-b", &yitongv1.EmergencyRatesResponse{}, rates, err)
		counts, err := c.Handles.Counts(ctx, &yitongv1.CountsRequest{Member: "insurer"})
		same("/v1/handles/counts?member=insurer", &yitongv1.CountsResponse{}, counts, err)
		pending, err := c.Erasures.Pending(ctx, &yitongv1.PendingErasuresRequest{})
		same("/v1/erasures/pending", &yitongv1.PendingErasuresResponse{}, pending, err)
		due, err := c.Erasures.Due(ctx, &yitongv1.DueRequest{WithinSeconds: 86400, Page: &yitongv1.Page{Size: 2}})
		same("/v1/erasures/due?within_seconds=86400&size=2", &yitongv1.DueResponse{}, due, err)
		notices, err := c.Erasures.Notices(ctx, &yitongv1.NoticesRequest{})
		same("/v1/erasures/notices", &yitongv1.NoticesResponse{}, notices, err)
	}
	v = visit(t, profile("regulator"))

	t.Run("within a time", func(t *testing.T) {
		var none yitongv1.EntriesResponse
		if v.get(&none, "/v1/audit/entries?from=2100-01-01T00:00:00Z"); len(none.GetEntries()) != 0 {
			t.Errorf("%d entries lie in the future", len(none.GetEntries()))
		}
		var some yitongv1.EntriesResponse
		if v.get(&some, "/v1/audit/entries?until=2100-01-01T00:00:00Z"); len(some.GetEntries()) == 0 {
			t.Error("nothing lies before 2100")
		}
	})
	t.Run("about a patient, who isn't named in an address", func(t *testing.T) {
		var who struct {
			Entry []struct {
				Resource struct {
					ResourceType string
					Identifier   []struct{ System, Value string }
				}
			}
		}
		if err := json.Unmarshal([]byte(example.out), &who); err != nil {
			t.Fatal(err)
		}
		for _, e := range who.Entry {
			if e.Resource.ResourceType != "Patient" {
				continue
			}
			name := e.Resource.Identifier[0].System + "|" + e.Resource.Identifier[0].Value
			var got yitongv1.DisclosuresResponse
			if visit(t, profile("hospital-a")).get(&got, "/v1/audit/disclosures", "Yitong-Patient", name); len(got.GetDisclosures()) != 1 {
				t.Errorf("%v", &got)
			}
			v.refused(http.StatusNotFound, "not-found", http.MethodGet, "/v1/audit/disclosures", "Yitong-Patient", name)
		}
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/disclosures", "Yitong-Patient", "nonsense")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/digest", "Yitong-Patient", "a|b")
	})
	t.Run("refusals", func(t *testing.T) {
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/disclosures")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/entries?kind=nonsense")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/entries?costodian=hospital-a")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/entries?from=yesterday")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/entries?member=a&member=b")
		v.refused(http.StatusNotFound, "not-found", http.MethodGet, "/v1/audit/entries?member=hospital-c")
		for _, path := range []string{"/v1/audit/entries", "/v1/audit/denials", "/v1/audit/disclosures", "/v1/audit/expiring", "/v1/audit/changes", "/v1/audit/orders", "/v1/audit/export", "/v1/emergencies/history", "/v1/emergencies/rates"} {
			v.refused(http.StatusBadRequest, "malformed", http.MethodGet, path+"?from=2026-11-22T00:00:00Z&until=2026-11-21T23:59:59Z")
			v.refused(http.StatusBadRequest, "malformed", http.MethodGet, path+"?from=2026-11-22T08:00:00%2B08:00&until=2026-11-22T00:00:00Z")
		}
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/entries?size=-1")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/entries?size=many")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/emergencies/history?state=nonsense")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/emergencies/open?member=hospital-a")
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/erasures/due?within_seconds=soon")
		v.refused(http.StatusNotFound, "not-found", http.MethodGet, "/v1/audit/consents/99999999999999999999999999999999")
		v.refused(http.StatusNotFound, "NotFound", http.MethodGet, "/v1/nothing")
		v.refused(http.StatusMethodNotAllowed, "Unimplemented", http.MethodPost, "/v1/audit/entries")
		v.refused(http.StatusMethodNotAllowed, "Unimplemented", http.MethodDelete, "/v1/audit/entries")
		v.refused(http.StatusRequestEntityTooLarge, "ResourceExhausted", http.MethodGet, "/v1/audit/entries?handle="+strings.Repeat("a", 9<<10))
	})
	t.Run("a FHIR search for what a stranger did finds nothing", func(t *testing.T) {
		for _, search := range []string{"AuditEvent?agent.identifier=", "Consent?actor:identifier=", "Task?requester:identifier="} {
			for member, some := range map[string]bool{"Insurer": true, "Nobody": false} {
				r, body := v.do(http.MethodGet, "/fhir/"+search+"urn:yitong:member%7C"+member)
				var bundle struct{ Entry []any }
				if err := json.Unmarshal(body, &bundle); err != nil || r.StatusCode != http.StatusOK || (len(bundle.Entry) > 0) != some {
					t.Errorf("%s%s: %s, %d entries: %s", search, member, r.Status, len(bundle.Entry), body)
				}
			}
		}
	})
	t.Run("another member's software, and a person without the right", func(t *testing.T) {
		visit(t, profile("regulator"), profile("insurer")).refused(http.StatusForbidden, "PermissionDenied", http.MethodGet, "/v1/audit/entries")
		clinician, err := profile("hospital-a").For("clinician")
		if err != nil {
			t.Fatal(err)
		}
		visit(t, profile("hospital-a"), clinician).refused(http.StatusForbidden, "PermissionDenied", http.MethodGet, "/v1/audit/entries")
		for _, path := range []string{"/v1/emergencies/history", "/v1/emergencies/rates", "/v1/erasures/pending", "/v1/erasures/due", "/v1/erasures/notices", "/v1/handles/counts"} {
			visit(t, profile("hospital-a"), clinician).refused(http.StatusForbidden, "PermissionDenied", http.MethodGet, path)
		}
		auditor, err := profile("regulator").For("auditor")
		if err != nil {
			t.Fatal(err)
		}
		visit(t, profile("regulator"), auditor).get(&yitongv1.EntriesResponse{}, "/v1/audit/entries")
	})
	t.Run("without a certificate", func(t *testing.T) {
		bare := visit(t, profile("regulator"))
		bare.http.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
		for _, path := range []string{"/v1/openapi.json", "/v1/audit/entries", "/v1/whoami", "/fhir/Patient", "/nowhere"} {
			r, err := bare.http.Get(bare.base + path)
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer ") {
				t.Errorf("%s answers %s, %v", path, r.Status, r.Header)
			}
		}
	})
	t.Run("an export, signed", func(t *testing.T) {
		r, body := v.do(http.MethodGet, "/v1/audit/export?format=csv&kind=release")
		if r.StatusCode != http.StatusOK || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/csv") || strings.Count(string(body), "\n") != 2 {
			t.Fatalf("%s %v: %s", r.Status, r.Header, body)
		}
		statement, err := base64.StdEncoding.DecodeString(r.Trailer.Get("Yitong-Statement"))
		if err != nil || !strings.Contains(string(statement), `"sha256"`) || r.Trailer.Get("Yitong-Signature") == "" || r.Trailer.Get("Yitong-Key") == "" {
			t.Errorf("%v, %s, %v", r.Trailer, statement, err)
		}
		v.refused(http.StatusBadRequest, "malformed", http.MethodGet, "/v1/audit/export?format=nonsense")
	})
	t.Run("its description", func(t *testing.T) {
		_, body := v.do(http.MethodGet, "/v1/openapi.json")
		var doc struct {
			OpenAPI string
			Paths   map[string]struct {
				Get struct {
					OperationID string
					Parameters  []struct{ Name, In string }
				}
			}
			Components struct {
				Schemas map[string]struct{ Properties map[string]any }
			}
		}
		if err := json.Unmarshal(body, &doc); err != nil || doc.OpenAPI != "3.1.0" {
			t.Fatal(err, string(body))
		}
		for path, want := range map[string]string{"/v1/audit/entries": "Audit.Entries", "/v1/audit/consents/{id}": "Audit.Consent", "/v1/audit/export": "Audit.Export", "/v1/emergencies/history": "Emergencies.History", "/v1/erasures/due": "Erasures.Due", "/v1/handles/counts": "Handles.Counts"} {
			if doc.Paths[path].Get.OperationID != want {
				t.Errorf("%s is %q", path, doc.Paths[path].Get.OperationID)
			}
		}
		if entry := doc.Components.Schemas["AuditEntry"]; entry.Properties["transactionId"] == nil {
			t.Errorf("an entry has %v", slices.Sorted(maps.Keys(entry.Properties)))
		}
		// Every $ref leads somewhere.
		for i, part := range strings.Split(string(body), `"#/components/schemas/`) {
			name, _, _ := strings.Cut(part, `"`)
			if _, there := doc.Components.Schemas[name]; i > 0 && !there {
				t.Errorf("there is no schema %q", name)
			}
		}
	})
}
