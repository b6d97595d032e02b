package command

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/consortium"
	"yitong/cmd/yitong/screen"
	"yitong/gateway/audit/height"
	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/channel"
	"yitong/gateway/audit/replay/checkpoint"
	"yitong/gateway/ledger"
	"yitong/gateway/node"
)

// auditChain are the verbs about the chain itself: they read blocks, from the member's own
// peer or a file, and believe nothing but the digest of the first one.
func (a *app) auditChain() []*cobra.Command {
	return append([]*cobra.Command{a.auditGenesis(), a.auditExport(), a.auditReplay(), a.auditHeights()}, a.auditProof()...)
}

func (a *app) auditGenesis() *cobra.Command {
	return &cobra.Command{
		Use: "genesis", Short: "Print the digest of the consortium's first block",
		Long: "Print the digest of the consortium's first block, as the directory has it. It is what a replay\n" +
			"and a proof stand on: compare it with what the other members print.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			digest, err := a.genesis("")
			if err != nil {
				return err
			}
			if a.screen.JSON {
				return a.screen.Object(map[string]string{"genesis": hex.EncodeToString(digest[:])})
			}
			_, err = fmt.Fprintln(a.Out, hex.EncodeToString(digest[:]))
			return err
		},
	}
}

// genesis is the digest given, or that of the first block in the consortium's directory.
func (a *app) genesis(given string) (digest [32]byte, err error) {
	if given != "" {
		raw, err := hex.DecodeString(strings.TrimSpace(given))
		if err != nil || len(raw) != len(digest) {
			return digest, usage("--genesis must be the 64 hexadecimal digits that `yitong audit genesis` prints")
		}
		return [32]byte(raw), nil
	}
	path := filepath.Join(a.dir, "genesis.block")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return digest, &failure{exit: exitUsage, err: errors.New("no digest of the first block to stand on"),
			next: "give it with --genesis; `yitong audit genesis` prints it where the consortium's directory is"}
	}
	if err != nil {
		return digest, err
	}
	var b common.Block
	if err := proto.Unmarshal(raw, &b); err != nil || b.Header == nil {
		return digest, fmt.Errorf("%s is not a block", path)
	}
	return channel.Hash(b.Header), nil
}

// ownPeer is the ledger as the member's own peer has it, reached as the member's gateway.
func (a *app) ownPeer(ctx context.Context) (*ledger.Ledger, error) {
	if a.as == "" {
		return nil, &failure{exit: exitUsage, err: errors.New("no member given"), next: "say whose peer to read with --as MEMBER" + a.known()}
	}
	profile, err := client.ReadProfile(a.dir, a.as)
	if err != nil {
		return nil, &failure{exit: exitNotFound, err: fmt.Errorf("%s has no member %q", a.dir, a.as), next: "name the consortium's directory with --dir" + a.known()}
	}
	config, err := node.ReadConfig(filepath.Join(a.dir, "members", profile.Member, "gateway", "node.yaml"))
	if err != nil {
		return nil, err
	}
	own := config.Peers[0]
	return ledger.Dial(ctx, ledger.Config{
		Channel: config.Channel, Chaincode: config.Chaincode, MSP: config.Member.MSP,
		Cert: config.Identity.Cert, Key: config.Identity.Key, TLSCert: config.TLS.Cert, TLSKey: config.TLS.Key,
		Peers:  []ledger.Peer{{Address: own.Address, TLSCA: own.CA, ServerName: own.ServerName}},
		Logger: slog.New(slog.DiscardHandler),
	})
}

// reachPeer is the member's own peer and how many blocks it has.
func (a *app) reachPeer(ctx context.Context) (chain *ledger.Ledger, height uint64, err error) {
	if chain, err = a.ownPeer(ctx); err != nil {
		return nil, 0, err
	}
	limited, cancel := a.limited(ctx)
	defer cancel()
	if height, err = chain.Height(limited); err != nil {
		return nil, 0, errors.Join(&failure{exit: exitUnavailable, err: fmt.Errorf("the peer of %s doesn't answer: %w", a.as, err), next: "start it (`yitong up`) and repeat the command"}, chain.Close())
	}
	return chain, height, nil
}

// through ends a stream of blocks, which would wait for new ones, before the height.
func through(blocks iter.Seq2[*common.Block, error], height uint64) iter.Seq2[*common.Block, error] {
	return func(yield func(*common.Block, error) bool) {
		for b, err := range blocks {
			if !yield(b, err) || err != nil || b.Header.Number+1 >= height {
				return
			}
		}
	}
}

