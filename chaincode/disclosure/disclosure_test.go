package disclosure_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

var (
	hospital  = registry.Member{MSP: "H", Kind: registry.Hospital, Status: registry.Active}
	insurer   = registry.Member{MSP: "I", Kind: registry.Insurer, Status: registry.Active}
	regulator = registry.Member{MSP: "R", Kind: registry.Regulator, Status: registry.Active}
	second    = registry.Member{MSP: "S", Kind: registry.Regulator, Status: registry.Active}
	digest    = strings.Repeat("0f", 32)
	id        = strings.Repeat("a", 32)
)

const now = record.Instant(1_800_000_000)

func suspended(m registry.Member) *registry.Member { m.Status = registry.Suspended; return &m }

func draft(what disclosure.What) disclosure.Draft {
	s := disclosure.Subject{What: what, Custodian: "H", Requester: "I", ID: strings.Repeat("b", 32)}
	if what == disclosure.Form {
		s.Handle, s.Version = "1-"+strings.Repeat("c", 64), 1
	}
	return disclosure.Draft{ID: id, Subject: s, Reason: "case-7"}
}

func issued(t testing.TB) disclosure.Order {
	t.Helper()
	o, err := disclosure.Issue(draft(disclosure.Manifest), regulator, &hospital, digest, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func codeOf(err error) refusal.Code {
	var r *refusal.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func TestWhatMayBeOrdered(t *testing.T) {
	for _, test := range []struct {
		name   string
		what   disclosure.What
		change func(*disclosure.Draft)
		caller *registry.Member
		holder *registry.Member
		digest string
		want   refusal.Code
	}{
		{name: "a manifest", what: disclosure.Manifest},
		{name: "a claim reference", what: disclosure.Claim, holder: &insurer},
		{name: "a signed form", what: disclosure.Form},
		{name: "of a suspended hospital", what: disclosure.Manifest, holder: suspended(hospital)},
		{name: "by a hospital", what: disclosure.Manifest, caller: &hospital, want: refusal.KindNotAllowed},
		{name: "by an insurer", what: disclosure.Manifest, caller: &insurer, want: refusal.KindNotAllowed},
		{name: "by a suspended regulator", what: disclosure.Manifest, caller: suspended(regulator), want: refusal.MemberSuspended},
		{name: "what isn't on the ledger", what: disclosure.Manifest, digest: "none", want: refusal.NotFound},
		{name: "of nobody", what: disclosure.Manifest, holder: &registry.Member{}, want: refusal.NotFound},
		{name: "a diary", what: "diary", want: refusal.Malformed},
		{name: "a short id", what: disclosure.Manifest, change: func(d *disclosure.Draft) { d.ID = "a" }, want: refusal.Malformed},
		{name: "a subject's short id", what: disclosure.Manifest, change: func(d *disclosure.Draft) { d.Subject.ID = "a" }, want: refusal.Malformed},
		{name: "a custodian that is no MSP id", what: disclosure.Manifest, change: func(d *disclosure.Draft) { d.Subject.Custodian = "H\x00" }, want: refusal.Malformed},
		{name: "a requester that is no MSP id", what: disclosure.Claim, change: func(d *disclosure.Draft) { d.Subject.Requester = "" }, want: refusal.Malformed},
		{name: "without a reason", what: disclosure.Manifest, change: func(d *disclosure.Draft) { d.Reason = "" }, want: refusal.Malformed},
		{name: "for a reason in prose", what: disclosure.Manifest, change: func(d *disclosure.Draft) { d.Reason = "Ms Chen complained" }, want: refusal.Malformed},
		{name: "a manifest's version", what: disclosure.Manifest, change: func(d *disclosure.Draft) { d.Subject.Version = 1 }, want: refusal.Malformed},
		{name: "a claim's handle", what: disclosure.Claim, change: func(d *disclosure.Draft) { d.Subject.Handle = digest }, want: refusal.Malformed},
		{name: "a form of version 0", what: disclosure.Form, change: func(d *disclosure.Draft) { d.Subject.Version = 0 }, want: refusal.Malformed},
		{name: "a form without a handle", what: disclosure.Form, change: func(d *disclosure.Draft) { d.Subject.Handle = "" }, want: refusal.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, caller, holder, on := draft(test.what), &regulator, &hospital, digest
			if test.change != nil {
				test.change(&d)
			}
			if test.caller != nil {
				caller = test.caller
			}
			if test.holder != nil {
				holder = test.holder
			}
			if holder.MSP == "" {
				holder = nil
			}
			if test.digest != "" {
				on = ""
			}
			o, err := disclosure.Issue(d, *caller, holder, on, nil, now)
			if got := codeOf(err); got != test.want {
				t.Fatalf("refusal %q, want %q", got, test.want)
			}
			if err == nil && (o.Digest != digest || o.Holder != d.Subject.Holder() || o.Regulator != "R" || o.Due != now+disclosure.Term) {
				t.Errorf("order %+v", o)
			}
		})
	}
}

func TestTheHolderIsWhoKnowsWhatIsBehindTheDigest(t *testing.T) {
	for what, want := range map[disclosure.What]string{disclosure.Manifest: "H", disclosure.Claim: "I", disclosure.Form: "H"} {
		if got := draft(what).Subject.Holder(); got != want {
			t.Errorf("%s lies with %s, want %s", what, got, want)
		}
	}
}

func TestAnOrderAgain(t *testing.T) {
	o := issued(t)
	again, err := disclosure.Issue(o.Draft, regulator, &hospital, digest, &o, now+50)
	if err != nil || again != o {
		t.Errorf("the same order again: %+v, %v", again, err)
	}
	other := o.Draft
	other.Reason = "case-8"
	if _, err := disclosure.Issue(other, regulator, &hospital, digest, &o, now); codeOf(err) != refusal.Exists {
		t.Errorf("another order under the id: %v", err)
	}
}

func TestWhoAnswersWhat(t *testing.T) {
	for _, test := range []struct {
		name       string
		word       disclosure.Word
		reason     string
		prior      *disclosure.Answer
		conclusion *disclosure.Conclusion
		caller     registry.Member
		want       refusal.Code
	}{
		{name: "the holder gives", word: disclosure.Given, caller: hospital},
		{name: "the holder refuses", word: disclosure.Refused, reason: "not-kept", caller: hospital},
		{name: "without a reason", word: disclosure.Refused, caller: hospital, want: refusal.Malformed},
		{name: "gives for a reason", word: disclosure.Given, reason: "why-not", caller: hospital, want: refusal.Malformed},
		{name: "says something else", word: "perhaps", caller: hospital, want: refusal.Malformed},
		{name: "another member answers", word: disclosure.Given, caller: insurer, want: registry.NotEntitled},
		{name: "the regulator answers itself", word: disclosure.Refused, reason: "x", caller: regulator, want: registry.NotEntitled},
		{name: "a suspended holder answers", word: disclosure.Given, caller: *suspended(hospital), want: refusal.MemberSuspended},
		{name: "the same again", word: disclosure.Given, prior: &disclosure.Answer{Word: disclosure.Given}, caller: hospital},
		{name: "the same again when it is concluded", word: disclosure.Given, prior: &disclosure.Answer{Word: disclosure.Given}, conclusion: &disclosure.Conclusion{}, caller: hospital},
		{name: "another word", word: disclosure.Refused, reason: "x", prior: &disclosure.Answer{Word: disclosure.Given}, caller: hospital, want: refusal.Exists},
		{name: "another reason", word: disclosure.Refused, reason: "x", prior: &disclosure.Answer{Word: disclosure.Refused, Reason: "y"}, caller: hospital, want: refusal.Exists},
		{name: "too late", word: disclosure.Given, conclusion: &disclosure.Conclusion{Outcome: disclosure.Withheld}, caller: hospital, want: refusal.WrongState},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := issued(t).Answer(test.word, test.reason, test.prior, test.conclusion, test.caller, now+1)
			if got := codeOf(err); got != test.want {
				t.Errorf("refusal %q, want %q", got, test.want)
			}
		})
	}
}

