package fhir_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"yitong/cmd/yitong/gatewaytest"
)

// HL7's own examples of R4 (npm's hl7.fhir.r4.examples 4.0.1) are of R4: none is refused for
// its form. As they are they speak of patients that nobody here knows, or of several, and are
// refused for that, by the element. With a patient of this hospital's among the entries a
// Bundle of a patient's data is a record, and comes back as it was sent.
func TestHL7sExamplesAreTakenOrRefusedForAReason(t *testing.T) {
	files := map[string]string{}
	for _, dir := range filepath.SplitList(os.Getenv("NODE_PATH")) {
		for _, pattern := range []string{"Bundle-*.json", "DocumentReference-*.json"} {
			found, err := filepath.Glob(filepath.Join(dir, "hl7.fhir.r4.examples", pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range found {
				if info, err := os.Stat(file); err == nil && info.Size() < 1<<20 { // the larger ones are the specification itself
					files[strings.TrimSuffix(filepath.Base(file), ".json")] = file
				}
			}
		}
	}
	if len(files) == 0 {
		t.Skip("HL7's examples aren't here: npm install hl7.fhir.r4.examples@4.0.1, and name its node_modules in NODE_PATH")
	}
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital := open(t, dir, "hospital-a", "")
	taken := map[string]bool{}
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			kind, _, _ := strings.Cut(name, "-")
			refused := post(hospital, "/"+kind, string(raw)).want(t, http.StatusUnprocessableEntity)
			if code, at := refused.issue(t); code != "malformed" || !strings.HasPrefix(at, kind) {
				t.Errorf("refused as %s at %q: %s", code, at, refused.body)
			}
			here := ofThisHospital(t, raw, name)
			r := post(hospital, "/"+kind, string(here))
			if r.StatusCode == http.StatusUnprocessableEntity {
				if _, at := r.issue(t); !strings.HasPrefix(at, "Bundle.entry[") && at != "Bundle.type" {
					t.Errorf("refused at %q: %s", at, r.body)
				}
				return // of several patients, or an answer
			}
			r.want(t, http.StatusCreated)
			taken[name] = true
			if kind != "Bundle" {
				return
			}
			var back bundleDoc
			hospital.do("GET", r.Header.Get("Location"), "").want(t, http.StatusOK).into(t, &back)
			for _, e := range back.Entry {
				if !bytes.Contains(here, e.Resource) {
					t.Errorf("what was sent came back as %.300s", e.Resource)
				}
			}
		})
	}
	for _, name := range []string{"DocumentReference-example", "Bundle-lipids", "Bundle-ghp", "Bundle-report", "Bundle-dg2", "Bundle-micro", "Bundle-f202", "Bundle-lri-example", "Bundle-hla-1"} {
		if !taken[name] {
			t.Errorf("%s isn't taken", name)
		}
	}
	for _, name := range []string{"Bundle-bundle-transaction", "Bundle-father", "Bundle-xds", "Bundle-bundle-response"} {
		if taken[name] {
			t.Errorf("%s is taken, of several patients or of none", name)
		}
	}
}

var namesPatient = regexp.MustCompile(`"reference"\s*:\s*"Patient/([A-Za-z0-9.-]+)"`)

// ofThisHospital gives an example a patient of this hospital's.
func ofThisHospital(t *testing.T, raw []byte, name string) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	mine := map[string]any{"system": "https://hospital-a.example/mrn", "value": "hl7-" + name}
	switch doc["resourceType"] {
	case "DocumentReference":
		doc["subject"] = map[string]any{"identifier": mine}
		doc["category"] = []any{map[string]any{"coding": []any{map[string]any{"system": "urn:yitong:data-class", "code": "document"}}}}
		doc["content"].([]any)[0].(map[string]any)["attachment"] = map[string]any{"contentType": "text/plain", "data": "U2NhbGUgbW9kZWw="}
	case "Bundle":
		patient := map[string]any{"resourceType": "Patient", "identifier": []any{mine}}
		url := "urn:uuid:7a7a7a7a-7a7a-4a7a-8a7a-7a7a7a7a7a7a"
		if named := namesPatient.FindSubmatch(raw); named != nil { // it is who the others are about
			patient["id"], url = string(named[1]), "https://example.com/base/Patient/"+string(named[1])
		}
		entries, _ := doc["entry"].([]any)
		doc["entry"] = append(entries, map[string]any{"fullUrl": url, "resource": patient})
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
