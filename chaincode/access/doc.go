// Package access is the life of one access to a patient's data, as a state machine:
//
//	request ─▶ decision ─┬─ deny
//	                     └─ permit ─▶ release ─▶ receipt
//
// A requester asks and the decision is taken and recorded at once, permit or deny, with
// the rule that made it. A permit is single use and expires. The custodian's release is
// decided again, at its own moment: were the consents amended or withdrawn meanwhile, or
// either member suspended since, or the permit expired, there is none: a permit given before
// a suspension stays dead after the reinstatement. The requester's receipt
// closes it, naming the same manifest that the release named.
//
// In an emergency a hospital's clinician breaks the glass: the same request, signed under
// a clinician's certificate, is permitted without consent, for hours rather than days, and
// stands open until a regulator has reviewed it.
//
//	break-glass ─▶ permit ─▶ open ─┬─ accepted
//	                               └─ rejected ─▶ resolved
//
// While one of a member's is overdue for review, or rejected and not resolved, the member
// breaks no other glass. Its requests by consent go on.
//
// Each step given again with the same content is answered with what is recorded, and
// given again with other content is refused (exists); a retry after a lost answer is
// thus always safe and never doubles anything.
//
// The package is pure: no clock, no random, no input or output. The chaincode that takes
// a decision and an auditor that replays it run the same functions.
package access
