package consent_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
)

// The cases read as sentences, and build consents with the words below.

const (
	insurer   = "InsurerMSP"
	hospitalB = "HospitalBMSP"
	today     = "2026-11-21"
)

type part struct {
	class  record.Class
	labels record.Labels
	data   record.Period
	form   record.Type // zero: a part of FHIR resources
}

// whole is the part as a scope sees it.
func (p part) whole() record.Part {
	if p.form == 0 {
		p.form = record.FHIR
	}
	return record.Part{Class: p.class, Labels: p.labels, Period: p.data, MediaType: mediaTypes[p.form]}
}

var mediaTypes = map[record.Type]string{
	record.FHIR: "application/fhir+json", record.PDF: "application/pdf", record.DICOM: "application/dicom",
}

type situation struct {
	name     string
	consents []consent.Consent
	request  consent.Request
	at       string // a day; today if empty

	want    string // granted classes, or the reason of the denial
	rule    string // consent id's first letter and path of the deciding rule, where it matters
	refused string // classes and reason of each refusal of a permit
	until   string // day
	covers  []part
	keeps   []part // not covered
}

type option func(*consent.Provision)

func rule(t consent.Outcome, options []option) consent.Provision {
	p := consent.Provision{Type: t}
	for _, o := range options {
		o(&p)
	}
	return p
}

func permit(options ...option) consent.Provision { return rule(consent.Permit, options) }
func deny(options ...option) consent.Provision   { return rule(consent.Deny, options) }

func purposes(ps ...consent.Purpose) option {
	return func(p *consent.Provision) { p.Purposes = consent.PurposesOf(ps...) }
}

func actions(as ...consent.Action) option {
	return func(p *consent.Provision) { p.Actions = consent.ActionsOf(as...) }
}

func classes(cs ...record.Class) option {
	return func(p *consent.Provision) { p.Classes = record.ClassesOf(cs...) }
}

func labelled(ls ...record.Label) option {
	return func(p *consent.Provision) { p.Labels = record.LabelsOf(ls...) }
}

func as(ts ...record.Type) option {
	return func(p *consent.Provision) { p.Types = record.TypesOf(ts...) }
}

func anyLabel(p *consent.Provision) { p.Labels = record.AllLabels }

func to(members ...string) option {
	return func(p *consent.Provision) {
		for _, m := range members {
			p.Actors = append(p.Actors, consent.Actor{Member: m})
		}
	}
}

func toKind(kind string) option {
	return func(p *consent.Provision) { p.Actors = append(p.Actors, consent.Actor{Kind: kind}) }
}

func during(start, end string) option {
	return func(p *consent.Provision) { p.Period = days(start, end) }
}

func dataFrom(start, end string) option {
	return func(p *consent.Provision) { p.DataPeriod = days(start, end) }
}

func except(ps ...consent.Provision) option {
	return func(p *consent.Provision) { p.Provisions = append(p.Provisions, ps...) }
}

// say makes an active consent whose id repeats a letter.
func say(letter string, p consent.Provision) consent.Consent {
	return consent.Consent{ID: strings.Repeat(letter, 32), Version: 1, Status: consent.Active, Provision: p}
}

func withdrawn(c consent.Consent) consent.Consent {
	c.Status, c.Version = consent.Withdrawn, c.Version+1
	return c
}

func sure(c consent.Consent, a consent.Assurance) consent.Consent {
	c.Assurance, c.Signer = a, strings.Repeat("5", 32)
	return c
}

func demanding(r consent.Request, a consent.Assurance) consent.Request { r.Assurance = a; return r }

func valid(c consent.Consent, start, end string) consent.Consent {
	c.Period = days(start, end)
	return c
}

func all(cs ...consent.Consent) []consent.Consent { return cs }

func day(s string) record.Instant {
	if s == "" {
		return 0
	}
	i, err := record.ParseInstant(s + "T00:00:00Z")
	if err != nil {
		panic(err)
	}
	return i
}

func days(start, end string) record.Period { return record.Period{Start: day(start), End: day(end)} }

func ask(member, kind string, why consent.Purpose, cs ...record.Class) consent.Request {
	return consent.Request{Requester: member, Kind: kind, Action: consent.Access, Purpose: why, Classes: record.ClassesOf(cs...)}
}

func claim(cs ...record.Class) consent.Request {
	return ask(insurer, "insurer", consent.CLMATTCH, cs...)
}
func treat(cs ...record.Class) consent.Request {
	return ask(hospitalB, "hospital", consent.TREAT, cs...)
}

func doing(r consent.Request, a consent.Action) consent.Request { r.Action = a; return r }

func about(r consent.Request, start, end string) consent.Request {
	r.Period = days(start, end)
	return r
}

