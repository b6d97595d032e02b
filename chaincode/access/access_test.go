package access_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

var (
	hospital  = registry.Member{MSP: "H", Kind: registry.Hospital, Status: registry.Active}
	clinic    = registry.Member{MSP: "C", Kind: registry.Hospital, Status: registry.Active}
	insurer   = registry.Member{MSP: "I", Kind: registry.Insurer, Status: registry.Active}
	regulator = registry.Member{MSP: "R", Kind: registry.Regulator, Status: registry.Active}
	manifest  = strings.Repeat("0f", 32)
)

const now = record.Instant(1_800_000_000)

func suspended(m registry.Member) registry.Member { m.Status = registry.Suspended; return m }

func request() access.Request {
	return access.Request{
		ID: strings.Repeat("a", 32), Custodian: "H", Handle: "1-" + strings.Repeat("b", 64), Purpose: consent.CLMATTCH,
		Action: consent.Access, Classes: record.ClassesOf(record.Laboratory),
	}
}

func permitting() consent.Consent {
	return consent.Consent{ID: strings.Repeat("c", 32), Version: 1, Status: consent.Active, Provision: consent.Provision{Type: consent.Permit}}
}

func codeOf(err error) refusal.Code {
	var r *refusal.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func TestWhatMayBeAsked(t *testing.T) {
	for _, test := range []struct {
		name                 string
		change               func(*access.Request)
		requester, custodian registry.Member
		want                 refusal.Code
	}{
		{"an insurer asks for a claim", nil, insurer, hospital, ""},
		{"a hospital asks for a claim", nil, clinic, hospital, access.PurposeNotAllowed},
		{"a hospital asks to treat", func(r *access.Request) { r.Purpose = consent.TREAT }, clinic, hospital, ""},
		{"an insurer asks to treat", func(r *access.Request) { r.Purpose = consent.TREAT }, insurer, hospital, access.PurposeNotAllowed},
		{"a regulator asks", nil, regulator, hospital, refusal.KindNotAllowed},
		{"an insurer is asked", func(r *access.Request) { r.Custodian = "I" }, clinic, insurer, refusal.KindNotAllowed},
		{"a hospital asks itself", nil, hospital, hospital, refusal.KindNotAllowed},
		{"a suspended insurer asks", nil, suspended(insurer), hospital, refusal.MemberSuspended},
		{"a suspended hospital is asked", nil, insurer, suspended(hospital), refusal.MemberSuspended},
		{"the id is short", func(r *access.Request) { r.ID = "a" }, insurer, hospital, refusal.Malformed},
		{"no class", func(r *access.Request) { r.Classes = 0 }, insurer, hospital, refusal.Malformed},
		{"no purpose", func(r *access.Request) { r.Purpose = 0 }, insurer, hospital, refusal.Malformed},
		{"no action", func(r *access.Request) { r.Action = 0 }, insurer, hospital, refusal.Malformed},
		{"an empty period", func(r *access.Request) { r.Period = record.Period{Start: 5, End: 5} }, insurer, hospital, refusal.Malformed},
		{"a claim in clear", func(r *access.Request) { r.Claim = "CLM-1" }, insurer, hospital, refusal.Malformed},
		{"a month", func(r *access.Request) { r.TTL = access.MaxTTL }, insurer, hospital, ""},
		{"a month and a second", func(r *access.Request) { r.TTL = access.MaxTTL + 1 }, insurer, hospital, refusal.Malformed},
		{"a negative time", func(r *access.Request) { r.TTL = -1 }, insurer, hospital, refusal.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := request()
			if test.change != nil {
				test.change(&r)
			}
			a, err := access.Decide(r, test.requester, test.custodian, []consent.Consent{permitting()}, now)
			if got := codeOf(err); got != test.want {
				t.Fatalf("refusal %q, want %q", got, test.want)
			}
			if err == nil && !a.Permitted() {
				t.Errorf("decision %+v", a.Decision)
			}
		})
	}
}

// A machine of one access beside the rules in the package comment: what was permitted is
// released at most once, only while it holds, and received at most once.
func TestAccessStateMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := now
		granted := rapid.Bool().Draw(t, "granted")
		var consents []consent.Consent
		if granted {
			consents = append(consents, permitting())
		}
		a, err := access.Decide(request(), insurer, hospital, consents, at)
		if err != nil || a.Permitted() != granted {
			t.Fatalf("decision %+v, %v", a.Decision, err)
		}
		var release *access.Release
		var receipt *access.Receipt
		caller, requester := hospital, insurer
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			m := rapid.SampledFrom([]string{manifest, strings.Repeat("1e", 32)}).Draw(t, "manifest")
			switch rapid.SampledFrom([]string{"wait", "withdraw", "release", "receive", "suspend"}).Draw(t, "step") {
			case "wait":
				at += record.Instant(rapid.IntRange(1, access.DefaultTTL).Draw(t, "seconds"))
			case "withdraw":
				if len(consents) > 0 {
					consents[0].Status = consent.Withdrawn
				}
			case "suspend":
				if rapid.Bool().Draw(t, "custodian") {
					caller = suspended(caller)
				} else {
					requester = suspended(requester)
				}
			case "release":
				r, err := a.Release(m, release, nil, caller, requester, consents, at)
				holds := granted && consents[0].Status == consent.Active && at < a.Expires
				active := caller.Active() && requester.Active()
				switch {
				case !active:
					want(t, err, refusal.MemberSuspended)
				case release != nil && release.Manifest != m:
					want(t, err, refusal.Exists)
				case release != nil:
					if err != nil || r != *release {
						t.Fatalf("released again %+v, %v; first %+v", r, err, *release)
					}
				case holds:
					if err != nil || r.At != at || r.Manifest != m {
						t.Fatalf("release %+v, %v", r, err)
					}
					release = &r
				case err == nil:
					t.Fatalf("released at %d what doesn't hold: %+v", at, a)
				}
			case "receive":
				outcome := rapid.SampledFrom([]access.Opening{access.Opened, access.Failed}).Draw(t, "outcome")
				r, err := a.Receive(m, outcome, access.Actor{}, release, receipt, requester, at)
				switch {
				case !requester.Active():
					want(t, err, refusal.MemberSuspended)
				case receipt != nil && (receipt.Manifest != m || receipt.Outcome != outcome):
					want(t, err, refusal.Exists)
				case receipt != nil:
					if err != nil || r != *receipt {
						t.Fatalf("received again %+v, %v", r, err)
					}
				case release == nil:
					want(t, err, access.NotReleased)
				case release.Manifest != m:
					want(t, err, access.ManifestMismatch)
				default:
					if err != nil {
						t.Fatal(err)
					}
					receipt = &r
				}
			}
		}
	})
}

