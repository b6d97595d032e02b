package command_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"yitong/chaincode/contract"
	"yitong/cmd/yitong/command"
	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/replaytest"
)

// told is what an invocation left behind.
type told struct {
	exit     int
	out, err string
}

func yitong(t *testing.T, args ...string) told {
	t.Helper()
	var out, errs bytes.Buffer
	exit := command.Run(context.WithoutCancel(t.Context()), args, command.World{
		In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(string) string { return "" }, Now: time.Now,
	})
	return told{exit, out.String(), errs.String()}
}

// exported writes a chain's blocks into a file.
func exported(t *testing.T, raw [][]byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chain.blocks")
	if err := os.WriteFile(path, exportFrom(t, raw, 0), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// exportFrom is an export of a chain's blocks from a number on.
func exportFrom(t *testing.T, raw [][]byte, from uint64) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, from)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range raw[from:] {
		if err := w.WriteRaw(one); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func digest(c *replaytest.Chain) string {
	d := c.Genesis()
	return hex.EncodeToString(d[:])
}

func TestAuditReplaysAndProvesFromAFileAlone(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 8})
	c.History(80)
	file, genesis := exported(t, c.Encoded()), digest(c)

	got := yitong(t, "audit", "replay", "--in", file, "--genesis", genesis)
	if got.exit != 0 || !strings.Contains(got.err, "nothing diverges") || !strings.Contains(got.out, "access:Request") {
		t.Fatalf("replay: %+v", got)
	}

	checkpoint := filepath.Join(t.TempDir(), "state")
	for range 2 { // made, then gone on from
		got = yitong(t, "audit", "replay", "--in", file, "--genesis", genesis, "--checkpoint", checkpoint, "--json")
		var report replay.Report
		if err := json.Unmarshal([]byte(got.out), &report); got.exit != 0 || err != nil || report.Height != uint64(len(c.Blocks)) {
			t.Fatalf("replay with a checkpoint: %v %+v", err, got)
		}
	}
	got = yitong(t, "audit", "replay", "--in", file, "--genesis", genesis, "--checkpoint", checkpoint)
	if !strings.Contains(got.err, fmt.Sprintf("blocks 0 to %d were done before", len(c.Blocks)-1)) || !strings.Contains(got.err, "; 0 transactions in ") {
		t.Errorf("replay of what was replayed: %+v", got)
	}

	block, index := c.Find(contract.AccessRequest, 0)
	var asked struct{ ID string }
	if err := json.Unmarshal(c.Open(block, index).Args[1], &asked); err != nil {
		t.Fatal(err)
	}
	proof := filepath.Join(t.TempDir(), "proof")
	if got = yitong(t, "audit", "prove", "--permit", asked.ID, "--in", file, "--genesis", genesis, "--out", proof); got.exit != 0 {
		t.Fatalf("prove: %+v", got)
	}
	if got = yitong(t, "audit", "verify", proof, "--genesis", genesis); got.exit != 0 || !strings.Contains(got.out, asked.ID) {
		t.Fatalf("verify: %+v", got)
	}

	// All that a decision says is told: under which rules, until when, and what it keeps back.
	raw, err := os.ReadFile("../../../gateway/audit/proof/testdata/receipt.json")
	if err != nil {
		t.Fatal(err)
	}
	var vector struct{ Genesis string }
	if err := json.Unmarshal(raw, &vector); err != nil {
		t.Fatal(err)
	}
	got = yitong(t, "audit", "verify", "../../../gateway/audit/proof/testdata/receipt.proof", "--genesis", vector.Genesis)
	for _, want := range []string{"permitted         laboratory until 2026-11-22T07:01:17Z\n", "by the rule       permit laboratory\n", "refused           condition (class-not-covered)\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("it lacks %q:\n%s", want, got.out)
		}
	}
	if !strings.Contains(got.err, "no proof shows what came afterwards") {
		t.Errorf("it doesn't say what it can't show: %s", got.err)
	}
}

func TestAuditTellsWhatIsWrong(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 8})
	c.History(20)
	genesis := digest(c)
	whole := exported(t, c.Encoded())
	spoilt := c.Encoded()
	spoilt[3][len(spoilt[3])/2] ^= 1
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte("no blocks, no proof"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := strings.Repeat("0", 64)
	later := filepath.Join(t.TempDir(), "later.blocks")
	if err := os.WriteFile(later, exportFrom(t, c.Encoded(), 3), 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.blocks")
	if err := os.WriteFile(cut, read[:len(read)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args []string
		exit int
		says string
	}{
		"a changed block":           {[]string{"replay", "--in", exported(t, spoilt), "--genesis", genesis}, 1, "block 3"},
		"another consortium":        {[]string{"replay", "--in", whole, "--genesis", none}, 1, "genesis"},
		"no export":                 {[]string{"replay", "--in", garbage, "--genesis", none}, 1, "framing"},
		"no file":                   {[]string{"replay", "--in", garbage + "x", "--genesis", none}, 2, "audit export"},
		"no digest":                 {[]string{"replay", "--in", whole, "--dir", t.TempDir()}, 2, "--genesis"},
		"half a digest":             {[]string{"replay", "--in", whole, "--genesis", none[:32]}, 2, "64 hexadecimal digits"},
		"a checkpoint that is none": {[]string{"replay", "--in", whole, "--genesis", genesis, "--checkpoint", garbage}, 2, "checkpoint"},
		"heights that are none":     {[]string{"replay", "--in", whole, "--genesis", genesis, "--heights", garbage}, 2, "audit heights"},
		"blocks without the first":  {[]string{"replay", "--in", later, "--genesis", genesis}, 1, "--checkpoint"},
		"half a file":               {[]string{"replay", "--in", cut, "--genesis", genesis}, 1, "1 divergence; the first"},
		"half a file, once more":    {[]string{"replay", "--in", cut, "--genesis", genesis}, 1, "export it again"},
		"to prove from half a file": {[]string{"prove", "--permit", none[:32], "--in", cut, "--genesis", genesis}, 1, "export it again"},
		"to prove from no file":     {[]string{"prove", "--permit", none[:32], "--in", cut + "x", "--genesis", genesis}, 2, "audit export"},
		"no proof there":            {[]string{"verify", cut + "x", "--genesis", none}, 2, "audit prove"},
		"no such access":            {[]string{"prove", "--permit", none[:32], "--in", whole, "--genesis", genesis}, 4, "no such access"},
		"no proof":                  {[]string{"verify", garbage, "--genesis", none}, 1, "not a whole proof"},
		"no such member":            {[]string{"export", "--as", "nobody", "--out", garbage, "--dir", t.TempDir()}, 4, "nobody"},
		"no member given":           {[]string{"replay", "--genesis", none, "--dir", t.TempDir()}, 2, "--as"},
	} {
		t.Run(name, func(t *testing.T) {
			got := yitong(t, append([]string{"audit"}, tt.args...)...)
			if got.exit != tt.exit || !strings.Contains(got.out+got.err, tt.says) {
				t.Errorf("exit code %d, want %d with %q:\n%s%s", got.exit, tt.exit, tt.says, got.out, got.err)
			}
		})
	}
}
