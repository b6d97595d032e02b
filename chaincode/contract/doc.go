// Package contract is Yitong's chaincode: the Fabric contracts registry, record, consent,
// access, disclosure and handle over the pure packages of the same names.
//
// It decides nothing. Each function reads its argument strictly, reads all the state it
// needs in one round trip, hands both to a rule of a pure package, writes what the rule
// returns, and answers with it:
//
//	argument ─▶ strict JSON ─▶ caller is an active member of a fitting kind
//	         ─▶ one read of many keys ─▶ rule ─▶ writes ─▶ answer
//
// Who calls is the MSP id in the creator's certificate, whatever the argument says. What
// is written derives from argument, state and transaction timestamp alone; an endorser's
// own clock only ever refuses. Functions that write make no range query, so nothing can
// appear in a range between endorsement and commit, and functions that list do not write.
//
// # Who has to endorse
//
// Chaincode-wide: the majority of the members. On top of it records and consents carry a
// key-level policy, custodian AND majority-1 of the others. Such a policy binds only a key
// that exists; so whatever creates one also writes the key custodian/<msp>, which exists
// since founding under that same policy and which nobody reads. The first write thus needs
// the custodian as much as the later ones.
//
// # Keys
//
// Composite keys, in which no two patients meet:
//
//	roster                                             all MSP ids with their status
//	member/<msp>  keys/<msp>  spent/<msp>/<use>/<digest of a key that was replaced>  motion/<id>
//	closed/<minute>  closed-latest
//	custodian/<msp>                                    countersigned, written blindly
//	record/<custodian>/<id>                            countersigned
//	directives/<custodian>/<requester>/<handle>        countersigned; the present consents
//	consent/<custodian>/<requester>/<handle>/<id>/<version>  countersigned; for ever
//	withdrawn/<custodian>/<requester>/<handle>         majority; which versions are withdrawn
//	signer/<custodian>/<requester>/<handle>            countersigned; whose key speaks for the patient
//	access/<custodian>/<requester>/<id>
//	release/<custodian>/<requester>/<id>
//	receipt/<custodian>/<requester>/<id>
//	emergencies/<requester>                            break-glass that isn't reviewed or resolved
//	review/<custodian>/<requester>/<id>                of a break-glass access
//	epoch-latest  epoch/<n>  announced/<n>             of the evaluators' keys
//	evaluations/<evaluator>/<member>/<day>
//	carried/<custodian>/<requester>/<handle>           countersigned; where its consents stand now
//	recovery/<custodian>/<requester>/<id>              by a regulator, from escrow
//	order/<holder>/<regulator>/<id>                    of disclosure
//	answer/<holder>/<regulator>/<id>                   by the holder
//	conclusion/<holder>/<regulator>/<id>               by the regulator
//	hold/<custodian>/<id>                              majority: a custodian can't stop a hold on its record
//	erased/<custodian>/<id>/<requester>                majority: the requester's word, as a receipt is
package contract
