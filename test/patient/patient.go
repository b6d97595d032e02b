// Package patient gives tests patients to share records of: made-up ones always,
// and those of Synthea where the project's shared data lies beside the repository.
package patient

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"yitong/cmd/yitong/synthetic"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Patient is one patient and a record of theirs.
type Patient struct {
	Name   string // for the test's name
	Bundle []byte // FHIR R4, JSON
	ID     *yitongv1.Patient
	// Identifying is everything in the Bundle's Patient that tells who it is:
	// names, identifiers, addresses, birth date, telephone numbers.
	Identifying []string
}

// day ends the care of the synthetic patients.
var day = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)

// Synthetic makes up the patient of a seed.
func Synthetic(t testing.TB, seed uint64) Patient {
	t.Helper()
	return read(t, fmt.Sprintf("synthetic-%d", seed), synthetic.Bundle(seed, day))
}

// Synthea reads the smallest n of the Synthea bundles, and says so when there are
// none.
func Synthea(t testing.TB, n int) []Patient {
	t.Helper()
	dir := filepath.Join(root(t), "..", "shared", "data", "synthea")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Logf("no Synthea bundles in %s: only made-up patients are tried", dir)
		return nil
	}
	type sized struct {
		name string
		size int64
	}
	var found []sized
	for _, f := range files {
		// hospitalInformation and practitionerInformation have no patient.
		if info, err := f.Info(); err == nil && !strings.HasSuffix(f.Name(), "Information.json") && filepath.Ext(f.Name()) == ".json" {
			found = append(found, sized{f.Name(), info.Size()})
		}
	}
	slices.SortFunc(found, func(a, b sized) int { return int(a.size - b.size) })
	var patients []Patient
	for _, f := range found[:min(n, len(found))] {
		doc, err := os.ReadFile(filepath.Join(dir, f.name))
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(f.name, "_")
		patients = append(patients, read(t, "synthea-"+strings.ToLower(name), doc))
	}
	return patients
}

// root is the repository's, where go.mod lies.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		} else if !os.IsNotExist(err) || dir == filepath.Dir(dir) {
			t.Fatal("this test wants to run inside the repository: ", err, fs.ErrNotExist)
		}
		dir = filepath.Dir(dir)
	}
}

// resource is what a FHIR R4 Patient says about who it is.
type resource struct {
	ResourceType string
	BirthDate    string
	Identifier   []struct {
		Type          struct{ Coding []struct{ Code string } }
		System, Value string
	}
	Name []struct {
		Text, Family string
		Given        []string
	}
	Telecom []struct{ Value string }
	Address []struct {
		Text, City, PostalCode string
		Line                   []string
	}
	Extension []struct{ ValueString string }
}

func read(t testing.TB, name string, bundle []byte) Patient {
	t.Helper()
	var doc struct {
		Entry []struct{ Resource json.RawMessage }
	}
	if err := json.Unmarshal(bundle, &doc); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, e := range doc.Entry {
		var r resource
		if err := json.Unmarshal(e.Resource, &r); err != nil || r.ResourceType != "Patient" {
			continue // resources of other types have other shapes
		}
		p := Patient{Name: name, Bundle: bundle, Identifying: r.identifying()}
		for _, id := range r.Identifier {
			mr := slices.ContainsFunc(id.Type.Coding, func(c struct{ Code string }) bool { return c.Code == "MR" })
			if id.Value != "" && id.System != "" && (p.ID == nil || mr) {
				p.ID = &yitongv1.Patient{System: id.System, Value: id.Value}
			}
		}
		if p.ID == nil {
			t.Fatalf("%s: the patient has no identifier", name)
		}
		return p
	}
	t.Fatalf("%s holds no patient", name)
	return Patient{}
}

func (r resource) identifying() []string {
	all := []string{r.BirthDate}
	for _, id := range r.Identifier {
		all = append(all, id.Value)
	}
	for _, n := range r.Name {
		all = append(append(all, n.Text, n.Family), n.Given...)
	}
	for _, c := range r.Telecom {
		all = append(all, c.Value)
	}
	for _, a := range r.Address {
		all = append(append(all, a.Text, a.City, a.PostalCode), a.Line...)
	}
	for _, e := range r.Extension {
		all = append(all, e.ValueString)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}
