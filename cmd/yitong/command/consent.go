package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func (a *app) consent() *cobra.Command {
	return noun("consent", "Consents of a hospital's patients: grant, amend, withdraw, read",
		a.consentGrant(), a.consentAmend(), a.consentWithdraw(), a.consentList(), a.consentHistory())
}

// relationshipFlags say whose consents these are, and towards whom.
type relationshipFlags struct {
	patient   patientFlags
	requester string
}

func (r *relationshipFlags) add(a *app, cmd *cobra.Command) {
	r.patient.add(cmd.Flags())
	cmd.Flags().StringVar(&r.requester, "requester", "", "member that may ask (required)")
	_ = cmd.MarkFlagRequired("requester")
	a.mustComplete(cmd, "requester", a.completeMembers)
}

// maxForm is the largest signed form that fits into one message, in bytes.
const maxForm = 3 << 20

// termsFlags are what a consent says, and the form that the patient signed.
type termsFlags struct {
	rule  provisionFlags
	valid periodFlags
	form  string
}

func (t *termsFlags) add(a *app, cmd *cobra.Command) {
	t.rule.add(a, cmd)
	t.valid.add(cmd.Flags(), "from", "until", "the consent holds")
	cmd.Flags().StringVar(&t.form, "form", "", "file of the form that the patient signed, kept sealed; the ledger has a salted digest (required)")
	_ = cmd.MarkFlagRequired("form")
}

func (t termsFlags) read(a *app, f *pflag.FlagSet) (*yitongv1.Provision, *yitongv1.Period, []byte, error) {
	rule, err := t.rule.provision(a, f)
	if err != nil {
		return nil, nil, nil, err
	}
	valid, err := t.valid.period()
	if err != nil {
		return nil, nil, nil, err
	}
	form, err := os.ReadFile(t.form)
	if err == nil && len(form) == 0 {
		err = fmt.Errorf("%s is empty", t.form)
	}
	if err == nil && len(form) > maxForm {
		err = fmt.Errorf("%s is larger than %s", t.form, screen.Bytes(maxForm))
	}
	if err != nil {
		return nil, nil, nil, &failure{exit: exitUsage, err: err, next: "name the signed form, a scan or a signed document, with --form FILE"}
	}
	return rule, valid, form, nil
}

func (a *app) consentGrant() *cobra.Command {
	var relation relationshipFlags
	var terms termsFlags
	var id string
	cmd := &cobra.Command{
		Use: "grant", Short: "Put a patient's consent on the ledger",
		Long: "Put a patient's consent on the ledger.\n\n" + provisionHelp,
		Example: "  yitong consent grant --as hospital-a --patient-file bundle.json --requester insurer \\\n" +
			"      --purpose HPAYMT --class laboratory,claim --except-label PSY,ETH --until 2027-12-31 --form signed.pdf",
		Args: cobra.NoArgs,
	}
	relation.add(a, cmd)
	terms.add(a, cmd)
	cmd.Flags().StringVar(&id, "id", "", "id of the consent, 32 hexadecimal characters (default: a random one)")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		rule, valid, form, err := terms.read(a, cmd.Flags())
		if err != nil {
			return err
		}
		who, err := a.needPatient(relation.patient)
		if err != nil {
			return err
		}
		a.id = screen.Or(id, client.NewID())
		answer, err := c.Consents.Grant(ctx, &yitongv1.GrantRequest{
			Id: a.id, Patient: who, Requester: relation.requester, Period: valid, Provision: rule, Form: form,
		})
		if err != nil {
			return err
		}
		return a.showConsent(answer, "granted")
	})
	return cmd
}

func (a *app) consentAmend() *cobra.Command {
	var relation relationshipFlags
	var terms termsFlags
	var version int32
	cmd := &cobra.Command{
		Use: "amend ID", Short: "Replace what a consent says by a new version",
		Long: "Replace what a consent says by a new version. The flags say the whole consent anew.\n\n" + provisionHelp,
		Args: cobra.ExactArgs(1),
	}
	relation.add(a, cmd)
	terms.add(a, cmd)
	cmd.Flags().Int32Var(&version, "version", 0, "version that is replaced; a newer one on the ledger refuses (required)")
	_ = cmd.MarkFlagRequired("version")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		rule, valid, form, err := terms.read(a, cmd.Flags())
		if err != nil {
			return err
		}
		who, err := a.needPatient(relation.patient)
		if err != nil {
			return err
		}
		answer, err := c.Consents.Amend(ctx, &yitongv1.AmendRequest{
			Id: args[0], Patient: who, Requester: relation.requester, Version: version, Period: valid, Provision: rule, Form: form,
		})
		if err != nil {
			return err
		}
		return a.showConsent(answer, "amended")
	})
	return cmd
}

