package command

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/height"
)

func (a *app) auditHeights() *cobra.Command {
	cmd := &cobra.Command{
		Use: "heights", Short: "How far each member's ledger reaches, by its own signed word",
		Long: "How far each member's ledger reaches, by its own signed word, and how that compares with the own\n" +
			"peer's: agrees; ahead (the own peer hasn't the block yet); behind (it hasn't had it for more than\n" +
			"a minute); fork (it has another block of that number). With --json each line is a statement as\n" +
			"`yitong audit replay --heights` takes it.\n\n" +
			"The exit code is 1 if there is a fork or the own peer is behind.",
		Args: cobra.NoArgs,
	}
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		answer, err := c.Heights.List(ctx, &yitongv1.HeightsRequest{})
		if err != nil {
			return err
		}
		return a.showHeights(answer)
	})
	return cmd
}

func (a *app) showHeights(answer *yitongv1.HeightsResponse) error {
	var rows [][]string
	add := func(m *yitongv1.HeightStatement, verdict string) error {
		if a.screen.JSON {
			s := height.Statement{
				Channel: m.GetChannel(), Member: m.GetMspId(), Blocks: m.GetBlocks(), At: m.GetAt().AsTime(), Key: m.GetKeyId(), Signature: m.GetSignature(),
			}
			copy(s.Hash[:], m.GetHash())
			return a.screen.Object(struct {
				height.Statement
				Verdict string `json:"verdict"`
			}{s, verdict})
		}
		rows = append(rows, []string{m.GetMspId(), fmt.Sprint(m.GetBlocks()), hex.EncodeToString(m.GetHash()), screen.Time(m.GetAt()), verdict})
		return nil
	}
	if err := add(answer.GetOwn(), "own"); err != nil {
		return err
	}
	var wrong *failure
	for _, one := range answer.GetOthers() {
		if err := add(one.GetStatement(), one.GetVerdict()); err != nil {
			return err
		}
		switch height.Verdict(one.GetVerdict()) {
		case height.Fork:
			wrong = &failure{exit: exitFailure, err: fmt.Errorf("%s has signed another chain", one.GetStatement().GetMspId()),
				next: "both statements are signed: show them to every member, and replay both chains (`yitong audit replay`)"}
		case height.Behind:
			if wrong == nil {
				wrong = &failure{exit: exitFailure, err: fmt.Errorf("%s has blocks that this member's peer hasn't got for over a minute", one.GetStatement().GetMspId()),
					next: "see whether the peer reaches the ordering nodes; act on nothing that depends on the newest blocks"}
			}
		}
	}
	if !a.screen.JSON {
		if err := a.screen.Table([]string{"MEMBER", "BLOCKS", "HASH OF THE LAST", "AT (CLAIMED)", "COMPARED"}, rows); err != nil {
			return err
		}
	}
	if wrong != nil {
		return wrong
	}
	return nil
}
