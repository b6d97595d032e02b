// Package fhir is the FHIR R4 (4.0.1) façade of a member's gateway, mounted at /fhir on its
// HTTPS door, so that an institution's own software needs to speak nothing of ours:
//
//	record ──Bundle, DocumentReference──▶ Records.Submit
//	List, DocumentReference, Binary, Bundle, Patient/$everything ◀── Contents (opened parts, own records)
//
// It decides nothing and keeps nothing. Each request becomes calls over the connection that
// it is given, with the caller's rights: the door, the member's policy and the rules behind
// it say what is allowed. A resource is a file of its own with one entry in the table of
// [New]; the CapabilityStatement is made from that table, so it tells of what is there.
//
// What comes in is untrusted. JSON is read by one strict decoder (package comment of
// document.go) and held against the R4 definitions; what was received is kept byte for
// byte and never marshalled anew. A reference or a URL in a resource is a name, never
// something to call. Every error is an OperationOutcome, with the place in the resource
// (FHIRPath) and the refusal's stable code. Patients stand in no link that is made here,
// and in no log.
package fhir