func TestWhichConclusionFollowsFromWhichAnswer(t *testing.T) {
	given := &disclosure.Answer{Word: disclosure.Given}
	refused := &disclosure.Answer{Word: disclosure.Refused, Reason: "x"}
	const soon, late = now + 1, now + disclosure.Term
	for _, test := range []struct {
		name    string
		outcome disclosure.Outcome
		answer  *disclosure.Answer
		at      record.Instant
		caller  registry.Member
		want    refusal.Code
	}{
		{"given and it opens the digest", disclosure.Disclosed, given, soon, regulator, ""},
		{"given and it doesn't", disclosure.Mismatch, given, soon, regulator, ""},
		{"given, and called refused", disclosure.Withheld, given, soon, regulator, refusal.WrongState},
		{"said to be given, and nothing came within the term", disclosure.Withheld, given, late, regulator, ""},
		{"refused", disclosure.Withheld, refused, soon, regulator, ""},
		{"refused, and called a mismatch", disclosure.Mismatch, refused, late, regulator, refusal.WrongState},
		{"refused, and called disclosed", disclosure.Disclosed, refused, soon, regulator, refusal.WrongState},
		{"silent, a second before the term is over", disclosure.Withheld, nil, late - 1, regulator, refusal.WrongState},
		{"silent when the term is over", disclosure.Withheld, nil, late, regulator, ""},
		{"silent, and called a mismatch", disclosure.Mismatch, nil, late, regulator, refusal.WrongState},
		{"silent, and called disclosed", disclosure.Disclosed, nil, late, regulator, refusal.WrongState},
		{"concluded by another regulator", disclosure.Disclosed, given, soon, second, registry.NotEntitled},
		{"concluded by the holder", disclosure.Disclosed, given, soon, hospital, refusal.KindNotAllowed},
		{"concluded by a suspended regulator", disclosure.Disclosed, given, soon, *suspended(regulator), refusal.MemberSuspended},
		{"concluded somehow", "lost", given, soon, regulator, refusal.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := issued(t).Conclude(test.outcome, test.answer, nil, test.caller, test.at)
			if got := codeOf(err); got != test.want {
				t.Errorf("refusal %q, want %q", got, test.want)
			}
		})
	}
}

