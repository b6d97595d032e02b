package command

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (a *app) recordEscrow() *cobra.Command {
	return &cobra.Command{
		Use: "escrow ID", Short: "Show who could open a record if this hospital were gone",
		Long: "Show who could open a record if this hospital were gone. The keys of a record are split among the\n" +
			"other members; it takes as many as the threshold says, a regulator always among them, and an\n" +
			"emergency (`yitong emergency open`) that is on the ledger. A record is complete once every holder\n" +
			"has acknowledged its share; until then the gateway tries again by itself.",
		Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, c *client.Client, args []string) error {
			answer, err := c.Lodgings.Get(ctx, &yitongv1.GetLodgingRequest{RecordId: args[0]})
			if err != nil {
				return err
			}
			if a.screen.JSON {
				return a.screen.Document(answer)
			}
			return a.showLodging(answer)
		}),
	}
}

func (a *app) showLodging(l *yitongv1.GetLodgingResponse) error {
	rows := [][]string{{"record", l.GetRecordId()}, {"escrow", l.GetState()}}
	if l.GetState() == "none" {
		rows[1][1] += ": if this hospital's gateway is lost, so is the record"
		return a.screen.Table([]string{"WHAT", "IS"}, rows)
	}
	rows = append(rows, []string{"it takes", fmt.Sprintf("%d of %d members, a regulator among them", l.GetThreshold(), len(l.GetHolders()))})
	for _, h := range l.GetHolders() {
		is := "no share yet"
		if h.GetKept() {
			is = "keeps its share"
		}
		if h.GetRegulator() {
			is += "; regulator"
		}
		rows = append(rows, []string{h.GetMspId(), is})
	}
	if l.GetProblem() != "" {
		rows = append(rows, []string{"waiting for", l.GetProblem()})
	}
	return a.screen.Table([]string{"WHAT", "IS"}, rows)
}

// sayRecovered tells that parts came out of escrow, and whose share was bad.
func (a *app) sayRecovered(custodian string, r *yitongv1.Recovered) {
	if r == nil {
		return
	}
	a.screen.Say("%s can't be reached: opened from escrow, recovered by %s, with the shares of %s",
		screen.Or(custodian, "the custodian"), r.GetRegulator(), strings.Join(r.GetShares(), ", "))
	for _, bad := range r.GetBad() {
		a.screen.Say("a bad share was refused: %s. Tell that member, and the regulator", bad)
	}
}
