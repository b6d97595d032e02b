package projection_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"yitong/gateway/audit/projection"
	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/ledger"
)

func open(t testing.TB, url string) *projection.Database {
	t.Helper()
	d, err := projection.Open(context.Background(), url, projectiontest.Chaincode)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func file(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "audit.db") }

func apply(t testing.TB, d *projection.Database, blocks ...ledger.Block) {
	t.Helper()
	if err := d.Apply(context.Background(), blocks...); err != nil {
		t.Fatal(err)
	}
}

func digest(t testing.TB, d *projection.Database) projection.Digest {
	t.Helper()
	out, err := d.Digest(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// straight is the digest of a chain taken at one go.
func straight(t testing.TB, blocks []ledger.Block) projection.Digest {
	t.Helper()
	d := open(t, file(t))
	apply(t, d, blocks...)
	return digest(t, d)
}

func same(t testing.TB, got, want projection.Digest) {
	t.Helper()
	if got.Checkpoint != want.Checkpoint {
		t.Errorf("checkpoint %+v, want %+v", got.Checkpoint, want.Checkpoint)
	}
	for i, table := range want.Tables {
		if got.Tables[i] != table {
			t.Errorf("table %s: %d rows, digest %x; want %d, %x", table.Name, got.Tables[i].Rows, got.Tables[i].Sum[:4], table.Rows, table.Sum[:4])
		}
	}
	if got.Whole != want.Whole {
		t.Error("the digests of the whole differ")
	}
}

func TestTheGeneratorIsDeterministicAndItsHistoriesHoldEverything(t *testing.T) {
	a, b := projectiontest.Blocks(1, 3000), projectiontest.Blocks(1, 3000)
	if len(a) != len(b) || a[len(a)-1].Hash != b[len(b)-1].Hash {
		t.Fatal("the same seed made two histories")
	}
	if c := projectiontest.Blocks(2, 3000); c[len(c)-1].Hash == a[len(a)-1].Hash {
		t.Error("another seed made the same history")
	}
	for _, table := range straight(t, a).Tables {
		if table.Rows == 0 && table.Name != "motions" {
			t.Errorf("the history leaves %s empty", table.Name)
		}
	}
}

func TestHoweverBlocksComeTheProjectionIsTheSame(t *testing.T) {
	blocks := projectiontest.Blocks(3, 2000)
	want := straight(t, blocks)
	for _, n := range []int{1, 7, len(blocks) / 2} {
		t.Run(fmt.Sprintf("%d at a time", n), func(t *testing.T) {
			d := open(t, file(t))
			for chunk := range slices.Chunk(blocks, n) {
				apply(t, d, chunk...)
			}
			same(t, digest(t, d), want)
		})
	}
	t.Run("after every restart", func(t *testing.T) {
		url := file(t)
		for chunk := range slices.Chunk(blocks, len(blocks)/5) {
			d, err := projection.Open(t.Context(), url, projectiontest.Chaincode)
			if err != nil {
				t.Fatal(err)
			}
			apply(t, d, chunk...)
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		same(t, digest(t, open(t, url)), want)
	})
}

func TestWhatDoesNotContinueTheChainIsRefusedWhole(t *testing.T) {
	blocks, others := projectiontest.Blocks(4, 500), projectiontest.Blocks(5, 500)
	unlinked := blocks[10]
	unlinked.Previous = nil
	for name, offered := range map[string][]ledger.Block{
		"a gap":                        {blocks[11]},
		"the same block again":         {blocks[9]},
		"an old block":                 {blocks[0]},
		"another chain":                {others[10]},
		"a block without a link":       {unlinked},
		"a gap behind good ones":       {blocks[10], blocks[11], blocks[13]},
		"good ones before a foreigner": {blocks[10], others[11]},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, file(t))
			apply(t, d, blocks[:10]...)
			before := digest(t, d)
			var broken *ledger.BrokenChain
			if err := d.Apply(t.Context(), offered...); !errors.As(err, &broken) {
				t.Fatalf("error %v, want *BrokenChain", err)
			}
			same(t, digest(t, d), before)
			apply(t, d, blocks[10:]...)
			same(t, digest(t, d), straight(t, blocks))
		})
	}
}

func TestFollowStopsAtAForeignChainAndSaysSo(t *testing.T) {
	blocks, others := projectiontest.Blocks(4, 300), projectiontest.Blocks(5, 400)
	d := open(t, file(t))
	apply(t, d, blocks...)
	var broken *ledger.BrokenChain
	if err := d.Follow(t.Context(), others, slog.New(slog.DiscardHandler)); !errors.As(err, &broken) {
		t.Fatalf("error %v, want *BrokenChain", err)
	}
	if !errors.As(d.Problem(), &broken) {
		t.Errorf("the problem told is %v", d.Problem())
	}
	same(t, digest(t, d), straight(t, blocks))
}

