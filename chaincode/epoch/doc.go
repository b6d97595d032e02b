// Package epoch holds the rules of the evaluators' keys, from which patients' handles are
// derived (gateway/handle), and of what happens to handles when the keys are replaced.
//
// An epoch is a set of evaluators and one key of each. The first opens with the founding of
// the consortium, by the founding members that bring an evaluator's key. The next opens
// when every evaluator of the present one that is an active member, and every member they
// agree on to evaluate from then on, has announced its key. The epoch before goes on for an
// overlap, and then it ends: handles of an ended epoch are refused wherever a key could be
// let go on their strength, so that what an old key may have given away opens nothing.
//
// Within the overlap the custodians carry what stands under the old handles to the new:
// consents with their withdrawals, as they are. A handle that was carried away takes no
// more consents and no more requests: it is a name that points to another. A withdrawal
// names the new handle too, or it would take back what isn't there any more. A permit given
// under an old handle is released by naming the handles that it was carried to.
//
// Evaluators account on the ledger for how often they evaluated for whom.
//
// The package is pure: no clock, no random, no input or output.
package epoch
