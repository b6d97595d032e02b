package registry

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Kind says what a member is in the consortium, and so what it may do.
type Kind string

// The kinds of member.
const (
	Hospital  Kind = "hospital"  // custodian of records; asks for treatment
	Insurer   Kind = "insurer"   // asks for payment
	Regulator Kind = "regulator" // reads everything, closes minutes, votes
)

// Known reports whether k is one of the three kinds.
func (k Kind) Known() bool { return k == Hospital || k == Insurer || k == Regulator }

// Status of a member.
type Status string

// A suspended member can do nothing, reading included.
const (
	Active    Status = "active"
	Suspended Status = "suspended"
)

// Member is an organisation of the consortium as every decision reads it.
type Member struct {
	MSP     string         `json:"msp"`     // Fabric MSP id, [A-Za-z0-9][A-Za-z0-9.-]{0,63}
	Name    string         `json:"name"`    // for people, 1 to 128 characters
	Kind    Kind           `json:"kind"`    //
	Status  Status         `json:"status"`  //
	Gateway string         `json:"gateway"` // host:port of its gateway, for other members' gateways
	Since   record.Instant `json:"since"`   // when it got this status
	Policy  Policy         `json:"policy,omitzero"`
	// Suspensions counts how often it was suspended. What was permitted before a suspension
	// stays dead after it; a count says so without anybody's clock.
	Suspensions int `json:"suspensions,omitzero"`
}

// Active reports whether m may act.
func (m Member) Active() bool { return m.Status == Active }

// Candidate is what a member-to-be says of itself.
type Candidate struct {
	MSP     string `json:"msp"`
	Name    string `json:"name"`
	Kind    Kind   `json:"kind"`
	Gateway string `json:"gateway"`
	Keys    Keys   `json:"keys"`
	// Evaluator is a founding member's key of the first epoch, if it is to evaluate (package
	// epoch). Of a member admitted later it says nothing.
	Evaluator *Key `json:"evaluator,omitempty"`
}

// Check refuses a candidate with a malformed field: code malformed.
func (c Candidate) Check() error {
	if err := CheckMSP(c.MSP); err != nil {
		return err
	}
	if !plainText(c.Name, 128) {
		return refusal.New(refusal.Malformed, "the name of "+c.MSP+" is not usable",
			"1 to 128 printable characters")
	}
	if !c.Kind.Known() {
		return refusal.New(refusal.Malformed, c.MSP+" has no known kind", "hospital, insurer or regulator")
	}
	if err := CheckGateway(c.Gateway); err != nil {
		return err
	}
	return c.Keys.Check()
}

// admitted is the candidate as an active member since at.
func (c Candidate) admitted(at record.Instant) Member {
	return Member{MSP: c.MSP, Name: c.Name, Kind: c.Kind, Status: Active, Gateway: c.Gateway, Since: at}
}

// saysOf reports whether m and o agree in what a member says of itself.
func (m Member) saysOf(o Member) bool {
	return m.MSP == o.MSP && m.Name == o.Name && m.Kind == o.Kind && m.Gateway == o.Gateway
}

// CheckMSP refuses what can't be an MSP id: code malformed. The character set is
// an allow-list because the id becomes part of state keys.
func CheckMSP(msp string) error {
	if !identifier(msp) {
		return refusal.New(refusal.Malformed, "that is not an MSP id", "1 to 64 of A-Z a-z 0-9 . -, starting with a letter or digit")
	}
	return nil
}

// CheckCode refuses what can't be a reason's code: code malformed. Free text would end up
// holding what no ledger may.
func CheckCode(code string) error {
	if !identifier(code) {
		return refusal.New(refusal.Malformed, "the reason is not a code", "1 to 64 of A-Z a-z 0-9 . -")
	}
	return nil
}

// CheckGateway refuses what can't be the address of a gateway: code malformed.
func CheckGateway(address string) error {
	host, port, ok := cutLast(address, ':')
	if !ok || len(address) > 255 || !hostname(host) || !portNumber(port) {
		return refusal.New(refusal.Malformed, "that is not the address of a gateway", "host:port, an IPv6 host in brackets")
	}
	return nil
}

func identifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || c != '.' && c != '-') {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

func plainText(s string, limit int) bool {
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > limit || strings.TrimSpace(s) != s {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func hostname(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && strings.Trim(inner, "0123456789abcdefABCDEF:.") == ""
	}
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-')
	}) < 0
}

func portNumber(s string) bool {
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || i > 4 {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n >= 1 && n <= 65535
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