func TestFollowTakesWhatIsThereAndWaits(t *testing.T) {
	blocks := projectiontest.Blocks(6, 1500)
	d := open(t, file(t))
	apply(t, d, blocks[:3]...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Follow(ctx, blocks, slog.New(slog.DiscardHandler)) }()
	for until(t, d) < uint64(len(blocks)) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	same(t, digest(t, d), straight(t, blocks))
}

func until(t testing.TB, d *projection.Database) uint64 {
	c, err := d.Checkpoint(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return c.Blocks
}

func TestRebuildFindsWhatSomebodyChanged(t *testing.T) {
	blocks := projectiontest.Blocks(7, 800)
	d := open(t, file(t))
	apply(t, d, blocks...)
	var done uint64
	rebuilt, err := d.Rebuild(t.Context(), blocks, t.TempDir(), func(n, _ uint64) { done = n })
	if err != nil || !rebuilt.Same() || done != uint64(len(blocks)) {
		t.Fatalf("untouched: %v, same %v, %d blocks", err, rebuilt.Same(), done)
	}
	for _, forgery := range []string{
		"UPDATE entries SET outcome = 'success' WHERE number = (SELECT min(number) FROM entries WHERE outcome = 'denied')",
		"DELETE FROM accesses WHERE id = (SELECT min(id) FROM accesses)",
		"UPDATE transactions SET member = 'Nobody' WHERE number = 40",
		"UPDATE tallies SET n = n + 1 WHERE hour = (SELECT max(hour) FROM tallies)",
	} {
		if err := d.Tamper(forgery); err != nil {
			t.Fatal(err)
		}
		if rebuilt, err = d.Rebuild(t.Context(), blocks, t.TempDir(), func(uint64, uint64) {}); err != nil || rebuilt.Same() {
			t.Errorf("%s: %v, found the same", forgery, err)
		}
		if err := d.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		apply(t, d, blocks...)
		same(t, digest(t, d), rebuilt.Anew)
	}
}

// A process that takes blocks is killed again and again, wherever it happens to be; the
// one after it goes on. What is there in the end is what a straight run leaves.
func TestKilledAtAnyPointNothingIsLostOrDoubled(t *testing.T) {
	if path := os.Getenv("PROJECTION_VICTIM"); path != "" {
		d, err := projection.Open(t.Context(), "sqlite:"+path, projectiontest.Chaincode)
		if err != nil {
			t.Fatal(err)
		}
		for b := range projectiontest.Generate(8, victimEvents()) {
			if b.Number < until(t, d) {
				continue
			}
			if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
				time.Sleep(time.Hour) // it is far enough beyond where it is to be killed
			}
			apply(t, d, b)
			fmt.Println(b.Number)
		}
		return
	}
	path := filepath.Join(t.TempDir(), "audit.db")
	blocks := projectiontest.Blocks(8, victimEvents())
	kills := 0
	for wait := 3; ; wait = wait*5/4 + 1 {
		victim := exec.Command(os.Args[0], "-test.run=^TestKilledAtAnyPoint", "-test.v", "-test.short="+strconv.FormatBool(testing.Short()))
		victim.Env = append(os.Environ(), "PROJECTION_VICTIM="+path)
		out, err := victim.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		// Killed after so many blocks rather than after a time: the test hits the same
		// spots on every machine, give or take what the kill itself takes, and three blocks
		// at most.
		victim.Stdin = bytes.NewReader(make([]byte, wait+3))
		if err := victim.Start(); err != nil {
			t.Fatal(err)
		}
		killed := killAfter(out, wait, victim.Process)
		err = victim.Wait()
		if !killed {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		kills++
	}
	if kills < 4 {
		t.Fatalf("killed only %d times", kills)
	}
	same(t, digest(t, open(t, "sqlite:"+path)), straight(t, blocks))
}

// victimEvents is how long the history is that victims take in turn.
func victimEvents() int {
	if testing.Short() {
		return 500
	}
	return 1500
}

func killAfter(out interface{ Read([]byte) (int, error) }, blocks int, p *os.Process) bool {
	buf := make([]byte, 256)
	seen := 0
	for {
		n, err := out.Read(buf)
		for line := range strings.SplitSeq(string(buf[:n]), "\n") {
			if _, numeric := strconv.Atoi(line); numeric == nil {
				seen++
			}
		}
		if seen >= blocks {
			return p.Kill() == nil
		}
		if err != nil {
			return false
		}
	}
}
