package contract

import (
	"fmt"
	"strconv"
	"strings"

	"yitong/chaincode/registry"
)

// The kinds of state key; doc.go says what lies under each.
const (
	rosterKind       = "roster"
	memberKind       = "member"
	keysKind         = "keys"
	spentKind        = "spent"
	motionKind       = "motion"
	closedKind       = "closed"
	closedLatestKind = "closed-latest"
	custodianKind    = "custodian"
	recordKind       = "record"
	directivesKind   = "directives"
	consentKind      = "consent"
	withdrawnKind    = "withdrawn"
	signerKind       = "signer"
	accessKind       = "access"
	releaseKind      = "release"
	receiptKind      = "receipt"
	orderKind        = "order"
	answerKind       = "answer"
	conclusionKind   = "conclusion"
	epochKind        = "epoch"
	epochLatestKind  = "epoch-latest"
	announcedKind    = "announced"
	evaluationsKind  = "evaluations"
	carriedKind      = "carried"
	emergenciesKind  = "emergencies"
	reviewKind       = "review"
	recoveryKind     = "recovery"
	holdKind         = "hold"
	erasedKind       = "erased"
)

// key is a composite key as shim.CreateCompositeKey makes it. Its attributes come out of
// allow-lists (MSP ids, hex digits, numbers), so none can hold the separator and reach
// into another key; one that does all the same is a mistake of ours.
func key(kind string, attributes ...string) string {
	var b strings.Builder
	b.WriteByte(0)
	b.WriteString(kind)
	b.WriteByte(0)
	for _, a := range attributes {
		if strings.ContainsAny(a, "\x00\U0010ffff") {
			panic(fmt.Sprintf("contract: %s key with an unchecked attribute", kind))
		}
		b.WriteString(a)
		b.WriteByte(0)
	}
	return b.String()
}

// attributes takes a key apart again.
func attributes(key string) []string {
	parts := strings.Split(strings.Trim(key, "\x00"), "\x00")
	return parts[1:]
}

func memberKey(msp string) string { return key(memberKind, msp) }
func keysKey(msp string) string   { return key(keysKind, msp) }
func spentKey(msp, use string, k registry.Key) string {
	return key(spentKind, msp, use, k.Digest())
}
func custodianKey(msp string) string   { return key(custodianKind, msp) }
func emergenciesKey(msp string) string { return key(emergenciesKind, msp) }
func motionKey(id string) string       { return key(motionKind, id) }
func closedKey(minute int64) string    { return key(closedKind, strconv.FormatInt(minute, 10)) }
func recordKey(msp, id string) string  { return key(recordKind, msp, id) }

func epochKey(n int) string { return key(epochKind, strconv.Itoa(n)) }
func evaluationsKey(evaluator, member, day string) string {
	return key(evaluationsKind, evaluator, member, day)
}
func announcedKey(n int) string { return key(announcedKind, strconv.Itoa(n)) }

// of is the key of a kind that belongs to a whole relationship.
func (r Relationship) of(kind string) string { return key(kind, r.Custodian, r.Requester, r.Handle) }

func (r Relationship) version(id string, version int) string {
	return key(consentKind, r.Custodian, r.Requester, r.Handle, id, strconv.Itoa(version))
}

// step is the key of an access or of what came of it.
func (r Relationship) step(kind, id string) string { return key(kind, r.Custodian, r.Requester, id) }
