package projectiontest

import (
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/ledger"
)

// Begin is when generated histories begin, and Span how long they last.
var (
	Begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	Span  = 120 * 24 * time.Hour
)

// Members are those of a generated consortium.
var Members = []registry.Member{
	{MSP: "ClinicMSP", Name: "clinic", Kind: registry.Hospital},
	{MSP: "HospitalAMSP", Name: "hospital-a", Kind: registry.Hospital},
	{MSP: "HospitalBMSP", Name: "hospital-b", Kind: registry.Hospital},
	{MSP: "InsurerMSP", Name: "insurer", Kind: registry.Insurer},
	{MSP: "MutualMSP", Name: "mutual", Kind: registry.Insurer},
	{MSP: "RegulatorMSP", Name: "regulator", Kind: registry.Regulator},
}

// Generate invents a history of about so many events, the same for the same seed, block
// by block. Decisions are taken by the ledger's own rules over the consents as they
// stand. Of a hundred events some 45 are requests (a fifth of them denied), 25 releases,
// 20 receipts, the rest consents granted, amended and withdrawn, anchors, closings,
// motions, configurations, and transactions that the peers found invalid. A few patients
// are asked about far more often than most (Zipf, s = 1.1).
func Generate(seed uint64, events int) iter.Seq[ledger.Block] {
	return func(yield func(ledger.Block) bool) {
		g := newGenerator(seed, events)
		var previous []byte
		for number := uint64(0); g.events < events; number++ {
			b := Link(previous, number, g.block(number))
			if !yield(b) {
				return
			}
			previous = b.Hash[:]
		}
	}
}

// Blocks is Generate, gathered.
func Blocks(seed uint64, events int) Chain {
	var c Chain
	for b := range Generate(seed, events) {
		c = append(c, b)
	}
	return c
}

type relationship struct {
	contract.Relationship
	kind     registry.Kind
	consents []consent.Consent
}

type generator struct {
	*rand.Rand
	zipf    *rand.Zipf
	wanted  int
	events  int
	step    time.Duration
	now     time.Time
	minute  int64
	between []*relationship
	permits []access.Access
	out     []access.Access // released, not received
	digests []string        // manifests of out
	records []record.Anchor
	orders  []disclosure.Disclosure // without a conclusion
	members []registry.Member

	open       map[string]access.Emergencies // by requester
	unreviewed []access.Access
}

func newGenerator(seed uint64, events int) *generator {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	n := max(8, events/25)
	return &generator{
		Rand: r, zipf: rand.NewZipf(r, 1.1, 8, uint64(n-1)), wanted: n, step: Span / time.Duration(max(1, events)),
		now: Begin, minute: Begin.Unix() / 60, open: map[string]access.Emergencies{},
	}
}

// Busiest is the relationship that a generated history of so many events asks about
// most, and a share of others from busy to quiet.
func Busiest(seed uint64, events int) []contract.Relationship {
	g := newGenerator(seed, events)
	for range g.Generated(events) {
	}
	var out []contract.Relationship
	for i := 0; i < len(g.between); i = i*5/4 + 1 {
		out = append(out, g.between[i].Relationship)
	}
	return out
}

// Generated runs the generator to its end.
func (g *generator) Generated(events int) iter.Seq[[]ledger.Transaction] {
	return func(yield func([]ledger.Transaction) bool) {
		for number := uint64(0); g.events < events; number++ {
			if !yield(g.block(number)) {
				return
			}
		}
	}
}

func (g *generator) hex(n int) string {
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%016x", g.Uint64())
	}
	return b.String()[:n]
}

func (g *generator) at() record.Instant { return record.At(g.now) }

// block invents the transactions of one block.
func (g *generator) block(number uint64) []ledger.Transaction {
	switch number {
	case 0:
		return []ledger.Transaction{{Config: true, Creator: ledger.Identity{MSP: "OrdererMSP"}, Timestamp: g.now}}
	case 1:
		return []ledger.Transaction{g.sign(ledger.Transaction{Chaincode: "_lifecycle", Function: "CommitChaincodeDefinition", Creator: g.creator("RegulatorMSP")})}
	case 2:
		return []ledger.Transaction{g.found()}
	}
	var txs []ledger.Transaction
	for range 1 + g.IntN(20) {
		t := g.transaction()
		g.now = g.now.Add(g.step * time.Duration(max(1, len(t.Writes)))) // about one event a step
		g.events += max(1, len(t.Writes))
		txs = append(txs, t)
	}
	return txs
}

func (g *generator) creator(msp string) ledger.Identity {
	return ledger.Identity{MSP: msp, Name: "gateway@" + strings.ToLower(strings.TrimSuffix(msp, "MSP"))}
}

