package access_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

func emergency() access.Request {
	r := request()
	r.Purpose = consent.ETREAT
	r.Emergency = access.Emergency{Reason: access.Unconscious}
	r.User, r.Role = strings.Repeat("e", 64), access.Clinician
	return r
}

func TestWhoBreaksTheGlass(t *testing.T) {
	for _, test := range []struct {
		name                 string
		change               func(*access.Request)
		role                 access.Role
		requester, custodian registry.Member
		want                 refusal.Code
	}{
		{"a clinician of another hospital", nil, access.Clinician, clinic, hospital, ""},
		{"with a note", func(r *access.Request) { r.Emergency.Note = manifest }, access.Clinician, clinic, hospital, ""},
		{"in the emergency room", func(r *access.Request) { r.Purpose = consent.ERTREAT }, access.Clinician, clinic, hospital, ""},
		{"the hospital's software, calling itself a clinician", nil, "", clinic, hospital, access.RoleNotAllowed},
		{"a records officer", nil, access.RecordsOfficer, clinic, hospital, access.RoleNotAllowed},
		{"a clinician behind whom stands nobody", func(r *access.Request) { r.User, r.Role = "", "" }, access.Clinician, clinic, hospital, access.RoleNotAllowed},
		{"a clinician who says to be an operator", func(r *access.Request) { r.Role = access.Operator }, access.Clinician, clinic, hospital, access.RoleNotAllowed},
		{"a clinician at an insurer", nil, access.Clinician, insurer, hospital, refusal.KindNotAllowed},
		{"a regulator", nil, access.Clinician, regulator, hospital, refusal.KindNotAllowed},
		{"the hospital that holds the data", nil, access.Clinician, hospital, hospital, refusal.KindNotAllowed},
		{"a suspended hospital", nil, access.Clinician, suspended(clinic), hospital, refusal.MemberSuspended},
		{"at a suspended hospital", nil, access.Clinician, clinic, suspended(hospital), refusal.MemberSuspended},
		{"for ordinary treatment", func(r *access.Request) { r.Purpose = consent.TREAT }, access.Clinician, clinic, hospital, access.PurposeNotAllowed},
		{"for payment", func(r *access.Request) { r.Purpose = consent.HPAYMT }, access.Clinician, clinic, hospital, access.PurposeNotAllowed},
		{"for no emergency", func(r *access.Request) { r.Emergency = access.Emergency{} }, access.Clinician, clinic, hospital, refusal.Malformed},
		{"for a reason of its own", func(r *access.Request) { r.Emergency.Reason = "curiosity" }, access.Clinician, clinic, hospital, refusal.Malformed},
		{"with a note in clear", func(r *access.Request) { r.Emergency.Note = "came in at 3 am" }, access.Clinician, clinic, hospital, refusal.Malformed},
		{"with a name in clear", func(r *access.Request) { r.User = "dr.li" }, access.Clinician, clinic, hospital, refusal.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := emergency()
			if test.change != nil {
				test.change(&r)
			}
			a, open, err := access.BreakGlass(r, test.role, test.requester, test.custodian, access.Emergencies{}, nil, now)
			if got := codeOf(err); got != test.want {
				t.Fatalf("refusal %q (%v), want %q", got, err, test.want)
			}
			if err != nil {
				if len(open.Open) != 0 {
					t.Errorf("a refused one stands open: %+v", open)
				}
				return
			}
			if !a.Permitted() || a.Decision.Rule.Reason != consent.GlassBroken || len(open.Open) != 1 || open.Open[0].Due != now+access.ReviewTerm {
				t.Errorf("decision %+v, open %+v", a.Decision, open)
			}
		})
	}
}

func TestOrdinaryDecisionsTakeNoEmergency(t *testing.T) {
	if _, err := access.Decide(emergency(), clinic, hospital, []consent.Consent{permitting()}, now); codeOf(err) != refusal.Malformed {
		t.Errorf("got %v", err)
	}
}