func inForm(r consent.Request, ts ...record.Type) consent.Request {
	r.Types = record.TypesOf(ts...)
	return r
}

func of(c record.Class, ls ...record.Label) part {
	return part{class: c, labels: record.LabelsOf(ls...)}
}

func (p part) as(t record.Type) part { p.form = t; return p }

func (p part) from(start, end string) part { p.data = days(start, end); return p }

var (
	lab, gen, cond, clm, img = record.Laboratory, record.Genomics, record.Condition, record.Claim, record.Imaging
	tpo                      = purposes(consent.TREAT, consent.HPAYMT, consent.HOPERAT)
)

func situations() []situation {
	return []situation{
		// Base decisions
		{name: "nothing said means deny", request: claim(lab), want: "nothing-said"},
		{name: "a base permit permits what is asked for", consents: all(say("a", permit())), request: claim(lab, clm), want: "claim laboratory", rule: "a provision", covers: []part{of(lab), of(clm)}, keeps: []part{of(gen)}},
		{name: "a base denial denies", consents: all(say("a", deny())), request: claim(lab), want: "denied", rule: "a provision"},
		{name: "only a denial about something else still means deny, as nothing permits", consents: all(say("a", deny(classes(gen)))), request: claim(lab), want: "nothing-said"},
		{name: "a permit and a denial of all: denial wins", consents: all(say("a", permit()), say("b", deny())), request: claim(lab), want: "denied", rule: "b provision"},
		{name: "a denial wins wherever it stands", consents: all(say("b", deny()), say("a", permit())), request: claim(lab), want: "denied", rule: "b provision"},
		{name: "of two permits the first by id is named", consents: all(say("b", permit()), say("a", permit())), request: claim(lab), want: "laboratory", rule: "a provision"},
		{name: "two permits for different classes add up", consents: all(say("a", permit(classes(lab))), say("b", permit(classes(clm)))), request: claim(lab, clm, gen), want: "claim laboratory", refused: "genomics class-not-covered"},

		// Actors
		{name: "a permit to one member is for that member", consents: all(say("a", permit(to(insurer)))), request: claim(lab), want: "laboratory"},
		{name: "a permit to one member is for no other", consents: all(say("a", permit(to(hospitalB)))), request: claim(lab), want: "actor-not-covered"},
		{name: "a permit to a kind is for every member of that kind", consents: all(say("a", permit(toKind("insurer")))), request: claim(lab), want: "laboratory"},
		{name: "a permit to a kind is for no other kind", consents: all(say("a", permit(toKind("hospital")))), request: claim(lab), want: "actor-not-covered"},
		{name: "either of several actors will do", consents: all(say("a", permit(to(hospitalB), toKind("insurer")))), request: claim(lab), want: "laboratory"},
		{name: "a member's id is matched whole", consents: all(say("a", permit(to("InsurerMSP2")))), request: claim(lab), want: "actor-not-covered"},
		{name: "a member excepted from a permit to its kind is denied", consents: all(say("a", permit(toKind("insurer"), except(deny(to(insurer)))))), request: claim(lab), want: "denied", rule: "a provision.provision[0]"},

		// Actions
		{name: "a permit to access permits access", consents: all(say("a", permit(actions(consent.Access)))), request: claim(lab), want: "laboratory"},
		{name: "a permit to access doesn't permit to disclose", consents: all(say("a", permit(actions(consent.Access)))), request: doing(claim(lab), consent.Disclose), want: "action-not-covered"},
		{name: "a permit without actions permits any", consents: all(say("a", permit())), request: doing(claim(lab), consent.Correct), want: "laboratory"},
		{name: "a denial to disclose leaves access alone", consents: all(say("a", permit(except(deny(actions(consent.Disclose)))))), request: claim(lab), want: "laboratory"},

		// Purposes
		{name: "a consent for payment covers a claim attachment, which lies below it", consents: all(say("a", permit(purposes(consent.HPAYMT)))), request: claim(lab), want: "laboratory"},
		{name: "a consent for coverage covers eligibility two levels below payment", consents: all(say("a", permit(purposes(consent.HPAYMT)))), request: ask(insurer, "insurer", consent.ELIGVER, lab), want: "laboratory"},
		{name: "a consent for a claim attachment doesn't cover payment at large", consents: all(say("a", permit(purposes(consent.CLMATTCH)))), request: ask(insurer, "insurer", consent.HPAYMT, lab), want: "purpose-not-covered"},
		{name: "a consent for treatment covers emergencies and break-glass", consents: all(say("a", permit(purposes(consent.TREAT)))), request: ask(hospitalB, "hospital", consent.BTG, lab), want: "laboratory"},
		{name: "a consent for treatment doesn't cover payment", consents: all(say("a", permit(purposes(consent.TREAT)))), request: claim(lab), want: "purpose-not-covered"},
		{name: "a denial of research hits clinical trials without patient care", consents: all(say("a", permit(except(deny(purposes(consent.HRESCH)))))), request: ask(hospitalB, "hospital", consent.CLINTRCHNPC, lab), want: "denied", rule: "a provision.provision[0]"},
		{name: "a denial of emergency treatment leaves plain treatment alone", consents: all(say("a", permit(except(deny(purposes(consent.ETREAT)))))), request: treat(lab), want: "laboratory"},

		// Periods of a consent and of a provision
		{name: "a consent not yet in force permits nothing, and says until when", consents: all(valid(say("a", permit()), "2027-01-01", "")), request: claim(lab), want: "period-not-begun", until: "2027-01-01"},
		{name: "a consent in force permits until its end", consents: all(valid(say("a", permit()), "2026-01-01", "2027-01-01")), request: claim(lab), want: "laboratory", until: "2027-01-01"},
		{name: "a consent in force without an end permits for good", consents: all(valid(say("a", permit()), "2026-01-01", "")), request: claim(lab), want: "laboratory"},
		{name: "at its end a consent is over: ends are exclusive", consents: all(valid(say("a", permit()), "2026-01-01", today)), request: claim(lab), want: "period-over"},
		{name: "at its start a consent is in force", consents: all(valid(say("a", permit()), today, "2027-01-01")), request: claim(lab), want: "laboratory", until: "2027-01-01"},
		{name: "a denial out of its period denies nothing", consents: all(say("a", permit()), valid(say("b", deny()), "2026-01-01", "2026-06-01")), request: claim(lab), want: "laboratory"},
		{name: "a denial yet to begin lets a permit stand until it does", consents: all(say("a", permit()), valid(say("b", deny()), "2026-12-01", "")), request: claim(lab), want: "laboratory", until: "2026-12-01"},
		{name: "a root's own period is cut to the consent's", consents: all(valid(say("a", permit(during("2026-01-01", "2028-01-01"))), "", "2027-01-01")), request: claim(lab), want: "laboratory", until: "2027-01-01"},
		{name: "an exception out of its period excepts nothing until it begins", consents: all(say("a", permit(except(deny(during("2026-12-24", "2026-12-27")))))), request: claim(lab), want: "laboratory", until: "2026-12-24"},
		{name: "an exception in its period excepts", consents: all(say("a", permit(except(deny(during("2026-11-01", "2026-12-01")))))), request: claim(lab), want: "denied", until: "2026-12-01"},
		{name: "what doesn't concern the request doesn't bound the decision", consents: all(say("a", permit()), valid(say("b", permit(purposes(consent.TREAT))), "", "2026-12-01")), request: claim(lab), want: "laboratory"},

		// Withdrawal
		{name: "a withdrawn permit permits nothing", consents: all(withdrawn(say("a", permit()))), request: claim(lab), want: "withdrawn", rule: "a provision"},
		{name: "a withdrawn denial goes on denying", consents: all(say("a", permit()), withdrawn(say("b", deny()))), request: claim(lab), want: "denied", rule: "b provision"},
		{name: "a withdrawn permit's exceptions go on denying", consents: all(say("a", permit()), withdrawn(say("b", permit(except(deny(classes(gen))))))), request: claim(lab, gen), want: "laboratory", refused: "genomics denied"},
		{name: "a withdrawn permit that still denies something permits nothing of the rest", consents: all(withdrawn(say("a", permit(except(deny(labelled(record.PSY)))))), say("b", permit(labelled(record.HIV)))), request: claim(lab), want: "laboratory", rule: "b provision", covers: []part{of(lab, record.HIV)}, keeps: []part{of(lab), of(lab, record.STD), of(lab, record.PSY)}},
		{name: "withdrawing one of two permits leaves the other", consents: all(withdrawn(say("a", permit())), say("b", permit())), request: claim(lab), want: "laboratory", rule: "b provision"},
		{name: "a withdrawn denial's exceptions permit nothing more", consents: all(withdrawn(say("a", deny(except(permit(purposes(consent.ETREAT))))))), request: ask(hospitalB, "hospital", consent.ETREAT, lab), want: "nothing-said"},
		{name: "a withdrawn denial's exceptions still keep it from denying what others permit", consents: all(withdrawn(say("a", deny(except(permit(purposes(consent.ETREAT)))))), say("b", permit())), request: ask(hospitalB, "hospital", consent.ETREAT, lab), want: "laboratory", rule: "b provision"},
		{name: "a status nobody knows is as good as withdrawn", consents: all(consent.Consent{ID: strings.Repeat("a", 32), Version: 1, Status: "entered-in-error", Provision: permit()}), request: claim(lab), want: "withdrawn"},
		{name: "withdrawn beats over when the denial is explained", consents: all(valid(say("a", permit()), "", "2026-01-01"), withdrawn(say("b", permit()))), request: claim(lab), want: "withdrawn", rule: "b provision"},

		// Assurance
		{name: "an attested consent doesn't permit where the patient's passkey is demanded", consents: all(say("a", permit())), request: demanding(claim(lab), consent.Passkey), want: "assurance-too-low", rule: "a provision"},
		{name: "a wallet's signature is more than a passkey's", consents: all(sure(say("a", permit()), consent.Wallet)), request: demanding(claim(lab), consent.Passkey), want: "laboratory"},
		{name: "a passkey's is not a wallet's", consents: all(sure(say("a", permit()), consent.Passkey)), request: demanding(claim(lab), consent.Wallet), want: "assurance-too-low"},
		{name: "whatever is demanded, an attested denial denies", consents: all(sure(say("a", permit()), consent.Wallet), say("b", deny())), request: demanding(claim(lab), consent.Wallet), want: "denied", rule: "b provision"},
		{name: "an attested permit's exceptions deny where a signed one is demanded", consents: all(sure(say("a", permit()), consent.Wallet), say("b", permit(except(deny(classes(gen)))))), request: demanding(claim(lab, gen), consent.Wallet), want: "laboratory", refused: "genomics denied"},
		{name: "an unsure permit is nearer than a withdrawn one", consents: all(withdrawn(sure(say("a", permit()), consent.Wallet)), say("b", permit())), request: demanding(claim(lab), consent.Wallet), want: "assurance-too-low", rule: "b provision"},

		// Classes
		{name: "a permit for a class is for that class", consents: all(say("a", permit(classes(lab)))), request: claim(lab), want: "laboratory"},
		{name: "only the granted of the requested classes are granted", consents: all(say("a", permit(classes(lab, img)))), request: claim(lab, gen), want: "laboratory", refused: "genomics class-not-covered", keeps: []part{of(gen), of(img)}},
		{name: "a class denied by an exception is refused by that exception", consents: all(say("a", permit(except(deny(classes(gen)))))), request: claim(lab, gen), want: "laboratory", refused: "genomics denied"},
		{name: "all requested classes denied is a denial", consents: all(say("a", permit(except(deny(classes(gen, lab)))))), request: claim(lab, gen), want: "denied", rule: "a provision.provision[0]"},
		{name: "a class denied by one consent though another permits it", consents: all(say("a", permit()), say("b", deny(classes(gen)))), request: claim(lab, gen), want: "laboratory", refused: "genomics denied"},
		{name: "an exception outside its parent's classes is never reached", consents: all(say("a", permit(classes(lab), except(permit(classes(gen)))))), request: claim(gen), want: "class-not-covered"},

		// Labels
		{name: "a permit without labels covers labelled parts too: an absent criterion restricts nothing", consents: all(say("a", permit())), request: claim(lab), want: "laboratory", covers: []part{of(lab), of(lab, record.HIV)}},
		{name: "a denial of a label hits the parts that carry it", consents: all(say("a", permit(except(deny(labelled(record.HIV)))))), request: claim(lab), want: "laboratory", covers: []part{of(lab), of(lab, record.PSY)}, keeps: []part{of(lab, record.HIV), of(lab, record.HIV, record.PSY)}},
		{name: "a permit of labels covers only parts all of whose labels it names", consents: all(say("a", permit(labelled(record.HIV, record.STD)))), request: claim(lab), want: "laboratory", covers: []part{of(lab, record.HIV), of(lab, record.HIV, record.STD)}, keeps: []part{of(lab), of(lab, record.HIV, record.PSY)}},
		{name: "a permit of a label covers what is labelled with what it is a case of too", consents: all(say("a", permit(labelled(record.PSY)))), request: claim(lab), want: "laboratory", covers: []part{of(lab, record.PSY), of(lab, record.PSY, record.MH, record.BH)}, keeps: []part{of(lab, record.MH, record.BH), of(lab, record.PSY, record.MH, record.BH, record.HIV)}},
		{name: "a denial of a label hits what is labelled with a case of it", consents: all(say("a", permit()), say("b", deny(labelled(record.MH)))), request: claim(lab), want: "laboratory", covers: []part{of(lab, record.BH)}, keeps: []part{of(lab, record.PSY, record.MH, record.BH)}},
		{name: "all labels denied, one let through by an exception to the exception", consents: all(say("a", permit(except(deny(anyLabel, except(permit(labelled(record.HIV)))))))), request: claim(lab), want: "laboratory", covers: []part{of(lab), of(lab, record.HIV)}, keeps: []part{of(lab, record.PSY), of(lab, record.HIV, record.PSY)}},
		{name: "a denial of labels in another consent holds too", consents: all(say("a", permit()), say("b", deny(labelled(record.SDV)))), request: claim(lab), want: "laboratory", covers: []part{of(lab)}, keeps: []part{of(lab, record.SDV)}},

		// Data periods
		{name: "a permit with a data period covers data wholly within", consents: all(say("a", permit(dataFrom("2022-01-01", "2023-01-01")))), request: claim(lab), want: "laboratory", covers: []part{of(lab).from("2022-03-01", "2022-03-02"), of(lab).from("2022-01-01", "2023-01-01")}, keeps: []part{of(lab).from("2021-12-31", "2022-01-02"), of(lab).from("2023-01-01", "2023-01-02"), of(lab), of(lab).from("2022-03-01", "")}},
		{name: "a denial with a data period hits data that overlaps, and data of an unknown time", consents: all(say("a", permit(except(deny(dataFrom("2022-01-01", "2023-01-01")))))), request: claim(lab), want: "laboratory", covers: []part{of(lab).from("2021-03-01", "2021-03-02"), of(lab).from("2023-01-01", "")}, keeps: []part{of(lab).from("2021-12-31", "2022-01-02"), of(lab), of(lab).from("2022-03-01", "2022-03-02")}},
		{name: "what was asked for bounds what is covered", consents: all(say("a", permit())), request: about(claim(lab), "2022-01-01", "2023-01-01"), want: "laboratory", covers: []part{of(lab).from("2022-01-01", "2022-02-01")}, keeps: []part{of(lab).from("2021-12-31", "2022-01-02"), of(lab)}},
		{name: "a permit for data from another time than asked for covers nothing", consents: all(say("a", permit(dataFrom("2020-01-01", "2021-01-01")))), request: about(claim(lab), "2022-01-01", "2023-01-01"), want: "data-period-not-covered"},
		{name: "a denial of data from another time than asked for hits nothing", consents: all(say("a", permit(except(deny(dataFrom("2020-01-01", "2021-01-01")))))), request: about(claim(lab), "2022-01-01", "2023-01-01"), want: "laboratory", covers: []part{of(lab).from("2022-01-01", "2022-02-01")}},
		{name: "a denial of data of all the time asked for denies the class", consents: all(say("a", permit(except(deny(dataFrom("2020-01-01", "")))))), request: about(claim(lab), "2022-01-01", "2023-01-01"), want: "denied", rule: "a provision.provision[0]"},

		// Record types
		{name: "a permit without record types covers any form", consents: all(say("a", permit())), request: claim(lab), want: "laboratory", covers: []part{of(lab), of(lab).as(record.PDF)}},
		{name: "a permit for a record type covers that form only", consents: all(say("a", permit(as(record.PDF)))), request: claim(lab), want: "laboratory", covers: []part{of(lab).as(record.PDF)}, keeps: []part{of(lab), of(lab).as(record.DICOM)}},
		{name: "a denial of a record type hits that form only", consents: all(say("a", permit(except(deny(as(record.DICOM)))))), request: claim(lab), want: "laboratory", covers: []part{of(lab), of(lab).as(record.PDF)}, keeps: []part{of(lab).as(record.DICOM)}},
		{name: "a denial of a record type in another consent holds too", consents: all(say("a", permit()), say("b", deny(as(record.PDF)))), request: claim(lab), want: "laboratory", covers: []part{of(lab)}, keeps: []part{of(lab).as(record.PDF)}},
		{name: "the record types asked for bound what is covered", consents: all(say("a", permit())), request: inForm(claim(lab), record.FHIR), want: "laboratory", covers: []part{of(lab)}, keeps: []part{of(lab).as(record.PDF)}},
		{name: "a permit for another record type than asked for covers nothing", consents: all(say("a", permit(as(record.PDF)))), request: inForm(claim(lab), record.FHIR), want: "record-type-not-covered"},
		{name: "a denial of another record type than asked for hits nothing", consents: all(say("a", permit(except(deny(as(record.PDF)))))), request: inForm(claim(lab), record.FHIR), want: "laboratory", covers: []part{of(lab)}},
		{name: "a denial of every record type asked for denies the class", consents: all(say("a", permit(except(deny(as(record.FHIR, record.PDF)))))), request: inForm(claim(lab), record.FHIR), want: "denied", rule: "a provision.provision[0]"},
		{name: "one of two record types asked for is permitted", consents: all(say("a", permit(as(record.PDF, record.DICOM)))), request: inForm(claim(lab), record.FHIR, record.PDF), want: "laboratory", covers: []part{of(lab).as(record.PDF)}, keeps: []part{of(lab), of(lab).as(record.DICOM)}},
		{name: "a record type and a class of one provision must both match", consents: all(say("a", permit(except(deny(as(record.PDF), classes(gen)))))), request: claim(lab, gen), want: "genomics laboratory", covers: []part{of(lab).as(record.PDF), of(gen)}, keeps: []part{of(gen).as(record.PDF)}},

		// Nesting
		{name: "the deepest match wins: deny, except permit, except deny, except permit", consents: all(say("a", deny(except(permit(purposes(consent.HPAYMT), except(deny(classes(gen), except(permit(to(insurer)))))))))), request: claim(lab, gen), want: "genomics laboratory", rule: "a provision.provision[0]"},
		{name: "the deepest match wins for another member too", consents: all(say("a", deny(except(permit(purposes(consent.HPAYMT), except(deny(classes(gen), except(permit(to(insurer)))))))))), request: ask("OtherMSP", "insurer", consent.CLMATTCH, lab, gen), want: "laboratory", refused: "genomics denied"},
		{name: "among exceptions that disagree denial wins", consents: all(say("a", permit(except(permit(toKind("insurer")), deny(classes(lab)))))), request: claim(lab), want: "denied", rule: "a provision.provision[1]"},
		{name: "an exception of its parent's own type changes nothing", consents: all(say("a", permit(except(permit(classes(lab)))))), request: claim(lab, clm), want: "claim laboratory", rule: "a provision"},
		{name: "a root with criteria that doesn't match is silent, its exceptions with it", consents: all(say("a", deny(toKind("hospital"), except(permit(to(insurer)))))), request: claim(lab), want: "nothing-said"},
		{name: "a base denial's exception permits, but not against another consent's denial", consents: all(say("a", deny(except(permit(toKind("insurer"))))), say("b", deny(to(insurer)))), request: claim(lab), want: "denied", rule: "b provision"},

		// Published examples: FHIR R4, hl7.org/fhir/R4/consent-examples.html
		{name: "FHIR R4 consent-example-basic: opt-in for a period that is over", consents: all(say("f", permit(during("1964-01-01", "2016-01-02")))), request: treat(lab), want: "period-over"},
		{name: "FHIR R4 consent-example-basic: opt-in while its period lasts", consents: all(say("f", permit(during("1964-01-01", "2016-01-02")))), request: treat(lab), at: "2015-11-18", want: "laboratory", until: "2016-01-02"},
		{name: "FHIR R4 consent-example-Out: withholding all from an organisation", consents: all(say("f", deny(to(hospitalB), actions(consent.Access, consent.Correct)))), request: treat(lab), want: "denied"},
		{name: "FHIR R4 consent-example-Emergency: no data but in an emergency, and this is none", consents: all(say("f", deny(except(permit(purposes(consent.ETREAT)))))), request: treat(lab), want: "denied", rule: "f provision"},
		{name: "FHIR R4 consent-example-Emergency: no data but in an emergency, and this is one", consents: all(say("f", deny(except(permit(purposes(consent.ETREAT)))))), request: ask(hospitalB, "hospital", consent.ERTREAT, lab), want: "laboratory", rule: "f provision.provision[0]"},
		{name: "FHIR R4 consent-example-notThis: opt-in but for one kind of document", consents: all(say("f", permit(except(deny(classes(record.Document)))))), request: treat(lab, record.Document), want: "laboratory", refused: "document denied"},
		{name: "FHIR R4 consent-example-notTime: opt-in but for data of one month", consents: all(say("f", permit(except(deny(dataFrom("2015-01-01", "2015-02-02")))))), request: treat(lab), want: "laboratory", covers: []part{of(lab).from("2014-05-01", "2014-05-02"), of(lab).from("2015-02-02", "2015-02-03")}, keeps: []part{of(lab).from("2015-01-20", "2015-01-21")}},
		{name: "FHIR R4 consent-example-notOrg: opt-in but for the clinic where the former spouse works", consents: all(say("f", permit(except(deny(to(hospitalB), actions(consent.Access, consent.Correct)))))), request: treat(lab), want: "denied", rule: "f provision.provision[0]"},
		{name: "FHIR R4 consent-example-notOrg: other clinics are let in", consents: all(say("f", permit(except(deny(to(hospitalB), actions(consent.Access, consent.Correct)))))), request: ask("HospitalCMSP", "hospital", consent.TREAT, lab), want: "laboratory"},
		{name: "FHIR R4 consent-example-grantor: read-only access, so no correcting", consents: all(say("f", deny(except(permit(to(hospitalB), actions(consent.Access)))))), request: doing(treat(lab), consent.Correct), want: "denied", rule: "f provision"},
		{name: "FHIR R4 consent-example-grantor: read-only access", consents: all(say("f", deny(except(permit(to(hospitalB), actions(consent.Access)))))), request: treat(lab), want: "laboratory", rule: "f provision.provision[0]"},
		{name: "FHIR R4 consent-example-signature: a signed opt-in for one year", consents: all(say("f", permit(during("2015-10-10", "2016-10-11"), to(hospitalB)))), request: treat(lab), at: "2016-05-26", want: "laboratory", until: "2016-10-11"},

		// Published examples: IHE PCF 1.1, profiles.ihe.net/ITI/PCF
		{name: "IHE PCF ex-consent-basic-treat: treatment, payment and operations", consents: all(say("c", permit(tpo))), request: treat(lab), want: "laboratory", rule: "c provision"},
		{name: "IHE PCF ex-consent-basic-treat: research isn't among them", consents: all(say("c", permit(tpo))), request: ask(hospitalB, "hospital", consent.HRESCH, lab), want: "purpose-not-covered"},
		{name: "IHE PCF ex-consent-expired-treat: the sunset has passed", consents: all(say("c", permit(tpo, during("", "2023-01-01")))), request: treat(lab), want: "period-over"},
		{name: "IHE PCF ex-consent-basic-reject: treatment, payment and operations refused", consents: all(say("c", deny(tpo))), request: claim(lab), want: "denied"},
		{name: "IHE PCF ex-consent-basic-research: research permitted", consents: all(say("c", permit(tpo)), say("d", permit(purposes(consent.HRESCH)))), request: ask(hospitalB, "hospital", consent.CLINTRCH, lab), want: "laboratory", rule: "d provision"},
		{name: "IHE PCF ex-consent-intermediate-timeframe: only data of 2022", consents: all(say("c", permit(tpo, dataFrom("2022-01-01", "2023-01-01")))), request: treat(lab), want: "laboratory", covers: []part{of(lab).from("2022-06-13", "2022-06-14")}, keeps: []part{of(lab).from("2023-06-13", "2023-06-14")}},
		{name: "IHE PCF ex-consent-intermediate-not-timeframe: all but data of 2022", consents: all(say("c", permit(tpo, except(deny(dataFrom("2022-01-01", "2023-01-01")))))), request: treat(lab), want: "laboratory", covers: []part{of(lab).from("2023-06-13", "2023-06-14")}, keeps: []part{of(lab).from("2022-06-13", "2022-06-14")}},
		{name: "IHE PCF ex-consent-intermediate-data: only data of some kinds, by class with us", consents: all(say("c", permit(tpo, classes(record.Encounter, record.VitalSigns)))), request: treat(record.Encounter, record.VitalSigns, cond), want: "encounter vital-signs", refused: "condition class-not-covered"},
		{name: "IHE PCF ex-consent-intermediate-not-data: all but data of one kind, by class with us", consents: all(say("c", permit(tpo, except(deny(classes(record.SocialHistory)))))), request: treat(lab, record.SocialHistory), want: "laboratory", refused: "social-history denied"},
		{name: "IHE PCF ex-consent-intermediate-purpose: one purpose for one organisation", consents: all(say("c", permit(purposes(consent.DSRCH), to("ResearchMSP")))), request: ask("ResearchMSP", "hospital", consent.DSRCH, lab), want: "laboratory"},
		{name: "IHE PCF ex-consent-intermediate-purpose: not for another organisation", consents: all(say("c", permit(purposes(consent.DSRCH), to("ResearchMSP")))), request: ask(hospitalB, "hospital", consent.DSRCH, lab), want: "actor-not-covered"},
		{name: "IHE PCF ex-dissent-intermediate-break-glass: nothing but break-glass", consents: all(say("c", deny(except(permit(purposes(consent.BTG), to(hospitalB)))))), request: ask(hospitalB, "hospital", consent.BTG, lab), want: "laboratory", rule: "c provision.provision[0]"},
		{name: "IHE PCF ex-dissent-intermediate-break-glass: an emergency without break-glass is denied", consents: all(say("c", deny(except(permit(purposes(consent.BTG), to(hospitalB)))))), request: ask(hospitalB, "hospital", consent.ETREAT, lab), want: "denied", rule: "c provision"},
		{name: "IHE PCF ex-consent-advanced-normal: normal data only", consents: all(say("c", permit(tpo, except(deny(anyLabel))))), request: treat(lab), want: "laboratory", covers: []part{of(lab)}, keeps: []part{of(lab, record.R), of(lab, record.PSY)}},
		{name: "IHE PCF ex-consent-advanced-normal-restricted: normal and restricted data", consents: all(say("c", permit(tpo, except(deny(anyLabel, except(permit(labelled(record.R)))))))), request: treat(lab), want: "laboratory", covers: []part{of(lab), of(lab, record.R)}, keeps: []part{of(lab, record.V)}},
		{name: "IHE PCF ex-consent-advanced-normal-not-restricted: normal, not restricted", consents: all(say("c", permit(tpo, except(deny(labelled(record.R)))))), request: treat(lab), want: "laboratory", covers: []part{of(lab)}, keeps: []part{of(lab, record.R)}},
		{name: "IHE PCF ex-consent-advanced-normal-focused-restricted: restricted for one recipient", consents: all(say("c", permit(tpo, except(deny(anyLabel, except(permit(labelled(record.R), to(hospitalB)))))))), request: treat(lab), want: "laboratory", covers: []part{of(lab), of(lab, record.R)}, keeps: []part{of(lab, record.PSY)}},
		{name: "IHE PCF ex-consent-advanced-normal-focused-restricted: others get normal only", consents: all(say("c", permit(tpo, except(deny(anyLabel, except(permit(labelled(record.R), to(hospitalB)))))))), request: claim(lab), want: "laboratory", covers: []part{of(lab)}, keeps: []part{of(lab, record.R)}},
		{name: "IHE PCF ex-consent-advanced-normal-focused-psy-or-sdv: two sensitivities for one recipient", consents: all(say("c", permit(tpo, except(deny(anyLabel, except(permit(labelled(record.PSY, record.SDV), to(hospitalB)))))))), request: treat(lab), want: "laboratory", covers: []part{of(lab), of(lab, record.PSY), of(lab, record.PSY, record.SDV)}, keeps: []part{of(lab, record.HIV), of(lab, record.HIV, record.PSY)}},
		{name: "IHE PCF ex-consent-advanced-normal-break-glass-restricted: restricted by break-glass only", consents: all(say("c", permit(tpo, except(deny(anyLabel, except(permit(labelled(record.R), purposes(consent.BTG)))))))), request: ask(hospitalB, "hospital", consent.BTG, lab), want: "laboratory", covers: []part{of(lab, record.R)}},
		{name: "IHE PCF ex-consent-advanced-normal-break-glass-restricted: plain treatment sees normal data only", consents: all(say("c", permit(tpo, except(deny(anyLabel, except(permit(labelled(record.R), purposes(consent.BTG)))))))), request: treat(lab), want: "laboratory", covers: []part{of(lab)}, keeps: []part{of(lab, record.R)}},
	}
}

