package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// patientFlags name a patient. An identifier on the command line is seen by
// everyone on the machine (ps) and stays in the shell's history; a file isn't.
type patientFlags struct{ given, file string }

func (p *patientFlags) add(f *pflag.FlagSet) {
	f.StringVar(&p.given, "patient", "", "patient as system|value; other users of this machine can see it, prefer --patient-file")
	f.StringVar(&p.file, "patient-file", "", "file with system|value on its first line, or a FHIR Bundle of the patient; - for standard input")
}

// patient reads who is meant; nil when neither flag is given.
func (a *app) patient(p patientFlags) (*yitongv1.Patient, error) {
	switch {
	case p.given != "" && p.file != "":
		return nil, usage("--patient and --patient-file exclude each other")
	case p.given != "":
		return parsePatient(p.given)
	case p.file == "":
		return nil, nil
	}
	doc, err := a.readInput(p.file)
	if err != nil {
		return nil, err
	}
	if isBundle(doc) {
		return a.patientOfBundle(doc)
	}
	first, _, _ := bytes.Cut(doc, []byte("\n"))
	return parsePatient(string(first))
}

// needPatient is patient where there must be one.
func (a *app) needPatient(p patientFlags) (*yitongv1.Patient, error) {
	who, err := a.patient(p)
	if who == nil && err == nil {
		return nil, usage("no patient given: use --patient-file FILE, or --patient 'system|value'")
	}
	return who, err
}

func parsePatient(s string) (*yitongv1.Patient, error) {
	system, value, ok := strings.Cut(strings.TrimSpace(s), "|")
	if !ok || system == "" || value == "" { // the text may be an identifier: don't repeat it
		return nil, usage("a patient is written system|value, for example https://hospital-a.example/mrn|MRN-0000001")
	}
	return &yitongv1.Patient{System: system, Value: value}, nil
}

// readInput reads a file whole, or standard input for "-".
func (a *app) readInput(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(a.In)
	}
	doc, err := os.ReadFile(path)
	if err != nil {
		return nil, &failure{exit: exitUsage, err: err, next: "name a file that can be read, or - for standard input"}
	}
	return doc, nil
}

// isBundle reports whether doc begins like a FHIR Bundle.
func isBundle(doc []byte) bool {
	d := json.NewDecoder(bytes.NewReader(doc))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return false
		}
		if key == "resourceType" {
			kind, err := d.Token()
			return err == nil && kind == "Bundle"
		}
		var skipped json.RawMessage
		if d.Decode(&skipped) != nil {
			return false
		}
	}
	return false
}

// patientOfBundle takes the one Patient of a Bundle and says which of the
// identifiers was chosen: the medical record number (HL7 v2-0203 MR) if there
// is one, else the first with a system and a value.
func (a *app) patientOfBundle(doc []byte) (*yitongv1.Patient, error) {
	who, kind, err := bundlePatient(doc)
	if err != nil {
		return nil, &failure{exit: exitUsage, err: err, next: "name the patient with --patient-file FILE"}
	}
	a.screen.Say("patient: the Bundle's own, by the %s of %s", kind, who.GetSystem())
	return who, nil
}

func bundlePatient(doc []byte) (*yitongv1.Patient, string, error) {
	var bundle struct {
		Entry []struct {
			Resource struct {
				ResourceType string
				Identifier   json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(doc, &bundle); err != nil {
		return nil, "", errors.New("the Bundle is not valid JSON")
	}
	var found json.RawMessage
	patients := 0
	for _, e := range bundle.Entry {
		if e.Resource.ResourceType == "Patient" {
			patients++
			found = e.Resource.Identifier
		}
	}
	if patients != 1 {
		return nil, "", fmt.Errorf("the Bundle holds %d patients; it can only be taken from one that holds exactly one", patients)
	}
	var ids []struct {
		Type          struct{ Coding []struct{ Code string } }
		System, Value string
	}
	if len(found) > 0 {
		if err := json.Unmarshal(found, &ids); err != nil {
			return nil, "", errors.New("the identifiers of the Bundle's patient can't be read")
		}
	}
	var who *yitongv1.Patient
	for _, id := range ids {
		if id.System == "" || id.Value == "" {
			continue
		}
		for _, c := range id.Type.Coding {
			if c.Code == "MR" {
				return &yitongv1.Patient{System: id.System, Value: id.Value}, "medical record number", nil
			}
		}
		if who == nil {
			who = &yitongv1.Patient{System: id.System, Value: id.Value}
		}
	}
	if who == nil {
		return nil, "", errors.New("the Bundle's patient has no identifier with a system and a value")
	}
	return who, "identifier", nil
}