func TestABreakGlassPermitLasts(t *testing.T) {
	for _, test := range []struct {
		name   string
		ttl    int64
		policy int64 // of the custodian
		want   record.Instant
	}{
		{"four hours by default", 0, 0, 4 * 3600},
		{"as short as asked for", 600, 0, 600},
		{"never longer than allowed", access.MaxTTL, 0, 4 * 3600},
		{"as the custodian allows", 0, 3600, 3600},
		{"never longer than the custodian allows", 2 * 3600, 3600, 3600},
		{"longer where the custodian allows it", 6 * 3600, 8 * 3600, 6 * 3600},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := emergency()
			r.TTL = test.ttl
			custodian := hospital
			custodian.Policy.EmergencySeconds = test.policy
			a, _, err := access.BreakGlass(r, access.Clinician, clinic, custodian, access.Emergencies{}, nil, now)
			if err != nil || a.Expires != now+test.want {
				t.Errorf("expires after %d s, want %d (%v)", a.Expires-now, test.want, err)
			}
		})
	}
}

func TestABreakGlassDecisionNamesTheDenialItGoesOver(t *testing.T) {
	deny := consent.Consent{ID: strings.Repeat("d", 32), Version: 3, Status: consent.Active, Provision: consent.Provision{Type: consent.Deny}}
	labels := permitting()
	labels.Provision.Provisions = []consent.Provision{{Type: consent.Deny, Labels: record.LabelsOf(record.PSY)}}
	for _, test := range []struct {
		name     string
		consents []consent.Consent
		reason   consent.Reason
		rule     string
	}{
		{"nothing said", nil, consent.GlassBroken, ""},
		{"all permitted", []consent.Consent{permitting()}, consent.GlassBroken, ""},
		{"all denied", []consent.Consent{deny}, consent.DenialBroken, deny.ID},
		{"sensitive data denied", []consent.Consent{labels}, consent.DenialBroken, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, _, err := access.BreakGlass(emergency(), access.Clinician, clinic, hospital, access.Emergencies{}, test.consents, now)
			if err != nil {
				t.Fatal(err)
			}
			if got := a.Decision.Rule; got.Reason != test.reason || got.Consent != test.rule || len(a.Decision.Basis) != len(test.consents) {
				t.Errorf("rule %+v on %+v", got, a.Decision.Basis)
			}
			for _, l := range []record.Labels{0, record.LabelsOf(record.PSY), record.LabelsOf(record.HIV, record.SDV)} {
				if !a.Decision.Scope.Covers(record.Part{Class: record.Laboratory, Labels: l}) {
					t.Errorf("labels %v stay closed", l.Codes())
				}
			}
			if a.Decision.Scope.Covers(record.Part{Class: record.Genomics}) {
				t.Error("a class that wasn't asked for is open")
			}
		})
	}
}

func TestABreakGlassPermitStands(t *testing.T) {
	a, _, err := access.BreakGlass(emergency(), access.Clinician, clinic, hospital, access.Emergencies{}, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	ordinary := a
	ordinary.Emergency = access.Emergency{}
	rejected := &access.Review{Judgement: access.Judgement{Outcome: access.Rejected}}
	accepted := &access.Review{Judgement: access.Judgement{Outcome: access.Accepted}}
	for _, test := range []struct {
		name                 string
		of                   access.Access
		review               *access.Review
		custodian, requester registry.Member
		at                   record.Instant
		want                 refusal.Code
	}{
		{"unreviewed", a, nil, hospital, clinic, now, ""},
		{"accepted", a, accepted, hospital, clinic, a.Expires - 1, ""},
		{"expired", a, nil, hospital, clinic, a.Expires, refusal.Expired},
		{"rejected", a, rejected, hospital, clinic, now, access.ReviewRejected},
		{"of a suspended hospital", a, nil, hospital, suspended(clinic), now, refusal.MemberSuspended},
		{"at a suspended hospital", a, nil, suspended(hospital), clinic, now, refusal.MemberSuspended},
		{"of another kind", ordinary, nil, hospital, clinic, now, refusal.NotPermitted},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := codeOf(test.of.Standing(test.review, test.custodian, test.requester, test.at)); got != test.want {
				t.Errorf("standing %q, want %q", got, test.want)
			}
			if test.of.BreakGlass() {
				_, err := test.of.Release(manifest, nil, test.review, test.custodian, test.requester, nil, test.at)
				if got := codeOf(err); got != test.want {
					t.Errorf("release %q, want %q", got, test.want)
				}
			}
		})
	}
}

