package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/history"
)

func (a *app) auditEmergencies() *cobra.Command {
	ask := &yitongv1.EmergencyHistoryRequest{}
	var l listFlags
	var when periodFlags
	var rates bool
	states := make([]string, len(history.ReviewStates))
	for i, s := range history.ReviewStates {
		states[i] = string(s)
	}
	cmd := &cobra.Command{
		Use: "emergencies", Short: "List who broke the glass, and how the reviews stand", Args: cobra.NoArgs,
		Long: "List who broke the glass, and how the reviews stand. With --rates it tells instead how often each\n" +
			"hospital did, and on which days far more, or far less, than in its own 28 days before: four spreads\n" +
			"off their median or more. Without --from, rates are of the last 28 days.",
		Example: "  yitong audit emergencies --as regulator --state overdue",
	}
	f := cmd.Flags()
	f.StringVar(&ask.Requester, "member", "", "only those of this hospital")
	f.StringVar(&ask.Custodian, "custodian", "", "only those at this hospital")
	f.StringVar(&ask.State, "state", "", "only those "+strings.Join(states, ", "))
	f.BoolVar(&rates, "rates", false, "tell how often instead of listing")
	when.add(f, "from", "until", "those")
	l.bound(cmd)
	a.mustComplete(cmd, "member", a.completeMembers)
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "state", fixed(states...))
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if ask.Time, err = when.period(); err != nil {
			return err
		}
		if rates {
			if ask.State != "" || ask.Custodian != "" {
				return usage("--rates is told by --member and time alone")
			}
			return a.emergencyRates(ctx, c, ask)
		}
		if ask.State != "" && !slices.Contains(states, ask.State) {
			return usage("--state is one of %s, not %q", strings.Join(states, ", "), ask.State)
		}
		return listed(a, l.limit, emergencyHeader, func(p *yitongv1.Page) (*yitongv1.EmergencyHistoryResponse, error) {
			ask.Page = p
			return c.Emergencies.History(ctx, ask)
		}, (*yitongv1.EmergencyHistoryResponse).GetEmergencies, emergencyCells)
	})
	return cmd
}

var emergencyHeader = []string{"ACCESS", "BLOCK", "REQUESTED", "REQUESTER", "CUSTODIAN", "REASON", "RULE", "USER", "REVIEW"}

func emergencyCells(e *yitongv1.EmergencyRecord) []string {
	of := e.GetAccess()
	return []string{
		of.GetId(), fmt.Sprint(e.GetCommit().GetBlock()), screen.Time(of.GetRequested()), screen.Or(e.GetRequesterName(), of.GetRequester()),
		screen.Or(e.GetCustodianName(), of.GetCustodian()), of.GetEmergency(), screen.Rule(of.GetRule()), of.GetRole() + " " + screen.Short(of.GetUser()), reviewCell(e),
	}
}

func reviewCell(e *yitongv1.EmergencyRecord) string {
	switch r := e.GetReview(); {
	case e.GetOverdue():
		return "overdue since " + screen.Time(e.GetDue())
	case r == nil:
		return "due " + screen.Time(e.GetDue())
	case r.GetResolved() != nil:
		return "rejected (" + r.GetReason() + "), resolved (" + r.GetResolution() + ")"
	default:
		return r.GetOutcome() + " (" + r.GetReason() + ")"
	}
}

func (a *app) emergencyRates(ctx context.Context, c *client.Client, ask *yitongv1.EmergencyHistoryRequest) error {
	time := ask.GetTime()
	if time.GetStart() == nil {
		time = &yitongv1.Period{Start: timestamppb.New(a.Now().AddDate(0, 0, -history.Baseline)), End: time.GetEnd()}
	}
	answer, err := c.Emergencies.Rates(ctx, &yitongv1.EmergencyRatesRequest{Time: time, Member: ask.GetRequester()})
	if err != nil {
		return err
	}
	list := newListing(a.screen, []string{"MEMBER", "EMERGENCIES", "OVERDUE", "REJECTED", "UNUSUAL DAYS"})
	for _, r := range answer.GetRates() {
		var days []string
		for _, d := range r.GetDays() {
			day, _, _ := strings.Cut(screen.Time(d.GetDay()), " ")
			days = append(days, fmt.Sprintf("%s: %d, usually %.1f (%+.1f)", day, d.GetRequests(), d.GetUsual(), d.GetScore()))
		}
		if err := list.add(r, r.GetMember(), fmt.Sprint(r.GetEmergencies()), fmt.Sprint(r.GetOverdue()), fmt.Sprint(r.GetRejected()), screen.Or(strings.Join(days, "; "), "-")); err != nil {
			return err
		}
	}
	return a.closeAsOf(list, answer.GetAsOf())
}