func TestEvaluate(t *testing.T) {
	cases := situations()
	if len(cases) < 60 {
		t.Fatalf("%d cases, want at least 60", len(cases))
	}
	for _, s := range cases {
		t.Run(s.name, func(t *testing.T) {
			if err := s.request.Validate(); err != nil {
				t.Fatal("the case's request isn't valid:", err)
			}
			for _, c := range s.consents {
				if c.Status != "entered-in-error" {
					if err := c.Validate(); err != nil {
						t.Fatal("the case's consent isn't valid:", err)
					}
				}
			}
			at := day(s.at)
			if at == 0 {
				at = day(today)
			}
			d := consent.Evaluate(s.consents, s.request, at)

			if got := summary(d); got != s.want {
				t.Errorf("decision is %q, want %q\n%+v", got, s.want, d)
			}
			if got := named(d.Rule); s.rule != "" && got != s.rule {
				t.Errorf("rule is %q, want %q", got, s.rule)
			}
			if d.Outcome == consent.Permit {
				if diff := cmp.Diff(s.refused, refusals(d)); diff != "" {
					t.Error("refused (-want +got):\n", diff)
				}
			}
			if d.Until != day(s.until) {
				t.Errorf("stands until %q, want %q", d.Until, s.until)
			}
			for _, p := range s.covers {
				if !d.Scope.Covers(p.whole()) {
					t.Errorf("%v isn't covered", p)
				}
			}
			for _, p := range s.keeps {
				if d.Scope.Covers(p.whole()) {
					t.Errorf("%v is covered", p)
				}
			}
		})
	}
}

// summary is the granted classes of a permit, the reason of a denial.
func summary(d consent.Decision) string {
	if d.Outcome == consent.Permit {
		return strings.Join(d.Scope.Classes.Codes(), " ")
	}
	return string(d.Rule.Reason)
}

func named(r consent.Rule) string { return fmt.Sprintf("%.1s %s", r.Consent, r.Path) }

func refusals(d consent.Decision) string {
	var list []string
	for _, r := range d.Refused {
		list = append(list, strings.Join(r.Classes.Codes(), ",")+" "+string(r.Rule.Reason))
	}
	return strings.Join(list, "; ")
}
