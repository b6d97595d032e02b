package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"yitong/chaincode/consent"
	"yitong/cmd/yitong/consortium"
	"yitong/cmd/yitong/screen"
	"yitong/gateway/audit/proof"
	"yitong/gateway/audit/replay"
)

// auditProof are the verbs about one access, for somebody who trusts no member.
func (a *app) auditProof() []*cobra.Command {
	return []*cobra.Command{a.auditProve(), a.auditVerify(), a.auditPage()}
}

func (a *app) auditProve() *cobra.Command {
	var permit, in, out, genesis string
	cmd := &cobra.Command{
		Use: "prove", Short: "Write what proves one access into a file",
		Long: "Write what proves one access into a file: the request with its decision, its release and receipt,\n" +
			"the consents it rests on, each in its block with the ordering nodes' signatures, and the\n" +
			"configuration from which follows who may sign. `yitong audit verify` checks it on a machine that\n" +
			"reaches nobody. A denied request is proved in the same way. The file holds whole blocks, so also\n" +
			"other transactions of theirs: hand it to those who may see the ledger's pseudonyms.",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&permit, "permit", "", "id of the access: the request's id, which is the permit's (required)")
	f.StringVar(&in, "in", "", "file of yitong audit export, in place of the member's peer")
	f.StringVar(&out, "out", "", "file to write (default: ID.proof)")
	f.StringVar(&genesis, "genesis", "", "digest of the first block (default: of the directory's genesis.block)")
	_ = cmd.MarkFlagRequired("permit")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if out == "" {
			out = permit + ".proof"
		}
		return a.prove(cmd.Context(), permit, in, out, genesis)
	}
	return cmd
}

func (a *app) prove(ctx context.Context, permit, in, out, genesis string) (err error) {
	digest, err := a.genesis(genesis)
	if err != nil {
		return err
	}
	source := proof.Stream(func(context.Context, uint64) iter.Seq2[[]byte, error] { return exported(in) })
	if in == "" {
		chain, height, err := a.reachPeer(ctx)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, chain.Close()) }()
		source = func(ctx context.Context, from uint64) iter.Seq2[[]byte, error] {
			return replay.Encoded(through(chain.RawBlocks(ctx, from), height))
		}
	}
	raw, err := proof.Build(ctx, source, digest, consortium.Chaincode, permit)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return &failure{exit: exitUsage, err: err, next: noExport}
	case errors.Is(err, replay.ErrFraming):
		return &failure{exit: exitFailure, err: err, next: badExport}
	case errors.Is(err, proof.ErrNoAccess):
		return &failure{exit: exitNotFound, err: err, next: "`yitong audit entries --kind request` shows the ids; the chain must reach as far as the access"}
	case err != nil:
		return err
	}
	if err := renameio.WriteFile(out, raw, 0o600); err != nil {
		return err
	}
	if a.screen.JSON {
		return a.screen.Object(map[string]any{"file": out, "bytes": len(raw)})
	}
	a.screen.Say("wrote %s (%s); whoever has it checks it with:\n  yitong audit verify %s --genesis %x", out, screen.Bytes(int64(len(raw))), out, digest)
	return nil
}

// exported yields the blocks of an export, opened anew each time.
func exported(name string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		file, err := os.Open(name)
		if err != nil {
			yield(nil, err)
			return
		}
		defer file.Close()
		for raw, err := range replay.Read(file) {
			if !yield(raw, err) || err != nil {
				return
			}
		}
	}
}

func (a *app) auditVerify() *cobra.Command {
	var genesis string
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Check a proof, with nothing but the digest of the first block",
		Long: "Check a proof that `yitong audit prove` has written, without any network: every block's ordering\n" +
			"nodes, every creator, every endorsement; and take the decision once more from the consents shown.\n" +
			"The exit code is 0 if the proof holds and 1 if it doesn't.",
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&genesis, "genesis", "", "digest of the consortium's first block, 64 hexadecimal digits (default: of the directory's genesis.block)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		digest, err := a.genesis(genesis)
		if err != nil {
			return err
		}
		file, err := os.Open(args[0])
		if err != nil {
			return &failure{exit: exitUsage, err: err, next: "name a file that `yitong audit prove` has written"}
		}
		defer file.Close()
		r, err := proof.Verify(file, digest)
		if err != nil {
			return &failure{exit: exitFailure, err: fmt.Errorf("the proof does not hold: %w", err), next: "believe nothing in it; ask who gave it to you for another, or another member"}
		}
		return a.showProof(r)
	}
	return cmd
}

