package fhir

import (
	"encoding/hex"
	"strings"
	"sync"
	"time"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/identifier"
)

// patientResource is the resource for a patient: the identifier, and nothing else that is known.
type patientResource struct {
	ResourceType string       `json:"resourceType"`
	ID           string       `json:"id"`
	Meta         *Meta        `json:"meta,omitempty"`
	Identifier   []Identifier `json:"identifier"`
}

// patientsOf is the resource Patient: who there are contents of. It is there so that they
// can be named in addresses by an id that says nothing, and for $everything.
func (f *facade) patientsOf() resource {
	return resource{
		kind: "Patient",
		documentation: "Patients that there are contents of, with the identifier that they are known by and nothing more (their demographics are " +
			"in the contents). Post the search: an identifier in an address ends up in logs. An id is this gateway's own.",
		read: func(c *call) (answer, error) {
			p, err := c.patient(c.id)
			if err != nil {
				return answer{}, err
			}
			return answer{resource: c.patientOut(p), etag: "1"}, nil
		},
		search: searchPatients,
		params: []param{{name: "identifier", kind: "token", doc: "system|value", patient: true}},
		operations: []operation{{
			name: "everything", definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything", instance: true, reads: true, serve: everything,
		}},
	}
}

func (c *call) patientOut(p *yitongv1.Patient) patientResource {
	return patientResource{"Patient", c.patientID(p), &Meta{VersionID: "1"}, []Identifier{{System: p.GetSystem(), Value: p.GetValue()}}}
}

func searchPatients(c *call, q query) (page, error) {
	var p page
	if q.first("identifier") == "" && q.first("_id") == "" {
		return p, unprocessable("http.identifier", "patients are searched by an identifier or an id", "identifier=system|value")
	}
	found := map[string]*yitongv1.Patient{}
	for i, cr := range append(q.get("identifier"), q.get("_id")...) {
		these := map[string]*yitongv1.Patient{}
		for _, v := range cr.values {
			who, err := c.named(cr, v)
			if f, ok := err.(*Fault); ok && f.Type == "not-found" {
				continue
			}
			if err != nil {
				return p, err
			}
			if i == 0 || found[c.patientID(who)] != nil {
				these[c.patientID(who)] = who
			}
		}
		found = these
	}
	for id, who := range found {
		if known, err := c.hasContents(who); err != nil {
			return p, err
		} else if known {
			p.entries = append(p.entries, entry{id: id, resource: c.patientOut(who)})
		}
	}
	n := len(p.entries)
	p.total = &n
	return p, nil
}

// named is the patient of a value of identifier or _id.
func (c *call) named(cr criterion, value string) (*yitongv1.Patient, error) {
	if cr.param.name == "_id" {
		return c.patient(value)
	}
	system, id, err := patientOf("http."+cr.param.name, value)
	if err != nil {
		return nil, err
	}
	return normal("http."+cr.param.name, system, id)
}

// normal is a patient by the one spelling of its identifier.
func normal(at, system, value string) (*yitongv1.Patient, error) {
	i, err := identifier.Normalise(system, value)
	if err != nil {
		return nil, invalid(at, "the patient's identifier isn't one", "a system (URI) and a value, as the standard of that identifier has it")
	}
	return &yitongv1.Patient{System: i.System, Value: i.Value}, nil
}

func (c *call) hasContents(p *yitongv1.Patient) (bool, error) {
	listed, err := yitongv1.NewContentsClient(c.conn).List(c.ctx(), &yitongv1.ListContentsRequest{Patient: p, Page: &yitongv1.Page{Size: 1}})
	return len(listed.GetContents()) > 0, err
}

// patients remembers who an id stands for. The id is derived from the identifier under the
// gateway's secret, so it stays the same, and tells nothing.
type patients struct {
	mu      sync.Mutex
	of      map[string]*yitongv1.Patient
	scanned time.Time
}

// Bounds of what is remembered, and of how often the contents are looked through for an id
// that isn't.
const (
	maxPatients = 100_000
	scanEvery   = 10 * time.Second
)

// patientID is the id of a patient, which is remembered.
func (c *call) patientID(p *yitongv1.Patient) string {
	id := hex.EncodeToString(c.derive("patient", p.GetSystem(), p.GetValue())[:16])
	c.patients.mu.Lock()
	defer c.patients.mu.Unlock()
	if c.patients.of == nil || len(c.patients.of) >= maxPatients {
		c.patients.of = map[string]*yitongv1.Patient{}
	}
	c.patients.of[id] = p
	return id
}

// patient is who an id stands for. One that isn't remembered is looked for among the
// contents that tell whose they are; a requester's don't, so there it is searched by its
// identifier first.
func (c *call) patient(id string) (*yitongv1.Patient, error) {
	if p := c.patients.find(id); p != nil {
		return p, nil
	}
	if !c.patients.mayScan(c.Now()) {
		return nil, notFound()
	}
	for e, err := range c.contents(&yitongv1.ListContentsRequest{}) {
		if err != nil {
			return nil, err
		}
		if e.GetPatient() != nil {
			c.patientID(e.GetPatient())
		}
	}
	if p := c.patients.find(id); p != nil {
		return p, nil
	}
	return nil, notFound()
}

func (p *patients) find(id string) *yitongv1.Patient {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[id]
}

func (p *patients) mayScan(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.scanned) < scanEvery {
		return false
	}
	p.scanned = now
	return true
}

// patientCriterion is the patient that a search is about, by any of the parameters that name
// one: a reference (Patient/[id]) or an identifier. nil is no such parameter; several must
// name the same.
func (c *call) patientCriterion(q query) (*yitongv1.Patient, error) {
	var found *yitongv1.Patient
	for _, cr := range q.criteria {
		if !cr.param.patient {
			continue
		}
		at := "http." + cr.param.name
		if len(cr.values) != 1 {
			return nil, invalid(at, "one patient at a time", "one value")
		}
		var p *yitongv1.Patient
		var err error
		if cr.param.kind == "token" {
			var system, value string
			if system, value, err = patientOf(at, cr.values[0]); err == nil {
				p, err = normal(at, system, value)
			}
		} else {
			id := strings.TrimPrefix(strings.TrimPrefix(cr.values[0], c.address()+"/"), "Patient/")
			if !validID.MatchString(id) {
				return nil, invalid(at, "this is no patient of this gateway", "Patient/[id], or patient.identifier=system|value")
			}
			p, err = c.patient(id)
		}
		if err != nil {
			return nil, err
		}
		if found != nil && (found.GetSystem() != p.GetSystem() || found.GetValue() != p.GetValue()) {
			return nil, notFound()
		}
		found = p
	}
	return found, nil
}
