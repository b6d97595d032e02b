package consent_test

import (
	"strings"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
)

// The oracle is the package comment's rules, written down once more as plainly as can be: it decides
// one part at a time, on the consents as they stand, and keeps nothing from one part to the next.

// narrowerThan lists, for a label, every label that is a case of it.
var narrowerThan = map[string][]string{
	"MH": {"PSY", "PSYTHPN"}, "SUD": {"ETHUD", "OPIOIDUD"}, "ETH": {"SUD", "ETHUD", "OPIOIDUD"},
	"BH":  {"MH", "PSY", "PSYTHPN", "COGN", "DVD", "EMOTDIS", "SUD", "ETHUD", "OPIOIDUD"},
	"SDV": {"MST"}, "SICKLE": {"SCA"}, "GDIS": {"SICKLE", "SCA"}, "R": {"V"},
}

// covered says whether the consents permit this one part for this request.
func covered(consents []consent.Consent, r consent.Request, at record.Instant, p part) bool {
	if !r.Classes.Has(p.class) {
		return false
	}
	if asked := r.Types.Codes(); len(asked) > 0 && !contains(asked, p.form.String()) {
		return false
	}
	if r.Period.Start != 0 && (p.data.Start == 0 || p.data.Start < r.Period.Start) {
		return false
	}
	if r.Period.End != 0 && (p.data.End == 0 || p.data.End > r.Period.End) {
		return false
	}
	permits, denies := 0, 0
	for _, c := range consents {
		if !inForce(c.Period, at) {
			continue
		}
		switch says(c.Provision, r, at, p) {
		case "deny":
			denies++
		case "permit":
			if c.Status == consent.Active && c.Assurance >= r.Assurance {
				permits++
			}
		}
	}
	return denies == 0 && permits > 0
}

func says(p consent.Provision, r consent.Request, at record.Instant, x part) string {
	if !matches(p, r, at, x) {
		return "nothing"
	}
	answer := ""
	for _, exception := range p.Provisions {
		switch says(exception, r, at, x) {
		case "deny":
			answer = "deny"
		case "permit":
			if answer == "" {
				answer = "permit"
			}
		}
	}
	if answer == "" {
		answer = p.Type.String()
	}
	return answer
}

func matches(p consent.Provision, r consent.Request, at record.Instant, x part) bool {
	if len(p.Actors) > 0 {
		found := false
		for _, a := range p.Actors {
			if a.Member != "" && a.Member == r.Requester || a.Kind != "" && a.Kind == r.Kind {
				found = true
			}
		}
		if !found {
			return false
		}
	}
	if codes := p.Actions.Codes(); len(codes) > 0 && !contains(codes, r.Action.String()) {
		return false
	}
	if codes := p.Purposes.Codes(); len(codes) > 0 {
		found := false
		for why := r.Purpose.String(); why != ""; why = above[why] {
			found = found || contains(codes, why)
		}
		if !found {
			return false
		}
	}
	if !inForce(p.Period, at) {
		return false
	}
	if codes := p.Classes.Codes(); len(codes) > 0 && !contains(codes, x.class.String()) {
		return false
	}
	if codes := p.Types.Codes(); len(codes) > 0 && !contains(codes, x.form.String()) {
		return false
	}
	if mine := p.Labels.Codes(); len(mine) > 0 {
		theirs := x.labels.Codes()
		touched, held := false, len(theirs) > 0
		for _, l := range theirs {
			// What is only there because something narrower is, needs no naming in a permit.
			implied := false
			for _, narrower := range narrowerThan[l] {
				implied = implied || contains(theirs, narrower)
			}
			touched = touched || contains(mine, l)
			held = held && (implied || contains(mine, l))
		}
		if p.Type == consent.Permit && !held || p.Type == consent.Deny && !touched {
			return false
		}
	}
	const never, ever = record.Instant(-1 << 62), record.Instant(1 << 62)
	from, to, start, end := x.data.Start, x.data.End, p.DataPeriod.Start, p.DataPeriod.End
	for _, side := range []*record.Instant{&from, &start} {
		if *side == 0 {
			*side = never
		}
	}
	for _, side := range []*record.Instant{&to, &end} {
		if *side == 0 {
			*side = ever
		}
	}
	if p.Type == consent.Permit {
		return start <= from && to <= end
	}
	return start < to && from < end
}

func inForce(p record.Period, at record.Instant) bool {
	return (p.Start == 0 || p.Start <= at) && (p.End == 0 || at < p.End)
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// above is HL7's hierarchy (v3-ActReason as published with FHIR R4), written down a second time.
var above = func() map[string]string {
	up := map[string]string{}
	for _, family := range []string{
		"TREAT: CLINTRL COC ETREAT POPHLTH", "ETREAT: BTG ERTREAT",
		"HPAYMT: CLMATTCH COVAUTH COVERAGE REMITADV", "COVERAGE: ELIGDTRM ELIGVER ENROLLM MILDCRG",
		"HOPERAT: CAREMGT DONAT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HDM HLEGAL HOUTCOMS HPRGRP HQUALIMP " +
			"HSYSADMIN LABELING METAMGT MEMADMIN MILCDM PATADMIN PATSFTY PERFMSR RECORDMGT SYSDEV TRAIN",
		"SYSDEV: HTEST",
		"HRESCH: BIORCH CLINTRCH DSRCH POARCH TRANSRCH", "CLINTRCH: CLINTRCHNPC CLINTRCHPC PRECLINTRCH",
		"PATRQT: FAMRQT PWATRNY SUPNWK", "PUBHLTH: DISASTER THREAT",
	} {
		head, below, _ := strings.Cut(family, ": ")
		for _, code := range strings.Fields(below) {
			up[code] = head
		}
	}
	return up
}()