func (a *app) showProof(r *proof.Result) error {
	if a.screen.JSON {
		return a.screen.Object(r)
	}
	d := r.Access.Decision
	a.screen.Say("the proof holds, on the first block %s of channel %s", r.Genesis, r.Channel)
	told := [][]string{
		{"access", r.Access.ID},
		{"asked by", r.Access.Requester},
		{"of", r.Access.Custodian},
		{"patient's handle", r.Access.Handle},
		{"purpose", fmt.Sprint(r.Access.Purpose)},
		{"classes", strings.Join(r.Access.Classes.Codes(), ", ") + inForms(r.Access.Types.Codes())},
		{"at", r.Access.At.String()},
		{"decision", fmt.Sprintf("%s (%s)", d.Outcome, d.Rule.Reason)},
	}
	if r.Access.Permitted() {
		told = append(told, []string{"permitted", strings.Join(d.Scope.Classes.Codes(), ", ") + " until " + r.Access.Expires.String()})
		for _, rule := range d.Scope.Rules {
			told = append(told, []string{"by the rule", ruled(rule)})
		}
	}
	for _, no := range d.Refused {
		told = append(told, []string{"refused", fmt.Sprintf("%s (%s)", strings.Join(no.Classes.Codes(), ", "), no.Rule.Reason)})
	}
	for _, c := range r.Consents {
		told = append(told, []string{"rests on", fmt.Sprintf("consent %s version %d, %s at %s", c.Consent.ID, c.Consent.Version, c.Consent.Status, c.Consent.At)})
	}
	if r.Release != nil {
		told = append(told, []string{"released", fmt.Sprintf("%s, manifest %s", r.Release.At, r.Release.Manifest)})
	}
	if r.Receipt != nil {
		told = append(told, []string{"received", fmt.Sprintf("%s (%s)", r.Receipt.At, r.Receipt.Outcome)})
	}
	if err := a.screen.Table([]string{"SHOWN", ""}, told); err != nil {
		return err
	}
	var rows [][]string
	unconfirmed := 0
	for _, t := range r.Transactions {
		confirmed := "by a later endorsement"
		if !t.Confirmed {
			confirmed = "no: by the prover's peer alone"
			unconfirmed++
		}
		rows = append(rows, []string{fmt.Sprint(t.Block), t.ID[:min(12, len(t.ID))], t.Creator, t.Function, strings.Join(t.Endorsers, ", "), confirmed})
	}
	if err := a.screen.Table([]string{"BLOCK", "TRANSACTION", "MEMBER", "FUNCTION", "ENDORSED BY", "FOUND VALID"}, rows); err != nil {
		return err
	}
	a.screen.Say("no proof shows what came afterwards: a withdrawal, another access; `yitong audit replay` over the whole chain does")
	if unconfirmed > 0 {
		a.screen.Say("and settles those that no later endorsement confirms here: %d", unconfirmed)
	}
	return nil
}

// ruled tells what is left of a provision in a decision; exceptions to it follow, further in.
func ruled(r consent.Residual) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s %s", strings.Repeat("  ", int(r.Depth)), r.Type, strings.Join(r.Classes.Codes(), ", "))
	b.WriteString(inForms(r.Types.Codes()))
	if labels := r.Labels.Codes(); len(labels) > 0 {
		b.WriteString(" labelled " + strings.Join(labels, ", "))
	}
	if !r.DataPeriod.IsZero() {
		fmt.Fprintf(&b, " of the time %s..%s", r.DataPeriod.Start, r.DataPeriod.End)
	}
	if r.Withdrawn {
		b.WriteString(", which doesn't count any more")
	}
	return b.String()
}
