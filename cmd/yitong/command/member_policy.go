package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (a *app) memberPolicy() *cobra.Command {
	var assurance string
	var sites []string
	var noSites bool
	var emergency time.Duration
	cmd := &cobra.Command{
		Use: "policy [MEMBER]", Short: "Show what a member demands of consents, or change the own",
		Long: `Show what a member demands on top of what all agreed on, or, with a flag, change what the member
named by --as demands.

  --assurance      the least that a consent must have to permit anything to this member, or from it:
                   attested (by a hospital), passkey or wallet (signed by the patient)
  --relying-party  a web site on which patients sign with a passkey, as ID=ORIGIN[,ORIGIN…],
                   repeatable; all of them, for they replace those before
  --emergency      the longest that a break-glass permit lasts at this custodian`,
		Example: "  yitong member policy --as hospital-a --assurance passkey \\\n" +
			"      --relying-party hospital-a.example=https://patients.hospital-a.example",
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeOneMember,
	}
	f := cmd.Flags()
	f.StringVar(&assurance, "assurance", "", "attested, passkey or wallet")
	f.StringArrayVar(&sites, "relying-party", nil, "ID=ORIGIN[,ORIGIN…]")
	f.BoolVar(&noSites, "no-relying-parties", false, "no passkeys any more")
	f.DurationVar(&emergency, "emergency", 0, "for example 2h; 0 is the consortium's default")
	a.mustComplete(cmd, "assurance", fixed("attested", "passkey", "wallet"))
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		in := &yitongv1.SetPolicyRequest{}
		if f.Changed("assurance") {
			in.Assurance = &assurance
		}
		if f.Changed("emergency") {
			seconds := int64(emergency / time.Second)
			in.EmergencySeconds = &seconds
		}
		if len(sites) > 0 || noSites {
			list, err := parseSites(sites)
			if err != nil {
				return err
			}
			in.RelyingParties = list
		}
		if in.Assurance == nil && in.EmergencySeconds == nil && in.RelyingParties == nil {
			answer, err := c.Policies.Show(ctx, &yitongv1.ShowPolicyRequest{Member: strings.Join(args, "")})
			if err != nil {
				return err
			}
			if a.screen.JSON {
				return a.screen.Document(answer)
			}
			return a.showPolicy(answer.GetMember(), answer.GetPolicy())
		}
		if len(args) > 0 {
			return usage("a member changes its own policy only: name it with --as, and leave out %q", args[0])
		}
		answer, err := c.Policies.Set(ctx, in)
		if err != nil {
			return err
		}
		if a.screen.JSON {
			return a.screen.Document(answer)
		}
		a.screen.Say("changed%s", committed(answer.GetCommit()))
		return a.showPolicy(a.as, answer.GetPolicy())
	})
	return cmd
}

func parseSites(texts []string) (*yitongv1.RelyingParties, error) {
	out := &yitongv1.RelyingParties{}
	for _, text := range texts {
		id, origins, ok := strings.Cut(text, "=")
		if !ok {
			return nil, usage("--relying-party is ID=ORIGIN[,ORIGIN…], for example hospital.example=https://hospital.example")
		}
		out.Sites = append(out.Sites, &yitongv1.RelyingParty{Id: id, Origins: strings.Split(origins, ",")})
	}
	slices.SortFunc(out.Sites, func(a, b *yitongv1.RelyingParty) int { return strings.Compare(a.GetId(), b.GetId()) })
	return out, nil
}

func (a *app) showPolicy(member string, p *yitongv1.Policy) error {
	rows := [][]string{{"member", member}, {"assurance demanded", p.GetAssurance()}}
	for _, r := range p.GetRelyingParties() {
		rows = append(rows, []string{"relying party", r.GetId() + " at " + strings.Join(r.GetOrigins(), ", ")})
	}
	if s := p.GetEmergencySeconds(); s > 0 {
		rows = append(rows, []string{"break-glass at most", fmt.Sprint(time.Duration(s) * time.Second)})
	}
	return a.screen.Table([]string{"WHAT", "IS"}, rows)
}
