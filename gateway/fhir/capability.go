package fhir

import (
	"slices"
	"strings"
)

// guides are the implementation guides that the façade implements, as far as docs/fhir.md says.
var guides = []string{
	"https://profiles.ihe.net/ITI/MHD/ImplementationGuide/ihe.iti.mhd",
	"https://profiles.ihe.net/ITI/PCF/ImplementationGuide/ihe.iti.pcf",
	"https://profiles.ihe.net/ITI/BALP/ImplementationGuide/ihe.iti.balp",
}

// metadata is the CapabilityStatement (hl7.org/fhir/R4/capabilitystatement.html), made from
// the table of resources. Anybody may read it.
func (f *facade) metadata(c *call) (answer, error) {
	if m := c.asked.Get("mode"); m != "" && m != "full" && m != "normative" && m != "terminology" {
		return answer{}, invalid("http.mode", "there is no such mode", "full, normative or terminology")
	}
	return answer{resource: f.capability(c.address()), etag: f.build(), modified: f.started}, nil
}

// build changes with each start: what the statement says may.
func (f *facade) build() string { return f.started.UTC().Format("20060102150405") }

type object = map[string]any

func (f *facade) capability(address string) object {
	rest := object{
		"mode": "server",
		"documentation": "What the caller may do is decided by the member's policy, and what may be opened by the ledger: " +
			"a resource that isn't permitted isn't found. IHE transactions: " + strings.Join(transactions, "; ") + ".",
		"security": object{
			"cors": false,
			"service": []object{
				{"coding": []object{{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "SMART-on-FHIR"}}},
				{"coding": []object{{"system": "http://terminology.hl7.org/CodeSystem/restful-security-service", "code": "Certificates"}}},
			},
			"description": "Mutual TLS with a certificate of the member, or a bearer token: see " + address + smartPath,
		},
		"resource": f.resourceStatements(),
	}
	if f.transact != nil {
		rest["interaction"] = []object{{"code": "transaction"}}
	}
	return object{
		"resourceType": "CapabilityStatement",
		"url":          address + "/metadata",
		"name":         "YitongGateway",
		"title":        "Yitong gateway of " + f.Member,
		"status":       "active",
		"experimental": false,
		"date":         instant(f.started),
		"kind":         "instance",
		"software":     object{"name": "Yitong", "version": f.Version},
		"implementation": object{
			"description": "The gateway of " + f.Member + " (" + f.Kind + ")", "url": address,
		},
		"fhirVersion":         "4.0.1",
		"format":              []string{"application/fhir+json", "json"},
		"implementationGuide": guides,
		"rest":                []object{rest},
	}
}

// transactions say of each IHE transaction how far it is supported; docs/fhir.md says it at
// length. Each resource's file adds its own.
var transactions = []string{
	"ITI-108 Access Consent (PCF): Consent create, read, update, search and withdrawal",
	"ITI-81 Retrieve ATNA Audit Event: AuditEvent search and read, after BALP",
	"ITI-20 Record Audit Event: not supported, the ledger alone makes them",
	"all in JSON, none in XML",
}

func (f *facade) resourceStatements() []object {
	out := []object{}
	for _, r := range f.resources {
		var interactions []object
		for _, i := range []struct {
			code string
			has  bool
		}{
			{"read", r.read != nil}, {"vread", r.vread != nil}, {"update", r.update != nil}, {"delete", r.remove != nil},
			{"history-instance", r.past != nil}, {"create", r.create != nil}, {"search-type", r.search != nil},
		} {
			if i.has {
				interactions = append(interactions, object{"code": i.code})
			}
		}
		s := object{
			"type": r.kind, "interaction": interactions, "referencePolicy": []string{"literal", "logical"},
			"readHistory": r.vread != nil, "updateCreate": false, "conditionalCreate": r.conditional,
			"conditionalRead": "full-support", "conditionalUpdate": false, "conditionalDelete": "not-supported",
		}
		if interactions == nil {
			delete(s, "interaction")
		}
		if r.vread != nil {
			s["versioning"] = "versioned"
		} else {
			s["versioning"] = "no-version"
		}
		if r.update != nil {
			s["versioning"] = "versioned-update"
		}
		if r.documentation != "" {
			s["documentation"] = r.documentation
		}
		if len(r.profiles) > 0 {
			s["supportedProfile"] = r.profiles
		}
		if len(r.include) > 0 {
			s["searchInclude"] = r.include
		}
		if r.search != nil {
			var params []object
			for _, p := range append(slices.Clone(r.params), shared...) {
				params = append(params, object{"name": p.name, "type": p.kind, "documentation": p.doc})
			}
			s["searchParam"] = params
		}
		var operations []object
		for _, o := range r.operations {
			operations = append(operations, object{"name": o.name, "definition": o.definition})
		}
		if len(operations) > 0 {
			s["operation"] = operations
		}
		out = append(out, s)
	}
	return out
}
