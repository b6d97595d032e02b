package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/height"
	"yitong/gateway/audit/proof"
	"yitong/gateway/audit/replay"
	"yitong/test/consortium"
	"yitong/test/liar"
	"yitong/test/patient"
)

// blocks are all that a member's peer has.
func run(t *testing.T, raw [][]byte, digest [32]byte) *replay.Report {
	t.Helper()
	r, err := replay.Run(t.Context(), each(raw), replay.Options{Genesis: digest, Chaincode: consortium.Chaincode})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func each(raw [][]byte) func(func([]byte, error) bool) {
	return func(yield func([]byte, error) bool) {
		for _, one := range raw {
			if !yield(one, nil) {
				return
			}
		}
	}
}

// share does the main job once: a record, a request before there is a consent, a consent, a
// request that is permitted and opened, a withdrawal and a request after it.
func share(t *testing.T, c *consortium.Consortium, n uint64) {
	t.Helper()
	p := patient.Synthetic(t, n)
	c.Submit(t, p)
	c.Ask(t, p, "laboratory")
	granted := c.Grant(t, p, consortium.ForPayment("laboratory"))
	permit := c.Ask(t, p, "laboratory")
	if _, _, err := c.Open(t.Context(), t, permit.GetId()); err != nil {
		t.Fatal(err)
	}
	_, err := c.Client(t, consortium.HospitalA).Consents.Withdraw(t.Context(), &yitongv1.WithdrawRequest{
		Id: granted.GetConsent().GetId(), Patient: p.ID, Requester: consortium.Insurer, Reason: "patient-request",
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Ask(t, p, "laboratory")
}

func TestTheReplayAgreesWithEveryPeerOfARealConsortium(t *testing.T) {
	c := consortium.Shared(t)
	share(t, c, 1)
	var digest [32]byte
	states := map[uint64]string{}
	for _, member := range []string{consortium.HospitalA, consortium.HospitalB, consortium.Insurer, consortium.Regulator} {
		raw := c.Blocks(t, member)
		if digest == ([32]byte{}) {
			digest = consortium.Genesis(t, raw)
		}
		r := run(t, raw, digest)
		for _, d := range r.Divergences {
			t.Errorf("%s: %s", member, d)
		}
		if r.Recomputed["access:Request"] < 3 || r.Recomputed["access:Release"] < 1 || r.Recomputed["consent:Withdraw"] < 1 {
			t.Errorf("%s: only %v was run again", member, r.Recomputed)
		}
		if other, ok := states[r.Height]; ok && other != r.State {
			t.Errorf("%s: two peers of one height lead to two states", member)
		}
		states[r.Height] = r.State
	}
}

func TestAnAccessOfARealConsortiumIsProved(t *testing.T) {
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 6)
	c.Submit(t, p)
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	permit := c.Ask(t, p, "laboratory")
	if _, _, err := c.Open(t.Context(), t, permit.GetId()); err != nil {
		t.Fatal(err)
	}
	raw := c.Blocks(t, consortium.Regulator)
	file, err := proof.Build(t.Context(), proof.Blocks(raw), consortium.Genesis(t, raw), consortium.Chaincode, permit.GetId())
	if err != nil {
		t.Fatal(err)
	}
	shown, err := proof.Verify(bytes.NewReader(file), consortium.Genesis(t, raw))
	if err != nil {
		t.Fatal(err)
	}
	if !shown.Access.Permitted() || shown.Release == nil || shown.Receipt == nil || len(shown.Consents) != 1 {
		t.Errorf("it shows %+v", shown)
	}
}

// What a peer answers out of its database is what its blocks give.
func TestAPeersAnswersAreThoseOfItsBlocks(t *testing.T) {
	c := consortium.Shared(t)
	share(t, c, 5)
	l := c.Ledger(t, consortium.Regulator, consortium.Chaincode)
	ask := func(ctx context.Context, function string, argument []byte) ([]byte, error) {
		var answer json.RawMessage
		err := l.Evaluate(ctx, function, json.RawMessage(argument), &answer)
		return answer, err
	}
	raw := c.Blocks(t, consortium.Regulator)
	share(t, c, 2) // the peer is beyond these blocks when it is asked
	r, err := replay.Run(t.Context(), each(raw), replay.Options{
		Genesis: consortium.Genesis(t, raw), Chaincode: consortium.Chaincode, Peer: &replay.Peer{
			Member: consortium.RegulatorMSP, Ask: ask, Height: l.Height,
			Blocks: func(ctx context.Context, from, until uint64) iter.Seq2[[]byte, error] {
				return each(c.Blocks(t, consortium.Regulator)[from:until])
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Sound() || r.Height <= uint64(len(raw)) {
		t.Errorf("height %d of %d, %v", r.Height, len(raw), r.Divergences)
	}
}

func TestNoByteOfARealChainCanBeChanged(t *testing.T) {
	c := consortium.Shared(t)
	share(t, c, 2)
	raw := c.Blocks(t, consortium.Regulator)
	digest := consortium.Genesis(t, raw)
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		block := random.IntN(len(raw))
		spoilt := slices.Clone(raw)
		spoilt[block] = bytes.Clone(raw[block])
		offset := random.IntN(len(raw[block]))
		spoilt[block][offset] ^= 1 << random.IntN(8)
		if r := run(t, spoilt, digest); r.Sound() {
			t.Errorf("byte %d of block %d isn't missed", offset, block)
		}
	}
	if r := run(t, raw, digest); !r.Sound() {
		t.Errorf("the untouched chain: %v", r.Divergences)
	}
}

// Every member runs a chaincode that shows each decision a consent that nobody gave. All of
// Fabric's checks are met; only the rules say otherwise.
func TestAConspiracyOfAllMembersIsFoundByTheRules(t *testing.T) {
	c := consortium.Start(t)
	share(t, c, 3)
	p := patient.Synthetic(t, 4)
	c.Submit(t, p)
	everybody := []string{consortium.HospitalA, consortium.HospitalB, consortium.Insurer, consortium.Regulator}
	c.Order(t, consortium.Chaincode, liar.Orders{Permit: true}, everybody...)
	forged := c.Ask(t, p, "laboratory")
	if forged.GetOutcome() != "permit" {
		t.Fatalf("the conspiracy failed: %v", forged)
	}
	c.Order(t, consortium.Chaincode, liar.Orders{}, everybody...)
	c.Ask(t, p, "laboratory")

	raw := c.Blocks(t, consortium.HospitalB)
	r := run(t, raw, consortium.Genesis(t, raw))
	if len(r.Divergences) != 1 || r.Divergences[0].Check != replay.ReadWriteSet || r.Divergences[0].Rule != "access:Request" {
		t.Errorf("found %v, want the one decision that the rules don't give", r.Divergences)
	}
}

// Gateways tell each other how far their peers are; what they sign is held against the chain.
func TestMembersSignHowFarTheirLedgersReach(t *testing.T) {
	c := consortium.Shared(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*height.Patience)
	defer cancel()
	regulator := c.Client(t, consortium.Regulator)
	// Something to hide: a block after the one that says who the members are.
	own := c.Ledger(t, consortium.HospitalA, consortium.Chaincode)
	anchored := contract.AnchorDraft{ID: "0123456789abcdef0123456789abcdef", Root: record.Hash{1}, Parts: 1, Bytes: 1}
	at, err := own.Submit(t.Context(), contract.RecordAnchor, contract.Anchoring{Records: []contract.AnchorDraft{anchored}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	pace := time.NewTicker(time.Second)
	defer pace.Stop()
	var answer *yitongv1.HeightsResponse
	for {
		var err error
		if answer, err = regulator.Heights.List(ctx, &yitongv1.HeightsRequest{}); err != nil {
			t.Fatal(err)
		}
		agree := 0
		for _, one := range answer.GetOthers() {
			if one.GetVerdict() == string(height.Agrees) && one.GetStatement().GetBlocks() > at.Block {
				agree++
			}
		}
		if agree == 3 {
			break
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
			t.Fatalf("the others' heights didn't come: %v", answer)
		}
	}
	var signed []height.Statement
	for _, one := range answer.GetOthers() {
		m := one.GetStatement()
		s := height.Statement{Channel: m.GetChannel(), Member: m.GetMspId(), Blocks: m.GetBlocks(), At: m.GetAt().AsTime(), Key: m.GetKeyId(), Signature: m.GetSignature()}
		copy(s.Hash[:], m.GetHash())
		signed = append(signed, s)
	}
	raw := c.Blocks(t, consortium.Regulator)
	replayed := func(raw [][]byte) *replay.Report {
		r, err := replay.Run(t.Context(), each(raw), replay.Options{Genesis: consortium.Genesis(t, raw), Chaincode: consortium.Chaincode, Heights: signed})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := replayed(raw); !r.Sound() {
		t.Errorf("the whole chain: %v", r.Divergences)
	}
	highest := slices.MaxFunc(signed, func(a, b height.Statement) int { return int(a.Blocks) - int(b.Blocks) })
	r := replayed(raw[:highest.Last()])
	if !slices.ContainsFunc(r.Divergences, func(d replay.Divergence) bool { return d.Check == replay.Hidden }) {
		t.Errorf("a hidden tail gives %v", r.Divergences)
	}
}
