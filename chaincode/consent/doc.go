// Package consent decides whether a patient's consents permit what a member asks for.
//
//	consents of one relationship ┐
//	request                      ├──Evaluate──▶ Decision ──Scope.Covers──▶ part by part
//	instant                      ┘
//
// The chaincode, the gateways and the audit's replay all run this one pure function: no clock, no
// random, no I/O, no order that isn't written down. The threat it answers is a member that reads
// more than the patient agreed to, and a custodian or requester that claims the rules said so.
//
// # What is followed
//
// FHIR R4 Consent (hl7.org/fhir/R4/consent.html) and IHE Privacy Consent on FHIR 1.1 (PCF): a root
// provision whose type is the base decision, and nested provisions that are exceptions to the one
// above them.
//
// # What a provision matches
//
// Every criterion that is there must match; one that isn't restricts nothing.
//
//	actors      one of them is the requester, or the requester's kind
//	actions     the action is among them
//	purposes    the purpose is among them or below one of them (HL7 v3 PurposeOfUse)
//	period      the instant is in it; a root's is cut to the consent's
//	classes     the part's class is among them
//	labels      a permit: the part has labels, and all of them are among these, but for
//	            those that others of the part are cases of (psychiatry is mental health)
//	            a denial: some of the part's labels is among these
//	recordTypes the part's record type (the form it comes in) is among them
//	dataPeriod  a permit: the part's data lies wholly within; a denial: it overlaps
//
// So in doubt a denial hits and a permit doesn't; data of an unknown time counts as of all times.
// Periods are half-open, [start, end): FHIR's end is inclusive.
//
// # Which rule wins
//
// A provision that doesn't match is silent, its exceptions with it. One that matches says its type,
// unless an exception speaks: then it says what the exception says, and if exceptions disagree,
// denial wins. Of several consents any denial wins, then any permit. If all are silent: deny.
//
// A consent out of its period is silent. A withdrawn one turns from permit to silence, and goes on
// denying what it denied: withdrawing never widens access. To lift a denial, amend the consent.
//
// A consent of a lower assurance than the request demands is taken for a withdrawn one: it permits
// nothing, and denies what it denies.
//
// # What holds at all times (and is tested as a property)
//
//   - Withdrawing a consent never widens what is covered, nor does adding one that only denies.
//   - Demanding a higher assurance never widens what is covered; a consent gaining assurance never
//     narrows it.
//   - The order of the consents never matters.
//   - Before Decision.Until, time alone changes nothing.
//   - Once a consent's period is over it never permits anything again, whatever the request. Its
//     denials end with it too, so what other consents permit may widen then: expiry is monotone in
//     what a consent permits, and in all a set of consents covers when none of them denies and no
//     provision begins later.
//   - Scope.Covers says of every part what evaluating the consents for that one part would say.
package consent