func (a *app) auditExport() *cobra.Command {
	var out string
	var from uint64
	cmd := &cobra.Command{
		Use: "export", Short: "Write the blocks of the member's own peer into a file",
		Long: "Write the blocks of the member's own peer into a file, for `yitong audit replay --in` on a machine\n" +
			"that reaches nobody. The file appears when it is whole. Its format is in docs/formats/blocks.md.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write (required)")
	cmd.Flags().Uint64Var(&from, "from-block", 0, "first block wanted")
	_ = cmd.MarkFlagRequired("out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.export(cmd.Context(), out, from) }
	return cmd
}

func (a *app) export(ctx context.Context, out string, from uint64) (err error) {
	chain, height, err := a.reachPeer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, chain.Close()) }()
	if from >= height {
		return usage("--from-block %d: the peer of %s has blocks 0 to %d", from, a.as, int64(height)-1)
	}
	file, err := renameio.NewPendingFile(out, renameio.WithPermissions(0o600))
	if err != nil {
		return err
	}
	defer file.Cleanup()
	bar := a.screen.Counting("writing", "blocks")
	defer bar.Close()
	w, err := replay.NewWriter(file, from)
	if err != nil {
		return err
	}
	for b, err := range through(chain.RawBlocks(ctx, from), height) {
		if err != nil {
			return err
		}
		if err := w.Write(b); err != nil {
			return err
		}
		bar.Of(int64(b.Header.Number+1-from), int64(height-from))
	}
	bar.Close()
	if err := w.Close(); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	if a.screen.JSON {
		return a.screen.Object(map[string]any{"file": out, "from": from, "height": height})
	}
	a.screen.Say("wrote blocks %d to %d to %s", from, height-1, out)
	return nil
}

// replaying are the flags of a replay.
type replaying struct {
	in, genesis, checkpoint, heights string
	until                            uint64
	workers                          int
	state                            bool
}

func (a *app) auditReplay() *cobra.Command {
	var r replaying
	cmd := &cobra.Command{
		Use: "replay", Short: "Work everything out again from the blocks, and name what differs",
		Long: `Work everything out again from the blocks: the chain of hashes, the ordering nodes' signatures
under the configuration in force, every creator's and endorser's certificate and signature,
every endorsement policy, every verdict of the peers; and run the rules themselves again on
each transaction: each decision, permit, release and withdrawal must come out byte for byte.

Blocks come from the member's own peer (--as) or from a file of ` + "`yitong audit export`" + ` (--in). The
one thing believed is the digest of the first block: --genesis, or what the consortium's
directory has. Every divergence is named with block, transaction and check; docs/replay.md
says what each check is there for. With --checkpoint the replay can be interrupted and goes
on where it was, and later from there to the blocks that came since.

The exit code is 0 if nothing diverged and 1 if something did.`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&r.in, "in", "", "file of yitong audit export, in place of a peer")
	f.StringVar(&r.genesis, "genesis", "", "digest of the first block, 64 hexadecimal digits (default: of the directory's genesis.block)")
	f.StringVar(&r.checkpoint, "checkpoint", "", "file to go on from and to keep the state in")
	f.StringVar(&r.heights, "heights", "", "file of members' signed heights (yitong audit heights --json), to hold against the chain")
	f.Uint64Var(&r.until, "until", 0, "end before this block")
	f.BoolVar(&r.state, "compare-state", false, "also ask the peer all that the member may ask, and compare with what the blocks give")
	f.IntVar(&r.workers, "workers", 0, "how many work at once (default: one per processor)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return a.replay(cmd.Context(), r) }
	return cmd
}

func (a *app) replay(ctx context.Context, r replaying) (err error) {
	if r.state && (r.in != "" || r.until > 0) {
		return usage("--compare-state asks the peer for its newest state: leave out --in and --until")
	}
	digest, err := a.genesis(r.genesis)
	if err != nil {
		return err
	}
	o := replay.Options{
		Genesis: digest, Chaincode: consortium.Chaincode, Until: r.until, Workers: r.workers,
	}
	if r.checkpoint != "" {
		kept, err := checkpoint.Open(r.checkpoint)
		if err != nil {
			return unusable(err)
		}
		defer func() { err = errors.Join(err, kept.Close()) }()
		o.Checkpoint = kept
	}
	if r.heights != "" {
		raw, err := os.ReadFile(r.heights)
		if err == nil {
			o.Heights, err = height.ParseAll(raw)
		}
		if err != nil {
			return &failure{exit: exitUsage, err: err, next: "write it with `yitong audit heights --json`"}
		}
	}
	var blocks iter.Seq2[[]byte, error]
	var wanted uint64 // how many blocks there are, for the bar
	if r.in != "" {
		file, err := os.Open(r.in)
		if err != nil {
			return &failure{exit: exitUsage, err: err, next: noExport}
		}
		defer file.Close()
		blocks, wanted = replay.Read(file), replay.Said(file)
	} else {
		chain, height, err := a.reachPeer(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, chain.Close()) }()
		if wanted = height; o.Until == 0 {
			o.Until = height
		}
		if r.state {
			if o.Peer, err = a.askPeer(ctx); err != nil {
				return err
			}
		}
		blocks = replay.Encoded(through(chain.RawBlocks(ctx, 0), height))
	}
	if o.Until > 0 {
		wanted = min(wanted, o.Until)
	}
	bar := a.screen.Counting("replaying", "blocks")
	o.Progress = func(p replay.Progress) { bar.Of(int64(p.Block+1), int64(wanted)) }
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // what is read is thrown away again at once: fewer collections
	report, err := replay.Run(ctx, blocks, o)
	bar.Close()
	if errors.Is(err, replay.ErrCheckpoint) {
		return unusable(err)
	}
	if errors.Is(err, replay.ErrRestless) {
		err = &failure{exit: exitUnavailable, err: err, next: "repeat the command in a quieter moment, with --checkpoint so that it goes on from here"}
	}
	if report == nil {
		return err
	}
	return errors.Join(a.showReport(report, err == nil), err)
}

