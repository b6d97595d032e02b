package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/folder"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (a *app) access() *cobra.Command {
	return noun("access", "Access to records that others hold: request, open, show, list",
		a.accessRequest(), a.accessOpen(), a.accessShow(), a.accessList())
}

func (a *app) accessRequest() *cobra.Command {
	var (
		patient patientFlags
		data    periodFlags
		ttl     time.Duration
		ask     yitongv1.AccessRequest
	)
	cmd := &cobra.Command{
		Use: "request", Short: "Ask a hospital for the part of a record that is needed",
		Long: "Ask a hospital for the part of a record that is needed. The ledger decides by the patient's\n" +
			"consents and keeps the decision, permit and deny alike. A deny ends with exit code 3.",
		Example: "  yitong access request --as insurer --custodian hospital-a --patient-file bundle.json \\\n" +
			"      --purpose CLMATTCH --class laboratory,claim",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	patient.add(f)
	f.StringVar(&ask.Custodian, "custodian", "", "hospital that holds the record (required)")
	f.StringVar(&ask.Purpose, "purpose", "", "purpose of use (HL7 v3), for example CLMATTCH (required)")
	f.StringVar(&ask.Action, "action", "access", "action (FHIR consentaction)")
	f.StringSliceVar(&ask.Classes, "class", nil, "data classes needed (required)")
	f.StringSliceVar(&ask.RecordTypes, "type", nil, "only data in these forms (record types), for example fhir,pdf")
	f.StringVar(&ask.Claim, "claim", "", "your reference of the claim; the ledger keeps a salted digest")
	f.DurationVar(&ttl, "ttl", 0, "how long the permit shall hold (default 24h)")
	f.StringVar(&ask.Id, "id", "", "id of the access, 32 hexadecimal characters (default: a random one)")
	data.add(f, "data-from", "data-until", "only data of the time")
	for _, name := range []string{"custodian", "purpose", "class"} {
		_ = cmd.MarkFlagRequired(name)
	}
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "purpose", purposeCodes)
	a.mustComplete(cmd, "action", actionCodes)
	a.mustComplete(cmd, "class", classCodes)
	a.mustComplete(cmd, "type", typeCodes)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		for _, check := range []error{
			known([]string{ask.Purpose}, consent.ParsePurpose), known([]string{ask.Action}, consent.ParseAction), known(ask.Classes, record.ParseClass),
			known(ask.RecordTypes, record.ParseType),
		} {
			if check != nil {
				return check
			}
		}
		if ttl < 0 || ttl%time.Second != 0 {
			return usage("--ttl is a number of whole seconds, for example 90m")
		}
		ask.TtlSeconds = int64(ttl / time.Second)
		if ask.DataPeriod, err = data.period(); err != nil {
			return err
		}
		if ask.Patient, err = a.needPatient(patient); err != nil {
			return err
		}
		ask.Id = screen.Or(ask.Id, client.NewID())
		a.id = ask.Id
		answer, err := c.Accesses.Request(ctx, &ask)
		if err != nil {
			return err
		}
		return a.showDecision(answer)
	})
	return cmd
}

// showDecision shows an access and turns a deny into its exit code.
func (a *app) showDecision(answer *yitongv1.AccessResponse) error {
	if err := a.showAccess(answer); err != nil {
		return err
	}
	got := answer.GetAccess()
	if got.GetOutcome() == "permit" {
		if !a.screen.JSON {
			a.screen.Say("next: yitong access open %s --as %s --out DIRECTORY", got.GetId(), a.as)
		}
		return nil
	}
	return &failure{exit: exitDenied, code: "denied", err: fmt.Errorf("the decision is deny: %s", screen.Rule(got.GetRule())),
		allowed: "what the patient's consents permit for this purpose",
		next:    "the decision is on the ledger; ask again when the patient has consented"}
}

// inForms tells the record types that something is narrowed to.
func inForms(types []string) string {
	if len(types) == 0 {
		return ""
	}
	return " as " + strings.Join(types, " or ")
}

func (a *app) showAccess(answer *yitongv1.AccessResponse) error {
	if a.screen.JSON {
		return a.screen.Document(answer)
	}
	got := answer.GetAccess()
	rows := [][]string{
		{"access", got.GetId()},
		{"requester", got.GetRequester()},
		{"custodian", got.GetCustodian()},
		{"asked for", strings.Join(got.GetClasses(), ", ") + inForms(got.GetRecordTypes()) + ", " + screen.Span(got.GetDataPeriod())},
		{"purpose", got.GetPurpose() + " (" + got.GetAction() + ")"},
		{"requested", screen.Time(got.GetRequested())},
		{"outcome", got.GetOutcome()},
		{"rule", screen.Rule(got.GetRule())},
		{"granted", screen.List(got.GetGranted())},
	}
	for _, r := range got.GetRefused() {
		rows = append(rows, []string{"refused", r.GetDataClass() + ": " + screen.Rule(r.GetRule())})
	}
	if got.GetExpires() != nil {
		rows = append(rows, []string{"expires", screen.Time(got.GetExpires())})
	}
	if r := got.GetRelease(); r != nil {
		rows = append(rows, []string{"released", screen.Time(r.GetReleased()) + ", manifest " + screen.Short(r.GetManifest())})
	}
	if got.GetRole() != "" {
		rows = append(rows, []string{"user", got.GetRole() + ", digest " + screen.Short(got.GetUser())})
	}
	if got.GetEmergency() != "" {
		rows = append(rows, []string{"break-glass", got.GetEmergency() + ", review " + screen.Or(got.GetReview(), "open")})
	}
	if r := got.GetReceipt(); r != nil {
		rows = append(rows, []string{"receipt", r.GetOutcome() + " " + screen.Time(r.GetReceived())})
	}
	if c := answer.GetCommit(); c != nil {
		rows = append(rows, []string{"ledger", fmt.Sprintf("block %d, transaction %s", c.GetBlock(), c.GetTransactionId())})
	}
	return a.screen.Table([]string{"WHAT", "IS"}, rows)
}