func (g *generator) sign(t ledger.Transaction) ledger.Transaction {
	t.ID, t.Timestamp = g.hex(64), g.now
	if t.Chaincode == "" {
		t.Chaincode = Chaincode
	}
	t.Endorsers = []string{"RegulatorMSP", t.Creator.MSP, "HospitalAMSP", "InsurerMSP"}
	return t
}

func (g *generator) call(msp, function string, writes ...ledger.Write) ledger.Transaction {
	return g.sign(ledger.Transaction{Creator: g.creator(msp), Function: function, Argument: []byte("{}"), Writes: writes})
}

// callBy is a call that says who of the member made it, which is all that its argument says here.
func (g *generator) callBy(role access.Role, msp, function string, writes ...ledger.Write) ledger.Transaction {
	by, err := json.Marshal(g.by(role))
	if err != nil {
		panic(fmt.Sprintf("projectiontest: marshal a person: %v", err))
	}
	return g.sign(ledger.Transaction{Creator: g.creator(msp), Function: function, Argument: by, Writes: writes})
}

// Put is a write as the chaincode makes it.
func Put(doc any, kind string, attributes ...string) ledger.Write {
	value, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("projectiontest: marshal %s: %v", kind, err))
	}
	return ledger.Write{
		Namespace: Chaincode, Key: "\x00" + strings.Join(append([]string{kind}, attributes...), "\x00") + "\x00",
		ObjectType: kind, Attributes: attributes, Value: value,
	}
}

// by is a person in a role, twice out of three; else the member's software.
func (g *generator) by(role access.Role) access.Actor {
	if g.IntN(3) == 0 {
		return access.Actor{}
	}
	return access.Actor{User: g.hex(64), Role: role}
}

func (g *generator) found() ledger.Transaction {
	var writes []ledger.Write
	for i, m := range Members {
		m.Status, m.Since, m.Gateway = registry.Active, g.at(), "127.0.0.1:"+strconv.Itoa(7001+i)
		g.members = append(g.members, m)
		keys := registry.Keys{
			HPKE:    registry.Key{ID: g.hex(32), Public: make([]byte, registry.HPKEKeySize)},
			Signing: registry.Key{ID: g.hex(32), Public: make([]byte, registry.SigningKeySize)},
		}
		writes = append(writes, Put(m, "member", m.MSP), Put(keys, "keys", m.MSP))
	}
	writes = append(writes, Put(g.minute-1, "closed-latest"))
	return g.call("RegulatorMSP", contract.RegistryFound, writes...)
}

// transaction invents what happens next.
func (g *generator) transaction() ledger.Transaction {
	if minute := g.now.Unix() / 60; minute > g.minute && g.IntN(50) == 0 {
		g.minute = minute
		return g.call("RegulatorMSP", contract.RegistryClose, Put(minute, "closed-latest"))
	}
	if len(g.between) < min(g.wanted, 6) || len(g.between) < g.wanted && g.IntN(10) == 0 {
		return g.relate()
	}
	if len(g.unreviewed) > 0 && g.at()-g.unreviewed[0].At > access.ReviewTerm/2 && g.IntN(4) == 0 {
		return g.review()
	}
	switch n := g.IntN(100); {
	case n < 3:
		return g.anchor()
	case n < 5:
		return g.amend()
	case n < 6:
		return g.withdraw()
	case n < 26 && len(g.permits) > 4:
		return g.release()
	case n < 45 && len(g.out) > 4:
		return g.receive()
	case n == 98 && len(g.out) > 0 && g.IntN(4) == 0:
		return g.disclose()
	case n == 99 && g.IntN(200) == 0:
		return g.update()
	}
	return g.request()
}

// relate has a patient grant a first consent between two members.
func (g *generator) relate() ledger.Transaction {
	custodian, requester := g.members[g.IntN(3)], g.members[3+g.IntN(2)]
	if g.IntN(4) == 0 {
		requester = g.members[(g.IntN(2)+1+index(g.members, custodian.MSP))%3]
	}
	r := &relationship{Relationship: contract.Relationship{Custodian: custodian.MSP, Requester: requester.MSP, Handle: "1-" + g.hex(64)}, kind: requester.Kind}
	g.between = append(g.between, r)
	c := consent.Consent{ID: g.hex(32), Version: 1, Status: consent.Active, Provision: g.provision(r.kind), Evidence: g.hex(64), At: g.at()}
	if g.IntN(3) > 0 {
		c.Period.End = g.at() + record.Instant(86400*(20+g.IntN(400)))
	}
	r.consents = []consent.Consent{c}
	return g.version(r, c, "", contract.ConsentGrant)
}

