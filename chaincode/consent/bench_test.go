package consent_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand"
	"runtime"
	"slices"
	"testing"
	"time"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
)

// handle is a patient's pseudonym, as the index of a gateway or of a peer's state would key it.
type handle [32]byte

// index holds the consents of each handle, most of the shape people sign: a base permit with two
// exceptions; some are withdrawn, some over, some deny.
type index map[handle][]consent.Consent

const now record.Instant = 1_800_000_000

func handleOf(i int) handle {
	var h handle
	x := uint64(i)*0x9e3779b97f4a7c15 + 1
	for k := range h {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		h[k] = byte(x)
	}
	return h
}

func benchConsent(rng *rand.Rand, n int) consent.Consent {
	var id [16]byte
	rng.Read(id[:])
	c := consent.Consent{
		ID: hex.EncodeToString(id[:]), Version: 1, Status: consent.Active,
		Period: record.Period{Start: now - 86400*300, End: now + 86400*65},
		Provision: consent.Provision{
			Type:     consent.Permit,
			Actors:   []consent.Actor{{Kind: "insurer"}},
			Purposes: consent.PurposesOf(consent.HPAYMT),
			Classes:  record.ClassesOf(record.Laboratory, record.Claim, record.Encounter, record.Condition),
			Provisions: []consent.Provision{
				{Type: consent.Deny, Labels: record.LabelsOf(record.PSY, record.HIV, record.SDV)},
				{Type: consent.Deny, DataPeriod: record.Period{End: now - 86400*3650}},
			},
		},
	}
	switch n % 10 {
	case 3:
		c.Status = consent.Withdrawn
	case 5:
		c.Period.End = now - 86400
	case 7:
		c.Provision = consent.Provision{
			Type: consent.Deny, Classes: record.ClassesOf(record.Genomics),
			Provisions: []consent.Provision{{Type: consent.Permit, Purposes: consent.PurposesOf(consent.ETREAT)}},
		}
	case 9:
		c.Provision.Purposes, c.Provision.Actors = consent.PurposesOf(consent.TREAT), []consent.Actor{{Member: "HospitalBMSP"}}
	}
	return c
}

func newIndex(n int) (index, int) {
	rng := rand.New(rand.NewSource(1))
	ix := make(index, n/2)
	all := make([]consent.Consent, 0, n)
	provisions := make([]consent.Provision, 0, 2*n)
	actors := make([]consent.Actor, 0, n)
	patients, kind := 0, 0
	for left := n; left > 0; patients++ {
		size := min(left, 1+patients%3)
		set := all[len(all) : len(all)+size : len(all)+size]
		all = all[:len(all)+size]
		left -= len(set)
		for i := range set {
			set[i] = benchConsent(rng, kind)
			kind++
		}
		slices.SortFunc(set, func(a, b consent.Consent) int {
			if a.ID < b.ID {
				return -1
			}
			return 1
		})
		for i := range set { // one slab of each, as an index decoded in one go would have
			p := &set[i].Provision
			provisions = append(provisions, p.Provisions...)
			p.Provisions = provisions[len(provisions)-len(p.Provisions):]
			actors = append(actors, p.Actors...)
			p.Actors = actors[len(actors)-len(p.Actors):]
		}
		ix[handleOf(patients)] = set
	}
	return ix, patients
}

var sink consent.Decision

// BenchmarkDecision measures one decision, lookup of the patient's consents by handle included: one
// to three consents a handle (one relationship of one patient), handles drawn by a Zipf law with
// exponent 0.99, the same every time. Each decision is timed by itself, less what the clock itself
// takes.
func BenchmarkDecision(b *testing.B) {
	for _, n := range []int{1e3, 1e4, 1e5, 1e6} {
		b.Run(fmt.Sprintf("consents=%d", n), func(b *testing.B) {
			ix, handles := newIndex(n)
			draw := zipf(handles, 0.99, 1<<18)
			r := consent.Request{
				Requester: "InsurerMSP", Kind: "insurer", Action: consent.Access, Purpose: consent.CLMATTCH,
				Classes: record.ClassesOf(record.Laboratory, record.Claim),
			}
			clock := clockCost()
			took := make([]time.Duration, 1<<18) // of the last so many
			ran := 0
			runtime.GC() // what building the index left behind
			b.ReportAllocs()
			for b.Loop() {
				h := handleOf(int(draw[ran&(len(draw)-1)]))
				from := time.Now()
				sink = consent.Evaluate(ix[h], r, now)
				took[ran&(len(took)-1)] = time.Since(from)
				ran++
			}
			took = took[:min(ran, len(took))]
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]-clock), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100]-clock), "p99-ns")
			b.ReportMetric(0, "ns/op") // the handle and the clock would be in it
		})
	}
}

// clockCost is the median of what timing nothing takes.
func clockCost() time.Duration {
	took := make([]time.Duration, 10_001)
	for i := range took {
		from := time.Now()
		took[i] = time.Since(from)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// zipf draws handles, the k-th most wanted with weight 1/k^s, in a fixed sequence. (math/rand's Zipf
// wants an exponent above 1.)
func zipf(handles int, s float64, draws int) []int32 {
	cumulated := make([]float64, handles)
	sum := 0.0
	for k := range cumulated {
		sum += math.Pow(float64(k+1), -s)
		cumulated[k] = sum
	}
	rng := rand.New(rand.NewSource(2))
	place := rng.Perm(handles) // the most wanted mustn't lie side by side
	out := make([]int32, draws)
	for i := range out {
		k, _ := slices.BinarySearch(cumulated, rng.Float64()*sum)
		out[i] = int32(place[min(k, handles-1)])
	}
	return out
}