func (a *app) accessOpen() *cobra.Command {
	var custodian, out string
	cmd := &cobra.Command{
		Use: "open ID", Short: "Have the permitted parts released, verify and open them",
		Long: "Have the permitted parts released, verify each against the ledger and open them into files,\n" +
			"readable by you alone. Files appear when everything is verified and the receipt is on the\n" +
			"ledger, all or none; a file that is there already is never overwritten.",
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&custodian, "custodian", "", "hospital that was asked (default: looked up)")
	cmd.Flags().StringVar(&out, "out", "", "directory for the opened parts (required)")
	_ = cmd.MarkFlagRequired("out")
	_ = cmd.MarkFlagDirname("out")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, args []string) error {
		if custodian == "" {
			found, err := a.find(ctx, c, args[0])
			if err != nil {
				return err
			}
			custodian = found.GetCustodian()
		}
		dir, err := folder.New(out)
		if err != nil {
			return &failure{exit: exitUsage, err: err, next: "name a directory that can be written with --out"}
		}
		defer dir.Discard()
		return a.openInto(ctx, c, args[0], custodian, dir)
	})
	return cmd
}

func (a *app) showOpened(files []folder.File, summary *yitongv1.OpenSummary) error {
	list := newListing(a.screen, []string{"CLASS", "LABELS", "TIME OF DATA", "SIZE", "FILE"})
	if a.screen.JSON {
		for _, f := range files {
			if err := a.screen.Document(f.Part); err != nil {
				return err
			}
		}
		return a.screen.Document(summary)
	}
	for _, f := range files {
		p := f.Part
		if err := list.add(p, p.GetDataClass(), screen.List(p.GetLabels()), screen.Span(p.GetDataPeriod()), screen.Bytes(f.Size), f.Path); err != nil {
			return err
		}
	}
	if err := list.close(); err != nil {
		return err
	}
	parts := fmt.Sprintf("%d parts", summary.GetParts())
	if summary.GetParts() == 1 {
		parts = "1 part"
	}
	_, err := fmt.Fprintf(a.Out, "%s verified and opened; receipt%s\n", parts, committed(summary.GetReceipt()))
	return err
}

func (a *app) accessShow() *cobra.Command {
	var custodian, requester string
	cmd := &cobra.Command{
		Use: "show ID", Short: "Show one access: request, decision, release and receipt", Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&custodian, "custodian", "", "hospital that was asked (default: looked up)")
	cmd.Flags().StringVar(&requester, "requester", "", "member that asked (default: looked up)")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "requester", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if custodian == "" && requester == "" {
			found, err := a.find(ctx, c, args[0])
			if err != nil {
				return err
			}
			custodian, requester = found.GetCustodian(), found.GetRequester()
		}
		answer, err := c.Accesses.Get(ctx, &yitongv1.GetAccessRequest{Id: args[0], Custodian: custodian, Requester: requester})
		if err != nil {
			return err
		}
		return a.showAccess(answer)
	})
	return cmd
}

func (a *app) accessList() *cobra.Command {
	var custodian, requester string
	var limit int
	cmd := &cobra.Command{Use: "list", Short: "List accesses that this member asked for or was asked for", Args: cobra.NoArgs}
	cmd.Flags().StringVar(&custodian, "custodian", "", "only those that this hospital was asked for")
	cmd.Flags().StringVar(&requester, "requester", "", "only those that this member asked for")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most this many, 0 for all")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "requester", a.completeMembers)
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, _ []string) error {
		list := newListing(a.screen, []string{"ACCESS", "REQUESTED", "REQUESTER", "CUSTODIAN", "PURPOSE", "OUTCOME", "GRANTED", "RELEASED", "RECEIPT"})
		err := a.accesses(ctx, c, custodian, requester, limit, func(e *yitongv1.Access) error {
			released := "-"
			if e.GetRelease() != nil {
				released = screen.Time(e.GetRelease().GetReleased())
			}
			return list.add(e, e.GetId(), screen.Time(e.GetRequested()), e.GetRequester(), e.GetCustodian(), e.GetPurpose(), e.GetOutcome(),
				screen.List(e.GetGranted()), released, screen.Or(e.GetReceipt().GetOutcome(), "-"))
		})
		return list.end(err)
	})
	return cmd
}
