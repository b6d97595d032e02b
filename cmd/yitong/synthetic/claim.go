package synthetic

import "time"

type claimResource struct {
	head
	Status    string      `json:"status"`
	Type      concept     `json:"type"`
	Use       string      `json:"use"`
	Patient   reference   `json:"patient"`
	Billable  period      `json:"billablePeriod"`
	Created   string      `json:"created"`
	Insurer   reference   `json:"insurer"`
	Provider  reference   `json:"provider"`
	Priority  concept     `json:"priority"`
	Insurance []insurance `json:"insurance"`
	Item      []item      `json:"item"`
	Total     money       `json:"total"`
}

type insurance struct {
	Sequence int       `json:"sequence,omitempty"` // Claim only
	Focal    bool      `json:"focal"`
	Coverage reference `json:"coverage"`
}

type item struct {
	Sequence     int            `json:"sequence"`
	Service      concept        `json:"productOrService"`
	Encounter    []reference    `json:"encounter"`
	Net          money          `json:"net"`
	Adjudication []adjudication `json:"adjudication,omitempty"` // ExplanationOfBenefit only
}

type adjudication struct {
	Category concept `json:"category"`
	Amount   money   `json:"amount"`
}

type explanationResource struct {
	head
	Status    string      `json:"status"`
	Type      concept     `json:"type"`
	Use       string      `json:"use"`
	Patient   reference   `json:"patient"`
	Billable  period      `json:"billablePeriod"`
	Created   string      `json:"created"`
	Insurer   reference   `json:"insurer"`
	Provider  reference   `json:"provider"`
	Claim     reference   `json:"claim"`
	Outcome   string      `json:"outcome"`
	Insurance []insurance `json:"insurance"`
	Item      []item      `json:"item"`
	Total     []total     `json:"total"`
}

type total struct {
	Category concept `json:"category"`
	Amount   money   `json:"amount"`
}

// bill claims a visit from the insurer and, a fortnight later, has it explained.
func (c *chart) bill(at time.Time, visit reference, text string, fen int, label string) {
	var (
		kind     = coded(terms+"claim-type", "professional", "")
		span     = period{Start: date(at), End: date(at)}
		service  = concept{Coding: []coding{{System: "https://hospital-a.example/services", Code: "outpatient"}}, Text: text}
		claimID  = c.id()
		answerID = c.id()
		paid     = fen * (70 + c.rnd.IntN(31)) / 100
		benefit  = coded(terms+"adjudication", "benefit", "")
		filed    = at.AddDate(0, 0, 1)
	)
	claim := c.add("Claim", claimID, "", claimResource{
		head: begin("Claim", claimID, label), Status: "active", Type: kind, Use: "claim",
		Patient: c.patient, Billable: span, Created: date(filed), Insurer: c.insurer, Provider: c.hospital,
		Priority:  coded(terms+"processpriority", "normal", ""),
		Insurance: one(insurance{Sequence: 1, Focal: true, Coverage: c.coverage}),
		Item:      one(item{Sequence: 1, Service: service, Encounter: one(visit), Net: yuan(fen)}),
		Total:     yuan(fen),
	})
	settled := filed.AddDate(0, 0, 14)
	if settled.After(c.today) { // not decided yet
		return
	}
	c.add("ExplanationOfBenefit", answerID, "", explanationResource{
		head: begin("ExplanationOfBenefit", answerID, label), Status: "active", Type: kind, Use: "claim",
		Patient: c.patient, Billable: span, Created: date(settled), Insurer: c.insurer, Provider: c.hospital,
		Claim: claim, Outcome: "complete",
		Insurance: one(insurance{Focal: true, Coverage: c.coverage}),
		Item: one(item{Sequence: 1, Service: service, Encounter: one(visit), Net: yuan(fen),
			Adjudication: one(adjudication{benefit, yuan(paid)})}),
		Total: one(total{benefit, yuan(paid)}),
	})
}