func index(members []registry.Member, msp string) int {
	for i, m := range members {
		if m.MSP == msp {
			return i
		}
	}
	return 0
}

func (g *generator) provision(kind registry.Kind) consent.Provision {
	p := consent.Provision{Type: consent.Permit, Purposes: consent.PurposesOf(consent.HPAYMT)}
	if kind == registry.Hospital {
		p.Purposes = consent.PurposesOf(consent.TREAT)
	}
	if g.IntN(2) == 0 {
		p.Classes = g.classes(2) | record.ClassesOf(record.Laboratory)
	}
	if g.IntN(4) == 0 {
		p.Provisions = []consent.Provision{{Type: consent.Deny, Classes: record.ClassesOf(record.Genomics)}}
	}
	return p
}

// classes draws so many, the same more than once perhaps.
func (g *generator) classes(n int) (set record.Classes) {
	all := []record.Class{record.Laboratory, record.Imaging, record.Medication, record.Condition, record.Encounter, record.Genomics}
	for range n {
		set = set.With(all[g.IntN(len(all))])
	}
	return set
}

func (g *generator) version(r *relationship, c consent.Consent, reason, function string) ledger.Transaction {
	doc := contract.ConsentVersion{Consent: c, Reason: reason, Actor: g.by(access.RecordsOfficer)}
	return g.call(r.Custodian, function, Put(doc, "consent", r.Custodian, r.Requester, r.Handle, c.ID, strconv.Itoa(c.Version)))
}

// pick is a relationship, the first ones far more often.
func (g *generator) pick() *relationship {
	return g.between[g.zipf.Uint64()%uint64(len(g.between))]
}

func (g *generator) amend() ledger.Transaction {
	r := g.pick()
	c := &r.consents[0]
	c.Version, c.Status, c.Provision, c.Evidence, c.At = c.Version+1, consent.Active, g.provision(r.kind), g.hex(64), g.at()
	return g.version(r, *c, "", contract.ConsentAmend)
}

func (g *generator) withdraw() ledger.Transaction {
	r := g.pick()
	c := &r.consents[0]
	if c.Status == consent.Withdrawn {
		return g.request()
	}
	c.Version, c.Status, c.At = c.Version+1, consent.Withdrawn, g.at()
	return g.version(r, *c, "patient-request", contract.ConsentWithdraw)
}

func (g *generator) anchor() ledger.Transaction {
	msp := g.members[g.IntN(3)].MSP
	a := record.Anchor{ID: g.hex(32), Custodian: msp, Parts: 1 + g.IntN(9), Bytes: 1000 + g.Int64N(1<<20), Status: record.Anchored, At: g.at()}
	for i := range a.Root {
		a.Root[i] = byte(g.Uint64())
	}
	if n := len(g.records); n > 10 && g.IntN(20) == 0 {
		i := g.IntN(n)
		old := g.records[i]
		g.records[i] = g.records[n-1]
		g.records = g.records[:n-1]
		old.Status, old.Reason, old.At = record.Retracted, record.EnteredInError, g.at()
		return g.call(old.Custodian, contract.RecordRetract, Put(contract.RecordState{Anchor: old, Actor: g.by(access.RecordsOfficer)}, "record", old.Custodian, old.ID))
	}
	g.records = append(g.records, a)
	return g.call(msp, contract.RecordAnchor, Put(contract.RecordState{Anchor: a, Actor: g.by(access.RecordsOfficer)}, "record", msp, a.ID))
}