func want(t *rapid.T, err error, code refusal.Code) {
	if codeOf(err) != code {
		t.Fatalf("error %v, want refusal %s", err, code)
	}
}

func TestWhoReleasesAndReceives(t *testing.T) {
	consents := []consent.Consent{permitting()}
	a, err := access.Decide(request(), insurer, hospital, consents, now)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Release(manifest, nil, nil, clinic, insurer, consents, now)
	if codeOf(err) != refusal.NotCustodian {
		t.Errorf("release by another hospital: %v", err)
	}
	if _, err = a.Release("x", nil, nil, hospital, insurer, consents, now); codeOf(err) != refusal.Malformed {
		t.Errorf("release with no digest: %v", err)
	}
	release, err := a.Release(manifest, nil, nil, hospital, insurer, consents, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = a.Receive(manifest, access.Opened, access.Actor{}, &release, nil, clinic, now); codeOf(err) != refusal.NotRequester {
		t.Errorf("receipt by another: %v", err)
	}
	if _, err = a.Receive(manifest, "lost", access.Actor{}, &release, nil, insurer, now); codeOf(err) != refusal.Malformed {
		t.Errorf("receipt with an unknown outcome: %v", err)
	}
}

// A permit never outlives the consents it rests on, nor the time asked for.
func TestExpiryIsTheEarliest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := request()
		r.TTL = rapid.Int64Range(0, access.MaxTTL).Draw(t, "ttl")
		c := permitting()
		c.Period.End = now + record.Instant(rapid.Int64Range(1, 2*access.MaxTTL).Draw(t, "end"))
		a, err := access.Decide(r, insurer, hospital, []consent.Consent{c}, now)
		if err != nil {
			t.Fatal(err)
		}
		ttl := record.Instant(r.TTL)
		if ttl == 0 {
			ttl = access.DefaultTTL
		}
		if want := min(now+ttl, c.Period.End); a.Expires != want {
			t.Fatalf("expires %d, want %d", a.Expires, want)
		}
		for _, at := range []record.Instant{a.Expires - 1, a.Expires} {
			_, err := a.Release(manifest, nil, nil, hospital, insurer, []consent.Consent{c}, at)
			if (err == nil) != (at < a.Expires) {
				t.Fatal(fmt.Sprintf("release at %d of a permit until %d: %v", at, a.Expires, err))
			}
		}
	})
}

func TestTheHigherOfBothPoliciesIsDemanded(t *testing.T) {
	for _, test := range []struct {
		name                         string
		requester, custodian, signed consent.Assurance
		want                         consent.Reason
	}{
		{"neither demands any", consent.Attested, consent.Attested, consent.Attested, consent.Permitted},
		{"the custodian demands a passkey", consent.Attested, consent.Passkey, consent.Attested, consent.NotSure},
		{"the requester does", consent.Passkey, consent.Attested, consent.Attested, consent.NotSure},
		{"both, the requester more", consent.Wallet, consent.Passkey, consent.Passkey, consent.NotSure},
		{"both, the custodian more", consent.Passkey, consent.Wallet, consent.Passkey, consent.NotSure},
		{"both have what they demand", consent.Passkey, consent.Wallet, consent.Wallet, consent.Permitted},
	} {
		t.Run(test.name, func(t *testing.T) {
			i, h, c := insurer, hospital, permitting()
			i.Policy.Assurance, h.Policy.Assurance, c.Assurance = test.requester, test.custodian, test.signed
			a, err := access.Decide(request(), i, h, []consent.Consent{c}, now)
			if err != nil || a.Decision.Rule.Reason != test.want {
				t.Fatalf("decided %+v, %v; want %s", a.Decision, err, test.want)
			}
			if !a.Permitted() {
				return
			}
			h.Policy.Assurance = consent.Wallet
			c.Assurance = consent.Attested
			if _, err := a.Release(manifest, nil, nil, h, i, []consent.Consent{c}, now); codeOf(err) != refusal.ConsentChanged {
				t.Errorf("released all the same once the policy was raised: %v", err)
			}
		})
	}
}
