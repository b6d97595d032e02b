// Package demo tells the main job as a story, on real gateways, and checks every
// word of it.
//
//	hospital-a   seals a record and anchors it
//	insurer      asks before there is a consent            denied, and recorded
//	hospital-a   puts the patient's signed consent on the ledger, and can't widen it
//	insurer      asks again                                permitted, in part
//	insurer      opens                                     exactly the covered parts
//	hospital-b   tries the insurer's purpose               refused
//	regulator    brings the patient's signed withdrawal to the ledger
//	insurer      asks, and opens under an older permit     denied; refused
//	hospital-b   breaks the glass in an emergency          reviewed by the regulator
//	hospital-a   erases the record                         nobody opens it again
//	regulator    reads the whole history back
//
// The story speaks to the gateways through package client, as the verbs do. What
// it checks it computes itself from the record that went in: which parts the
// consent covers, that each came out byte for byte, that nothing of the others
// did, and that the ledger tells the same story to the regulator without naming
// the patient. A check that fails doesn't end the story; it ends in a failure.
package demo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/seal"
)

// Cast are the members that play, by the parts they play.
type Cast struct {
	Hospital, OtherHospital, Insurer, Regulator *client.Client
	Clinician                                   *client.Client // of OtherHospital
}

// Play is what the story is about.
type Play struct {
	Bundle  []byte // a FHIR R4 Bundle
	Patient *yitongv1.Patient
	Now     func() time.Time
}

// Step is one thing that somebody did.
type Step struct {
	Number      int           `json:"step"`
	Who         string        `json:"who"`
	What        string        `json:"what"`
	Notes       []string      `json:"notes,omitempty"`
	Transaction string        `json:"transaction,omitempty"`
	Block       uint64        `json:"block,omitempty"`
	Took        time.Duration `json:"-"`
	Seconds     float64       `json:"seconds"`
	Checks      []Check       `json:"checks,omitempty"`
}

// Check is one thing that was verified, or not.
type Check struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	// Why says what was found instead.
	Why string `json:"why,omitempty"`
}

// Outcome is the end of the story.
type Outcome struct {
	Verified int               `json:"verified"`
	Failed   int               `json:"failed"`
	History  []*yitongv1.Event `json:"-"`
}

// story is one telling.
type story struct {
	Cast
	Play
	tell    func(Step)
	number  int
	outcome Outcome

	drafts   []seal.Draft
	asked    []string       // classes that the insurer asks for
	granted  record.Classes // those that the consent permits
	withheld record.Labels  // labels that the consent keeps back
	sent     []sent         // what reached the ledger, in order

	recordID, consentID string
	permit, later       *yitongv1.Access
	emergency           string // id of the break-glass access
}

// sent is a transaction that the history must hold.
type sent struct {
	function, transaction string
}

// Run tells the story; first is the number of its first step. tell is called
// after each. An error is something that went wrong on the way; a story that was
// told to the end and didn't hold has Failed > 0.
func Run(ctx context.Context, cast Cast, play Play, first int, tell func(Step)) (Outcome, error) {
	s := &story{Cast: cast, Play: play, tell: tell, number: first}
	if err := s.read(); err != nil {
		return s.outcome, err
	}
	for _, scene := range []func(context.Context) error{
		s.anchor, s.askTooEarly, s.consent, s.ask, s.open, s.trespass, s.askAgain, s.withdraw, s.askTooLate, s.openTooLate, s.breakGlass, s.review, s.erase, s.lookBack,
	} {
		if err := scene(ctx); err != nil {
			return s.outcome, err
		}
	}
	return s.outcome, nil
}

// read finds out what is in the record, and so what to ask for: laboratory and
// claims where the record has them, and one class more that won't be granted.
func (s *story) read() (err error) {
	if s.drafts, err = seal.Split(s.Bundle); err != nil {
		return err
	}
	var there record.Classes
	for _, d := range s.drafts {
		there = there.With(d.Class)
	}
	order := []record.Class{record.Laboratory, record.Claim, record.Procedure, record.Encounter, record.Condition, record.Demographics}
	for c := range there.All() {
		if !slices.Contains(order, c) {
			order = append(order, c)
		}
	}
	order = slices.DeleteFunc(order, func(c record.Class) bool { return !there.Has(c) })
	covered := order[:min(2, len(order))]
	s.granted = record.ClassesOf(covered...)
	asked := s.granted
	for _, c := range []record.Class{record.Condition, record.Medication, record.Document} {
		if there.Has(c) && !s.granted.Has(c) {
			asked = asked.With(c)
			break
		}
	}
	s.asked = asked.Codes()
	s.withheld = record.LabelsOf(record.PSY, record.ETH)
	return nil
}

// covered says whether the consent lets the insurer have a part.
func (s *story) covered(class record.Class, labels record.Labels) bool {
	return s.granted.Has(class) && labels.Intersect(s.withheld).Empty()
}

// scene is a step that is being taken.
type scene struct {
	*story
	Step
	began time.Time
}

func (s *story) begin(who *client.Client, format string, args ...any) *scene {
	step := Step{Number: s.number, Who: who.Profile.Member, What: fmt.Sprintf(format, args...)}
	s.number++
	return &scene{s, step, time.Now()}
}

// did stops the clock and notes where the step stands on the ledger.
func (s *scene) did(function string, c *yitongv1.Commit) {
	s.Took = time.Since(s.began)
	s.Transaction, s.Block = c.GetTransactionId(), c.GetBlock()
	if function != "" {
		s.check(c.GetTransactionId() != "", "it is on the ledger", "the gateway named no transaction")
		s.sent = append(s.sent, sent{function, c.GetTransactionId()})
	}
}

func (s *scene) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// check counts one thing verified; why says what was found when it isn't so.
func (s *scene) check(ok bool, what, why string, args ...any) {
	c := Check{What: what, OK: ok}
	if ok {
		s.outcome.Verified++
	} else {
		s.outcome.Failed++
		c.Why = fmt.Sprintf(why, args...)
	}
	s.Checks = append(s.Checks, c)
}

func (s *scene) end() {
	if s.Took == 0 {
		s.Took = time.Since(s.began)
	}
	s.Seconds = s.Took.Seconds()
	s.tell(s.Step)
}
