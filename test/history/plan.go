// Package history makes a long history on a real network, the same for the same seed, and
// has everybody tell it: the projection, the replay and the chaincode must say the same.
//
//	plan ─▶ rounds ─play─▶ peers ─┬▶ projection (by the regulator's gateway)
//	                              ├▶ replay of the blocks
//	                              └▶ the chaincode's own reads
//
// YITONG_EVENTS says how long it is; 100000 takes a quarter of an hour on two idle cores.
package history

import (
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
)

// The shares of a hundred events: what is left are consents and anchors. A fifth of the
// requests come to a relationship without a consent that covers them.
const (
	requestShare = 45
	releaseShare = 25
	receiptShare = 20
	consentShare = 5
	batch        = 64 // releases, receipts and anchors in one transaction at most
)

// ends is when the first consents that end do so: nothing that is decided depends on it.
var ends = record.At(time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC))

// bond is a relationship with the consents that stand in it.
type bond struct {
	contract.Relationship
	purpose  consent.Purpose
	consents []standing
}

type standing struct {
	id      string
	version int
}

// plan invents one round after the other. Which permits there are to be released, and which
// releases to be received, it is told by what became of the round before; as the ledger
// decides by rule, that is the same each time too.
type plan struct {
	*rand.Rand
	zipf     *rand.Zipf
	between  []*bond
	records  map[string][]string // by custodian: those that stand
	permits  []access.Access
	released []out
}

// out is something released and not received.
type out struct {
	access.Access
	manifest string
}

// round is what can happen at the same time: nothing in one part of it reads what another
// writes, and its parts come one after the other.
type round struct {
	anchors  []anchors
	consents []order
	requests []request
	releases []releases
	receipts []receipts
}

type anchors struct {
	custodian string
	contract.Anchoring
}

type order struct {
	custodian, function string
	argument            any
}

type request struct {
	requester string
	access.Request
}

type releases struct {
	custodian string
	contract.Releasing
}

type receipts struct {
	requester string
	contract.Receiving
}

func newPlan(seed uint64, events int) *plan {
	p := &plan{Rand: rand.New(rand.NewPCG(seed, 0x7d)), records: map[string][]string{}}
	pairs := []struct {
		custodian, requester string
		purposes             []consent.Purpose
	}{
		{"HospitalA", "Insurer", []consent.Purpose{consent.CLMATTCH, consent.HPAYMT}}, {"HospitalB", "Insurer", []consent.Purpose{consent.CLMATTCH, consent.HPAYMT}},
		{"HospitalA", "HospitalB", []consent.Purpose{consent.TREAT}}, {"HospitalB", "HospitalA", []consent.Purpose{consent.TREAT}},
	}
	for range max(12, events/25) {
		pair := pairs[p.IntN(len(pairs))]
		p.between = append(p.between, &bond{
			Relationship: contract.Relationship{Custodian: pair.custodian, Requester: pair.requester, Handle: "1-" + p.hex(32)},
			purpose:      pair.purposes[p.IntN(len(pair.purposes))],
		})
	}
	// A few patients are asked about far more often than most.
	p.zipf = rand.NewZipf(p.Rand, 1.1, 8, uint64(len(p.between)-1))
	return p
}

func (p *plan) hex(n int) string {
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(p.Uint32())
	}
	return hex.EncodeToString(raw)
}

func (p *plan) somebody() *bond { return p.between[p.zipf.Uint64()] }

// next is a round of about so many events.
func (p *plan) next(events int) (r round) {
	p.anchor(&r, events*(100-requestShare-releaseShare-receiptShare-consentShare)/100)
	p.consent(&r, events*consentShare/100)
	for range events * requestShare / 100 {
		b := p.somebody()
		r.requests = append(r.requests, request{b.Requester, access.Request{
			ID: p.hex(16), Custodian: b.Custodian, Handle: b.Handle, Purpose: b.purpose, Action: consent.Access, Classes: p.classes(),
		}})
	}
	p.release(&r, events*releaseShare/100)
	p.receive(&r, events*receiptShare/100)
	return r
}

var asked = []record.Class{record.Laboratory, record.Imaging, record.Medication, record.Condition, record.Claim, record.Genomics}

func (p *plan) classes() record.Classes {
	return record.ClassesOf(asked[p.IntN(len(asked))], asked[p.IntN(len(asked))])
}

func (p *plan) anchor(r *round, n int) {
	of := map[string][]contract.AnchorDraft{}
	for range n {
		custodian := []string{"HospitalA", "HospitalB"}[p.IntN(2)]
		d := contract.AnchorDraft{ID: p.hex(16), Root: record.Hash([]byte(p.hex(16))), Parts: 1 + p.IntN(12), Bytes: 1 + p.Int64N(1<<20)}
		if old := p.records[custodian]; len(old) > 0 && p.IntN(6) == 0 {
			i := p.IntN(len(old))
			d.Supersedes = old[i]
			p.records[custodian] = slices.Delete(old, i, i+1)
		}
		of[custodian] = append(of[custodian], d)
	}
	for _, custodian := range []string{"HospitalA", "HospitalB"} {
		for some := range slices.Chunk(of[custodian], batch) {
			r.anchors = append(r.anchors, anchors{custodian, contract.Anchoring{Records: some}})
		}
		for _, d := range of[custodian] { // not within the round that anchors it
			p.records[custodian] = append(p.records[custodian], d.ID)
		}
	}
}