func TestAnOrderIsOverdueFromItsTermUntilItIsConcluded(t *testing.T) {
	d := disclosure.Disclosure{Order: issued(t)}
	if d.Overdue(now+disclosure.Term-1) || !d.Overdue(now+disclosure.Term) {
		t.Error("overdue at the wrong time")
	}
	d.Answer = &disclosure.Answer{Word: disclosure.Given}
	if !d.Overdue(now + disclosure.Term) {
		t.Error("an answer alone ends it")
	}
	d.Conclusion = &disclosure.Conclusion{}
	if d.Overdue(now + disclosure.Term) {
		t.Error("a conclusion doesn't end it")
	}
}

// Whatever the parties try in whatever order: an answer and a conclusion are by whom they
// should be, never change, and never contradict each other.
func TestNoSequenceOfStepsMakesARecordThatContradictsItself(t *testing.T) {
	members := []registry.Member{hospital, insurer, regulator, second, *suspended(hospital), *suspended(regulator)}
	rapid.Check(t, func(t *rapid.T) {
		o, err := disclosure.Issue(draft(disclosure.Manifest), regulator, &hospital, digest, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		d := disclosure.Disclosure{Order: o}
		at := now
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			at += record.Instant(rapid.IntRange(0, disclosure.Term/2).Draw(t, "seconds"))
			caller := rapid.SampledFrom(members).Draw(t, "caller")
			if rapid.Bool().Draw(t, "answers") {
				word := rapid.SampledFrom([]disclosure.Word{disclosure.Given, disclosure.Refused, "x"}).Draw(t, "word")
				reason := rapid.SampledFrom([]string{"", "not-kept"}).Draw(t, "reason")
				a, err := o.Answer(word, reason, d.Answer, d.Conclusion, caller, at)
				switch {
				case err != nil && codeOf(err) == "":
					t.Fatalf("an error that is no refusal: %v", err)
				case err != nil:
				case caller.MSP != hospital.MSP:
					t.Fatalf("%+v answered", caller)
				case d.Answer != nil && a != *d.Answer:
					t.Fatalf("the answer changed from %+v to %+v", *d.Answer, a)
				case d.Answer == nil && d.Conclusion != nil:
					t.Fatal("an answer after the conclusion")
				default:
					d.Answer = &a
				}
				continue
			}
			outcome := rapid.SampledFrom([]disclosure.Outcome{disclosure.Disclosed, disclosure.Withheld, disclosure.Mismatch, "x"}).Draw(t, "outcome")
			c, err := o.Conclude(outcome, d.Answer, d.Conclusion, caller, at)
			switch {
			case err != nil && codeOf(err) == "":
				t.Fatalf("an error that is no refusal: %v", err)
			case err != nil:
			case caller.MSP != regulator.MSP:
				t.Fatalf("%+v concluded", caller)
			case d.Conclusion != nil && c != *d.Conclusion:
				t.Fatalf("the conclusion changed from %+v to %+v", *d.Conclusion, c)
			default:
				d.Conclusion = &c
			}
		}
		if c := d.Conclusion; c != nil {
			gave := d.Answer != nil && d.Answer.Word == disclosure.Given
			if c.Outcome != disclosure.Withheld && !gave {
				t.Fatalf("%s, but nothing was given", c.Outcome)
			}
			if c.Outcome == disclosure.Withheld && c.At < o.Due && (d.Answer == nil || gave) {
				t.Fatal("called refused before its time")
			}
		}
	})
}
