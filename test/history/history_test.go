package history

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/channel"
	"yitong/gateway/ledger"
	"yitong/test/consortium"
)

// seed of the history; the same seed and length make the same one.
const seed = 5

// size is how many events to make.
func size(t *testing.T) int {
	t.Helper()
	text := os.Getenv("YITONG_EVENTS")
	if text == "" {
		return 500
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 {
		t.Fatalf("YITONG_EVENTS is %q; it must be a number from 100 on", text)
	}
	return n
}

// A history made on a real network is told the same by the projection, by the replay of
// its blocks, and by the chaincode.
func TestEverybodyTellsTheSameHistory(t *testing.T) {
	c := consortium.Start(t)
	wanted := size(t)
	p := &player{plan: newPlan(seed, wanted), ledgers: map[string]*ledger.Ledger{}}
	for msp, member := range map[string]string{"HospitalA": consortium.HospitalA, "HospitalB": consortium.HospitalB, "Insurer": consortium.Insurer, "Regulator": consortium.Regulator} {
		p.ledgers[msp] = c.Ledger(t, member, "yitong")
	}
	regulator := p.ledgers["Regulator"]
	audit := c.Client(t, consortium.Regulator).Audit

	// While the history is made, the projection has to keep up with it.
	began, last := time.Now(), time.Now()
	behind := uint64(0)
	p.told = func(events, transactions int) {
		if wanted > 5000 {
			t.Logf("%s: %d events in %d transactions", time.Since(began).Round(time.Second), events, transactions)
			fmt.Fprintf(os.Stderr, "%s: %d events in %d transactions, round %s\n", time.Since(began).Round(time.Second), events, transactions, time.Since(last).Round(time.Second))
		}
		last = time.Now()
		height, err := regulator.Height(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		status, err := c.Client(t, consortium.Regulator).Node.Status(t.Context(), &yitongv1.StatusRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if at := status.GetAudit().GetHeight(); at < height {
			behind = max(behind, height-at)
		}
	}
	until := began.Add(24 * time.Hour)
	if deadline, ok := t.Deadline(); ok { // what is left is for the comparisons
		until = began.Add(time.Until(deadline) * 3 / 5)
	}
	if err := p.play(t.Context(), wanted, until); err != nil {
		t.Fatal(err)
	}
	made := time.Since(began)
	if n := int(p.events.Load()); n < wanted {
		t.Logf("time was over after %d events of %d: give more with -timeout", n, wanted)
	}
	height, err := regulator.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d events in %d transactions and %d blocks in %s (%.0f events/s, %.0f transactions/s); the projection was at most %d blocks behind",
		p.events.Load(), p.transactions.Load(), height, made.Round(time.Second), float64(p.events.Load())/made.Seconds(), float64(p.transactions.Load())/made.Seconds(), behind)

	direct := read(t, regulator)
	t.Run("the projection and the chaincode", func(t *testing.T) {
		began := time.Now()
		compare(t, direct, audit, regulator)
		t.Logf("compared in %s", time.Since(began).Round(time.Millisecond))
	})
	t.Run("the projection, made anew", func(t *testing.T) {
		began := time.Now()
		stream, err := audit.Rebuild(t.Context(), &yitongv1.RebuildRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for {
			m, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if r := m.GetResult(); r != nil {
				if !r.GetSame() {
					t.Errorf("made anew it differs: %v", r)
				}
				took := time.Since(began)
				t.Logf("made anew in %s: %.0f events/s, %.1f times as fast as the peers committed them", took.Round(time.Millisecond),
					float64(p.events.Load())/took.Seconds(), made.Seconds()/took.Seconds())
				return
			}
		}
	})
	t.Run("the replay, the chaincode and the projection", func(t *testing.T) {
		r := replayed(t, regulator)
		for _, d := range r.Divergences {
			t.Errorf("the replay finds %s", d)
		}
		t.Logf("replayed %d transactions (%d signatures), and compared with the peer's answers, in %s: %.0f transactions/s in all", r.Transactions, r.Signatures, r.Took.Round(time.Millisecond), float64(r.Transactions)/r.Took.Seconds())
		want := map[string]int{"access:Request": len(direct.accesses), "consent:Grant": direct.grants, "consent:Amend": direct.amends, "consent:Withdraw": direct.withdrawals}
		for function, n := range want {
			if r.Recomputed[function] != n {
				t.Errorf("%s: %d were run again, and the chaincode has %d", function, r.Recomputed[function], n)
			}
		}
	})
}

// replayed is the report on all blocks of a member's peer, held against its answers.
func replayed(t *testing.T, l *ledger.Ledger) *replay.Report {
	t.Helper()
	height, err := l.Height(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	blocks := func(ctx context.Context, from, until uint64) iter.Seq2[[]byte, error] {
		return replay.Encoded(func(yield func(*common.Block, error) bool) {
			for b, err := range l.RawBlocks(ctx, from) {
				if !yield(b, err) || err != nil || b.Header.Number+1 >= until {
					return
				}
			}
		})
	}
	var genesis [32]byte
	for raw, err := range blocks(t.Context(), 0, 1) {
		var b common.Block
		if err != nil || proto.Unmarshal(raw, &b) != nil {
			t.Fatal("block 0 can't be read", err)
		}
		genesis = channel.Hash(b.Header)
	}
	r, err := replay.Run(t.Context(), blocks(t.Context(), 0, height), replay.Options{
		Genesis: genesis, Chaincode: "yitong", Until: height,
		Peer: &replay.Peer{Member: "Regulator", Height: l.Height, Blocks: blocks, Ask: func(ctx context.Context, function string, argument []byte) ([]byte, error) {
			var answer json.RawMessage
			err := l.Evaluate(ctx, function, json.RawMessage(argument), &answer, ledger.OwnPeerOnly())
			return answer, err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