// A machine of one hospital's emergencies beside the rule: it may break the glass exactly
// while nothing of its is overdue or rejected, and there is room for one more.
func TestWhatBlocksBreakGlass(t *testing.T) {
	type one struct {
		access   access.Access
		review   *access.Review
		resolved bool
	}
	rapid.Check(t, func(t *rapid.T) {
		at, open := now, access.Emergencies{}
		var all []*one
		pick := func() *one {
			if len(all) == 0 {
				return nil
			}
			return all[rapid.IntRange(0, len(all)-1).Draw(t, "which")]
		}
		blocked := func() bool {
			standing := 0
			for _, o := range all {
				switch {
				case o.review == nil:
					standing++
					if at >= o.access.At+access.ReviewTerm {
						return true
					}
				case o.review.Outcome == access.Rejected && !o.resolved:
					return true
				}
			}
			return standing >= access.MaxOpenEmergencies
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"break", "break", "break", "wait", "review", "resolve"}).Draw(t, "step") {
			case "wait":
				at += record.Instant(rapid.IntRange(1, access.ReviewTerm/2).Draw(t, "seconds"))
			case "break":
				r := emergency()
				r.ID = fmt.Sprintf("%032x", len(all))
				a, more, err := access.BreakGlass(r, access.Clinician, clinic, hospital, open, nil, at)
				if got, want := codeOf(err) == access.EmergencyBlocked, blocked(); got != want {
					t.Fatalf("blocked %v (%v), want %v", got, err, want)
				}
				if err == nil {
					open, all = more, append(all, &one{access: a})
				} else {
					for _, o := range open.Blocking(at) {
						if !strings.Contains(err.Error(), o.ID) {
							t.Fatalf("%v doesn't name %s", err, o.ID)
						}
					}
				}
			case "review":
				o := pick()
				if o == nil {
					continue
				}
				j := access.Judgement{Custodian: "H", Requester: "C", ID: o.access.ID, Reason: "seen",
					Outcome: rapid.SampledFrom([]access.Verdict{access.Accepted, access.Rejected}).Draw(t, "verdict")}
				done, more, err := o.access.Review(j, o.review, open, regulator, at)
				switch {
				case o.review == nil && err != nil, o.review != nil && (o.review.Outcome == j.Outcome) != (err == nil):
					t.Fatalf("review %+v after %+v: %v", j, o.review, err)
				case err == nil:
					o.review, open = &done, more
				}
			case "resolve":
				o := pick()
				if o == nil || o.review == nil {
					continue
				}
				done, more, err := o.review.Resolve(access.Settlement{Custodian: "H", Requester: "C", ID: o.access.ID, Reason: "trained"}, open, regulator, at)
				if want := o.review.Outcome == access.Rejected; (err == nil) != want {
					t.Fatalf("resolving %+v: %v", o.review, err)
				}
				if err == nil {
					o.review, o.resolved, open = &done, true, more
				}
			}
			ids := map[string]bool{}
			for _, o := range open.Open {
				ids[o.ID] = true
			}
			if len(ids) != len(open.Open) || len(ids) > access.MaxOpenEmergencies {
				t.Fatalf("open: %+v", open)
			}
			if !slices.IsSortedFunc(open.Open, func(a, b access.OpenEmergency) int { return int(a.At - b.At) }) {
				t.Fatal("open ones aren't oldest first")
			}
		}
	})
}

func TestOnlyARegulatorReviews(t *testing.T) {
	a, open, err := access.BreakGlass(emergency(), access.Clinician, clinic, hospital, access.Emergencies{}, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	j := access.Judgement{Custodian: "H", Requester: "C", ID: a.ID, Outcome: access.Rejected, Reason: "seen"}
	for _, test := range []struct {
		name   string
		caller registry.Member
		want   refusal.Code
	}{
		{"a regulator", regulator, ""}, {"a suspended regulator", suspended(regulator), refusal.MemberSuspended},
		{"the requester", clinic, refusal.KindNotAllowed}, {"the custodian", hospital, refusal.KindNotAllowed}, {"an insurer", insurer, refusal.KindNotAllowed},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, _, err := a.Review(j, nil, open, test.caller, now); codeOf(err) != test.want {
				t.Errorf("review: %v", err)
			}
			review := access.Review{Judgement: j}
			if _, _, err := review.Resolve(access.Settlement{Custodian: "H", Requester: "C", ID: a.ID, Reason: "x"}, open, test.caller, now); codeOf(err) != test.want {
				t.Errorf("resolve: %v", err)
			}
		})
	}
	if _, _, err := (access.Access{}).Review(j, nil, open, regulator, now); codeOf(err) != refusal.NotPermitted {
		t.Errorf("an ordinary access was reviewed: %v", err)
	}
}
