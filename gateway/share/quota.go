package share

import (
	"fmt"
	"time"

	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Quota bounds the evaluations for one member: PerDay on average, and up to Burst at once
// after a time of quiet. With it a member that goes through a list of people is slow, and
// what it does stands on the ledger. The zero Quota is DefaultQuota.
type Quota struct {
	// PerDay is how many patients' handles are evaluated for one member a day, on average.
	PerDay int `yaml:"per_day"`
	// Burst is how many may be evaluated for it at once after a time of quiet.
	Burst int `yaml:"burst"`
}

// DefaultQuota is for a hospital with some thousand new relationships a day.
var DefaultQuota = Quota{PerDay: 10_000, Burst: 10_000}

// allowance is what a member has left, in units of which an evaluation costs a day's
// seconds; PerDay of them come back a second.
type allowance struct {
	Left int64          `json:"left"`
	At   record.Instant `json:"at"`
}

const evaluationCost = 24 * 60 * 60

// take takes n evaluations off, or says how many seconds are to pass until it can. Nobody
// has waited for more than Burst can hold: that takes 1 s, for ever.
func (q Quota) take(a allowance, n int, now record.Instant) (left allowance, wait int64) {
	full := int64(q.Burst) * evaluationCost
	if a.At == 0 {
		a.Left = full
	} else if passed := int64(now - a.At); passed > 0 {
		a.Left = min(full, a.Left+passed*int64(q.PerDay))
	}
	cost := int64(n) * evaluationCost
	if missing := cost - a.Left; missing > 0 {
		return a, (missing + int64(q.PerDay) - 1) / int64(q.PerDay)
	}
	return allowance{a.Left - cost, now}, 0
}

// Exceeded refuses evaluations over a member's quota (quota-exceeded).
type Exceeded struct {
	*refusal.Refusal
	Retry time.Duration // until which the same can be asked again
}

// Unwrap makes it a refusal for whoever looks no closer.
func (e *Exceeded) Unwrap() error { return e.Refusal }

func exceeded(q Quota, wait int64) error {
	after := time.Duration(wait) * time.Second
	return &Exceeded{refusal.New(epoch.QuotaExceeded,
		fmt.Sprintf("these evaluations are over the quota of %d a day and %d at once", q.PerDay, q.Burst),
		fmt.Sprintf("the same again in %s; a larger quota is the evaluator's to give", after)), after}
}