// consent grants, amends and withdraws, at most once a relationship in a round.
func (p *plan) consent(r *round, n int) {
	done := map[*bond]bool{}
	for range n {
		b := p.somebody()
		if p.IntN(3) == 0 {
			b = p.between[p.IntN(len(p.between))]
		}
		if done[b] {
			continue
		}
		done[b] = true
		switch draw := p.IntN(10); {
		case len(b.consents) == 0 || draw < 3 && len(b.consents) < 6:
			id := p.hex(16)
			b.consents = append(b.consents, standing{id, 1})
			r.consents = append(r.consents, order{b.Custodian, contract.ConsentGrant, contract.Grant{
				ID: id, Requester: b.Requester, Handle: b.Handle, Period: p.period(), Provision: p.provision(b), Evidence: p.hex(32)}})
		case draw < 8:
			c := &b.consents[p.IntN(len(b.consents))]
			c.version++
			r.consents = append(r.consents, order{b.Custodian, contract.ConsentAmend, contract.Amendment{
				ID: c.id, Version: c.version, Requester: b.Requester, Handle: b.Handle, Period: p.period(), Provision: p.provision(b), Evidence: p.hex(32)}})
		default:
			i := p.IntN(len(b.consents))
			r.consents = append(r.consents, order{b.Custodian, contract.ConsentWithdraw, contract.Withdrawal{
				ID: b.consents[i].id, Requester: b.Requester, Handle: b.Handle, Reason: "patient-request"}})
			b.consents = slices.Delete(b.consents, i, i+1)
		}
	}
}

func (p *plan) period() (out record.Period) {
	if p.IntN(4) == 0 {
		out.End = ends + record.Instant(p.IntN(1<<20))
	}
	return out
}

func (p *plan) provision(b *bond) consent.Provision {
	out := consent.Provision{Type: consent.Permit, Purposes: consent.PurposesOf(b.purpose)}
	if p.IntN(3) == 0 {
		out.Classes = record.ClassesOf(asked[:2+p.IntN(4)]...)
	}
	if p.IntN(5) == 0 {
		out.Provisions = []consent.Provision{{Type: consent.Deny, Classes: record.ClassesOf(record.Genomics)}}
	}
	return out
}

func (p *plan) release(r *round, n int) {
	n = min(n, len(p.permits))
	of := map[string][]contract.ReleaseOrder{}
	for _, a := range p.permits[:n] {
		of[a.Custodian] = append(of[a.Custodian], contract.ReleaseOrder{Permit: a.ID, Requester: a.Requester, Handle: a.Handle, Manifest: p.hex(32)})
	}
	for _, custodian := range []string{"HospitalA", "HospitalB"} {
		for some := range slices.Chunk(of[custodian], batch) {
			r.releases = append(r.releases, releases{custodian, contract.Releasing{Releases: some}})
		}
	}
}

func (p *plan) receive(r *round, n int) {
	n = min(n, len(p.released))
	of := map[string][]contract.ReceiptOrder{}
	for _, o := range p.released[:n] {
		opening := access.Opened
		if p.IntN(25) == 0 {
			opening = access.Failed
		}
		of[o.Requester] = append(of[o.Requester], contract.ReceiptOrder{Permit: o.ID, Custodian: o.Custodian, Manifest: o.manifest, Outcome: opening})
	}
	for _, requester := range []string{"HospitalA", "HospitalB", "Insurer"} {
		for some := range slices.Chunk(of[requester], batch) {
			r.receipts = append(r.receipts, receipts{requester, contract.Receiving{Receipts: some}})
		}
	}
	p.released = p.released[n:]
}

// decided notes what became of the requests.
func (p *plan) decided(all []access.Access) {
	for _, a := range all {
		if a.Permitted() && p.IntN(12) > 0 { // some permits are never used
			p.permits = append(p.permits, a)
		}
	}
}

// wentOut notes what became of the releases of a round: what the ledger refused (the
// consents have changed) isn't tried again.
func (p *plan) wentOut(r round, manifests map[string]string) {
	n := 0
	for _, some := range r.releases {
		n += len(some.Releases)
	}
	for _, a := range p.permits[:n] {
		if m, ok := manifests[a.ID]; ok && p.IntN(8) > 0 { // some are never acknowledged
			p.released = append(p.released, out{a, m})
		}
	}
	p.permits = p.permits[n:]
}