func (a *app) consentWithdraw() *cobra.Command {
	var relation relationshipFlags
	var reason string
	cmd := &cobra.Command{
		Use: "withdraw ID", Short: "End what a consent permits, from the next block on",
		Long: "End what a consent permits, from the next block on: no new permit rests on it, and no key is\n" +
			"released under an older one. What it denies stays denied. What was opened is beyond recall.",
		Args: cobra.ExactArgs(1),
	}
	relation.add(a, cmd)
	cmd.Flags().StringVar(&reason, "reason", "patient-request", "why: patient-request, error or superseded")
	a.mustComplete(cmd, "reason", fixed("patient-request", "error", "superseded"))
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		who, err := a.needPatient(relation.patient)
		if err != nil {
			return err
		}
		answer, err := c.Consents.Withdraw(ctx, &yitongv1.WithdrawRequest{
			Id: args[0], Patient: who, Requester: relation.requester, Reason: reason,
		})
		if err != nil {
			return err
		}
		return a.showConsent(answer, "withdrawn")
	})
	return cmd
}

func (a *app) showConsent(answer *yitongv1.ConsentResponse, done string) error {
	if a.screen.JSON {
		return a.screen.Document(answer)
	}
	consent := answer.GetConsent()
	_, err := fmt.Fprintf(a.Out, "consent %s version %d %s%s\n  %s\n", consent.GetId(), consent.GetVersion(), done,
		committed(answer.GetCommit()), inWords(consent.GetProvision()))
	return err
}

func (a *app) consentList() *cobra.Command {
	var relation relationshipFlags
	cmd := &cobra.Command{Use: "list", Short: "Show a patient's consents towards one member as they stand", Args: cobra.NoArgs}
	relation.add(a, cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		who, err := a.needPatient(relation.patient)
		if err != nil {
			return err
		}
		answer, err := c.Consents.List(ctx, &yitongv1.ListConsentsRequest{Patient: who, Requester: relation.requester})
		if err != nil {
			return err
		}
		return a.showConsents(answer.GetConsents())
	})
	return cmd
}

func (a *app) consentHistory() *cobra.Command {
	var relation relationshipFlags
	cmd := &cobra.Command{Use: "history ID", Short: "Show every version of one consent", Args: cobra.ExactArgs(1)}
	relation.add(a, cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		who, err := a.needPatient(relation.patient)
		if err != nil {
			return err
		}
		answer, err := c.Consents.History(ctx, &yitongv1.ConsentHistoryRequest{Id: args[0], Patient: who, Requester: relation.requester})
		if err != nil {
			return err
		}
		return a.showConsents(answer.GetVersions())
	})
	return cmd
}

func (a *app) showConsents(consents []*yitongv1.Consent) error {
	list := newListing(a.screen, []string{"CONSENT", "VERSION", "STATUS", "RECORDED", "HOLDS", "SAYS"})
	var errs []error
	for _, c := range consents {
		errs = append(errs, list.add(c, c.GetId(), strconv.Itoa(int(c.GetVersion())), c.GetStatus(), screen.Time(c.GetRecorded()),
			screen.Span(c.GetPeriod()), inWords(c.GetProvision())))
	}
	return errors.Join(append(errs, list.close())...)
}

// inWords tells a provision in one line.
func inWords(p *yitongv1.Provision) string {
	var b strings.Builder
	b.WriteString(p.GetType() + " " + screen.Or(strings.Join(p.GetClasses(), ", "), "everything"))
	part := func(word string, codes []string) {
		if len(codes) > 0 {
			b.WriteString(" " + word + " " + strings.Join(codes, ", "))
		}
	}
	b.WriteString(inForms(p.GetRecordTypes()))
	part("labelled", p.GetLabels())
	part("for", p.GetPurposes())
	part("to", p.GetActions())
	var actors []string
	for _, actor := range p.GetActors() {
		actors = append(actors, screen.Or(actor.GetMember(), "any "+actor.GetKind()))
	}
	part("by", actors)
	if p.GetDataPeriod() != nil {
		b.WriteString(" of the time " + screen.Span(p.GetDataPeriod()))
	}
	if p.GetPeriod() != nil {
		b.WriteString(" during " + screen.Span(p.GetPeriod()))
	}
	for i, nested := range p.GetProvisions() {
		if i == 0 {
			b.WriteString("; but ")
		} else {
			b.WriteString(" and ")
		}
		b.WriteString(inWords(nested))
	}
	return b.String()
}