func (g *generator) request() ledger.Transaction {
	r := g.pick()
	purpose := []consent.Purpose{consent.CLMATTCH, consent.COVAUTH, consent.ELIGVER}[g.IntN(3)]
	if r.kind == registry.Hospital {
		purpose = []consent.Purpose{consent.TREAT, consent.COC, consent.ETREAT}[g.IntN(3)]
	}
	q := access.Request{
		ID: g.hex(32), Custodian: r.Custodian, Handle: r.Handle, Purpose: purpose, Action: consent.Access, Classes: g.classes(2), Claim: g.hex(64),
	}
	if r.kind != registry.Hospital && g.IntN(2) == 0 || purpose == consent.ETREAT {
		q.User, q.Role = g.hex(64), access.ClaimsHandler
		if r.kind == registry.Hospital {
			q.Role = access.Clinician
		}
	}
	requester, custodian := g.members[index(g.members, r.Requester)], g.members[index(g.members, r.Custodian)]
	a, err := access.Decide(q, requester, custodian, r.consents, g.at())
	if err != nil {
		panic(fmt.Sprintf("projectiontest: the rules refuse what is invented: %v", err))
	}
	writes := []ledger.Write{Put(a, "access", r.Custodian, r.Requester, a.ID)}
	if purpose == consent.ETREAT && g.IntN(3) == 0 {
		q.Claim, q.Emergency.Reason = "", access.Causes()[g.IntN(len(access.Causes()))]
		broken, open, err := access.BreakGlass(q, access.Clinician, requester, custodian, g.open[r.Requester], r.consents, g.at())
		if err == nil { // or earlier ones block it, and it stays a request by consent
			g.open[r.Requester], g.unreviewed, a = open, append(g.unreviewed, broken), broken
			writes = []ledger.Write{Put(a, "access", r.Custodian, r.Requester, a.ID), Put(open, "emergencies", r.Requester)}
		}
	}
	t := g.call(r.Requester, contract.AccessRequest, writes...)
	switch {
	case !a.BreakGlass() && g.IntN(100) == 0:
		t.Code = peer.TxValidationCode_MVCC_READ_CONFLICT
	case a.Permitted():
		g.permits = append(g.permits, a)
	}
	return t
}

// review reviews the oldest emergency that isn't, some only once they are overdue, and
// resolves what it rejects in the same breath or never.
func (g *generator) review() ledger.Transaction {
	a := g.unreviewed[0]
	g.unreviewed = g.unreviewed[1:]
	regulator := g.members[len(g.members)-1]
	j := access.Judgement{Custodian: a.Custodian, Requester: a.Requester, ID: a.ID, Outcome: access.Accepted, Reason: "justified", Actor: g.by(access.Auditor)}
	if g.IntN(4) == 0 {
		j.Outcome, j.Reason = access.Rejected, "no-emergency"
	}
	done, open, err := a.Review(j, nil, g.open[a.Requester], regulator, g.at())
	if err != nil {
		panic(fmt.Sprintf("projectiontest: the rules refuse the review: %v", err))
	}
	function := contract.AccessReview
	if j.Outcome == access.Rejected && g.IntN(3) > 0 {
		s := access.Settlement{Custodian: a.Custodian, Requester: a.Requester, ID: a.ID, Reason: "staff-retrained", Actor: g.by(access.Auditor)}
		if done, open, err = done.Resolve(s, open, regulator, g.at()); err != nil {
			panic(fmt.Sprintf("projectiontest: the rules refuse the resolution: %v", err))
		}
		function = contract.AccessResolve
	}
	g.open[a.Requester] = open
	return g.call(regulator.MSP, function, Put(done, "review", a.Custodian, a.Requester, a.ID), Put(open, "emergencies", a.Requester))
}

func (g *generator) release() ledger.Transaction {
	custodian := g.permits[0].Custodian
	var writes []ledger.Write
	var rest []access.Access
	for _, a := range g.permits {
		switch {
		case a.Custodian != custodian || len(writes) == 6:
			rest = append(rest, a)
		case g.IntN(12) > 0: // some permits are never used
			digest := g.hex(64)
			writes = append(writes, Put(access.Release{Permit: a.ID, Manifest: digest, At: g.at()}, "release", a.Custodian, a.Requester, a.ID))
			g.out, g.digests = append(g.out, a), append(g.digests, digest)
		}
	}
	g.permits = rest
	return g.call(custodian, contract.AccessRelease, writes...)
}

func (g *generator) receive() ledger.Transaction {
	requester := g.out[0].Requester
	var writes []ledger.Write
	var rest []access.Access
	var digests []string
	for i, a := range g.out {
		switch {
		case a.Requester != requester || len(writes) == 6:
			rest, digests = append(rest, a), append(digests, g.digests[i])
		case g.IntN(25) > 0: // some releases are never acknowledged
			r := access.Receipt{Permit: a.ID, Manifest: g.digests[i], Outcome: access.Opened, At: g.at()}
			if g.IntN(50) == 0 {
				r.Outcome = access.Failed
			}
			if a.User != "" {
				r.Actor = access.Actor{User: g.hex(64), Role: a.Role}
			}
			writes = append(writes, Put(r, "receipt", a.Custodian, a.Requester, a.ID))
		}
	}
	g.out, g.digests = rest, digests
	return g.call(requester, contract.AccessReceive, writes...)
}

func (g *generator) update() ledger.Transaction {
	m := &g.members[g.IntN(len(g.members))]
	m.Gateway = "127.0.0.1:" + strconv.Itoa(7000+g.IntN(1000))
	return g.callBy(access.Operator, m.MSP, contract.RegistryUpdate, Put(*m, "member", m.MSP))
}