// unusable is a checkpoint that can't be gone on from.
func unusable(err error) error {
	return &failure{exit: exitUsage, err: err, next: "remove the file to begin at the beginning, or name another with --checkpoint"}
}

// askPeer is the member's peer, to be held against what its blocks give.
func (a *app) askPeer(ctx context.Context) (*replay.Peer, error) {
	chain, err := a.ownPeer(ctx)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { chain.Close() })
	profile, err := client.ReadProfile(a.dir, a.as)
	if err != nil {
		return nil, err
	}
	return &replay.Peer{
		Member: profile.MSP, Height: chain.Height,
		Ask: func(ctx context.Context, function string, argument []byte) ([]byte, error) {
			var answer json.RawMessage
			err := chain.Evaluate(ctx, function, json.RawMessage(argument), &answer, ledger.OwnPeerOnly())
			return answer, err
		},
		Blocks: func(ctx context.Context, from, until uint64) iter.Seq2[[]byte, error] {
			return replay.Encoded(through(chain.RawBlocks(ctx, from), until))
		},
	}, nil
}

func (a *app) showReport(r *replay.Report, whole bool) error {
	if a.screen.JSON {
		if err := a.screen.Object(r); err != nil {
			return err
		}
	} else {
		if r.From > 0 {
			a.screen.Say("blocks 0 to %d were done before, by the checkpoint", r.From-1)
		}
		rate := float64(r.Done) / max(r.Took.Seconds(), 1e-9)
		a.screen.Say("channel %s, %d blocks, %d transactions (%d valid), %d signatures; %d transactions in %s (%.0f/s)",
			screen.Or(r.Channel, "unknown"), r.Height, r.Transactions, r.Valid, r.Signatures, r.Done, r.Took.Round(time.Millisecond), rate)
		var rows [][]string
		for _, function := range slices.Sorted(maps.Keys(r.Recomputed)) {
			rows = append(rows, []string{function, fmt.Sprint(r.Recomputed[function])})
		}
		if len(rows) > 0 {
			if err := a.screen.Table([]string{"RUN AGAIN, AND EQUAL", "TRANSACTIONS"}, rows); err != nil {
				return err
			}
		}
		for _, chaincode := range slices.Sorted(maps.Keys(r.Unruled)) {
			a.screen.Say("%d of chaincode %s are endorsed and valid; there are no rules here to run on them", r.Unruled[chaincode], chaincode)
		}
		for _, d := range r.Definitions {
			judged := "this program's"
			if !d.Known {
				judged = fmt.Sprintf("not this program's: %d transactions were not run again", d.Unjudged)
			}
			a.screen.Say("from block %d by rules %s (sequence %d), %s", d.Block, d.Version, d.Sequence, judged)
		}
		for _, d := range r.Divergences {
			if _, err := fmt.Fprintln(a.Out, screen.Clean(fmt.Sprint(d))); err != nil {
				return err
			}
		}
		if r.Compared > 0 {
			a.screen.Say("the peer gives %s as the blocks do", counted(r.Compared, "answer"))
		}
		a.screen.Say("head %s\nstate %s", r.Head, r.State)
	}
	switch {
	case !r.Sound():
		many := counted(len(r.Divergences), "divergence")
		if r.Truncated {
			many = "more than " + many
		}
		return &failure{exit: exitFailure, err: fmt.Errorf("%s; the first: %s", many, r.Divergences[0]), next: afterwards(r)}
	case whole:
		a.screen.Say("nothing diverges")
	}
	return nil
}

// What to do about a file of blocks that can't be read.
const (
	noExport  = "name a file that `yitong audit export --out` has written"
	badExport = "the file is damaged or cut: export it again with `yitong audit export`, or ask another member for one"
)

// afterwards is what to do about a chain that diverges. What is wrong with the file alone, or
// with what was asked for, needs no other member to see.
func afterwards(r *replay.Report) string {
	switch first := r.Divergences[0]; {
	case first.Check == replay.Framing:
		return badExport
	case first.Check == replay.Genesis:
		return "compare --genesis with what `yitong audit genesis` prints at other members: it is another consortium's, or the blocks are"
	case first.Check == replay.Number && r.Height == 0:
		return "these blocks don't begin at block 0: give the --checkpoint of a replay that came as far as they begin, or a whole export"
	}
	return "docs/replay.md says what each check means; ask another member for its blocks and compare"
}

// counted is a number of things, in the singular where there is one.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
