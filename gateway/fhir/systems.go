package fhir

// The systems of codes and identifiers that are Yitong's own. Those of AuditEvents
// (gateway/audit/auditevent) are the same.
const (
	memberSystem   = "urn:yitong:member"      // MSP ids; names of members are taken too
	kindSystem     = "urn:yitong:kind"        // hospital, insurer, regulator
	handleSystem   = "urn:yitong:handle"      // pseudonym of a patient in one relationship
	consentSystem  = "urn:yitong:consent"     // ids of consents
	accessSystem   = "urn:yitong:access"      // ids of accesses
	classSystem    = "urn:yitong:data-class"  // docs/formats/consent.md
	formSystem     = "urn:yitong:record-type" // likewise
	evidenceSystem = "urn:yitong:evidence"    // salted digests of what was signed
	signerSystem   = "urn:yitong:key"         // ids of keys that sign directives
	reasonSystem   = "urn:yitong:reason"      // of a decision, a withdrawal
	taskSystem     = "urn:yitong:task"        // what a Task asks for: access, emergency-access
	inputSystem    = "urn:yitong:task-input"  // docs/fhir.md
	outputSystem   = "urn:yitong:task-output" // likewise
	stateSystem    = "urn:yitong:task-state"  // how far an access has come
	causeSystem    = "urn:yitong:emergency"   // why the glass was broken
	assureSystem   = "urn:yitong:assurance"   // how sure the ledger is that it is the patient's own word
)

// Extensions of Yitong's own.
const recordTypeExtension = "urn:yitong:extension:record-type"

// The systems of HL7's that are used here.
const (
	reasonCodes        = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
	actCodes           = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	confidentiality    = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
	participationTypes = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
	consentScopes      = "http://terminology.hl7.org/CodeSystem/consentscope"
	consentActions     = "http://terminology.hl7.org/CodeSystem/consentaction"
	resourceTypes      = "http://hl7.org/fhir/resource-types"
	mediaTypes         = "urn:ietf:bcp:13"
	uris               = "urn:ietf:rfc:3986"
	loinc              = "http://loinc.org"
)

// formOf are the media types that a record type stands for alone: other record types hold
// several media types, and a permit of one must not become one of all.
var formOf = map[string]string{"application/pdf": "pdf", "application/hl7-cda+xml": "cda"}
