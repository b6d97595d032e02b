package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/disclosure"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/seal"
)

// orderable is what of an access can be ordered.
var orderable = []string{string(disclosure.Manifest), string(disclosure.Claim), string(disclosure.User), string(disclosure.Reader), string(disclosure.Note)}

// auditDisclose are the verbs around what stands on the ledger as a digest only.
func (a *app) auditDisclose() []*cobra.Command {
	return []*cobra.Command{a.auditDiscloseOrder(), a.auditOrders(), a.auditAnswer()}
}

func (a *app) auditDiscloseOrder() *cobra.Command {
	var (
		ask     = yitongv1.OrderDisclosureRequest{Subject: &yitongv1.Subject{}}
		of      = ask.Subject
		permit  string
		consent string
		record  string
		out     string
	)
	cmd := &cobra.Command{
		Use: "disclose", Short: "Order a holder to open what the ledger has a digest of, and verify it",
		Long: "Order a holder to open what the ledger has a digest of, as a regulator: the manifest that was\n" +
			"released under a permit, the claim reference of a request, who asked, who opened or the note on an\n" +
			"emergency, the form that a patient signed for a version of a consent or who attested it, or who\n" +
			"made the latest change to a record. The order, the holder's answer and the outcome stay on the ledger. What\n" +
			"comes is shown only if it opens the digest.\n\n" +
			"A refusal ends with exit code 3, what doesn't open the digest with 1. A holder that can't be\n" +
			"reached ends with 5: the order stands, and the same command with its --id goes on; 72 hours\n" +
			"after the order it concludes that the holder refused.",
		Example: "  yitong audit disclose --as regulator --permit ID --what claim --reason case-7\n" +
			"  yitong audit disclose --as regulator --consent ID --version 2 --custodian hospital-a --requester insurer \\\n" +
			"      --reason case-7 --out form.pdf\n" +
			"  yitong audit disclose --as regulator --record ID --custodian hospital-a --reason case-7",
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&permit, "permit", "", "id of the access that it is about")
	f.StringVar(&of.What, "what", string(disclosure.Manifest), "of an access: "+strings.Join(orderable, ", ")+"; of a consent: user, else the form")
	f.StringVar(&consent, "consent", "", "id of the consent that it is about")
	f.StringVar(&record, "record", "", "id of the record that it is about")
	f.Int32Var(&of.Version, "version", 0, "of the consent")
	f.StringVar(&of.Handle, "handle", "", "of the consent's relationship (default: looked up)")
	f.StringVar(&of.Custodian, "custodian", "", "hospital that was asked (of a permit default: looked up)")
	f.StringVar(&of.Requester, "requester", "", "member that asked, or may (of a permit default: looked up)")
	f.StringVar(&ask.Reason, "reason", "", "why: a code, it stays on the ledger (required)")
	f.StringVar(&ask.Id, "id", "", "id of the order, 32 hexadecimal characters (default: a random one)")
	f.StringVar(&out, "out", "", "file for what is disclosed, readable by you alone; a form needs one")
	_ = cmd.MarkFlagRequired("reason")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "requester", a.completeMembers)
	a.mustComplete(cmd, "what", fixed(orderable...))
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		switch {
		case len(given(permit, consent, record)) != 1:
			return usage("say what it is about, with --permit, --consent or --record")
		case record != "":
			if cmd.Flags().Changed("what") && of.What != string(disclosure.User) || of.Custodian == "" || of.Requester != "" || of.Version != 0 {
				return usage("of a record, who made its latest change is ordered: name its --custodian, and leave out --requester and --version")
			}
			of.Id, of.What, of.Requester = record, string(disclosure.User), of.Custodian
		case consent != "":
			byUser := of.What == string(disclosure.User)
			if cmd.Flags().Changed("what") && !byUser || of.Version < 1 {
				return usage("of a consent the signed form is ordered, or with --what user who attested it: say which --version")
			}
			if of.Id = consent; !byUser {
				of.What = string(disclosure.Form)
			}
			if of.Custodian == "" || of.Requester == "" {
				return usage("say between whom the consent is, with --custodian and --requester")
			}
			if out == "" && !byUser && !a.screen.JSON {
				return usage("a signed form needs a file to go to: --out FILE")
			}
		case !slices.Contains(orderable, of.What):
			return usage("--what is %s, not %q", strings.Join(orderable, ", "), of.What)
		default:
			of.Id = permit
		}
		if of.Custodian == "" || of.Requester == "" {
			found, err := a.find(ctx, c, permit)
			if err != nil {
				return err
			}
			of.Custodian, of.Requester = found.GetCustodian(), found.GetRequester()
		}
		file, err := newFile(out)
		if err != nil {
			return err
		}
		ask.Id = screen.Or(ask.Id, client.NewID())
		a.id = ask.Id
		answer, err := c.Audit.OrderDisclosure(ctx, &ask)
		if r, ok := client.Refusal(err); ok && r.Code == disclosure.UnderReview {
			err = &failure{exit: exitDenied, code: string(r.Code), err: errors.New(r.Message), allowed: r.Allowed,
				next: "the order is on the ledger; repeat the command with --id " + a.id + " later"}
		}
		if ferr := file.keep(answer.GetContent()); err == nil {
			err = ferr
		}
		if err != nil {
			return err
		}
		return a.showDisclosure(answer, out)
	})
	return cmd
}

// given are the flags that have a value.
func given(values ...string) []string {
	return slices.DeleteFunc(values, func(v string) bool { return v == "" })
}

// contentFile is where what is disclosed goes. It is there before the order is given, so
// that nothing is ordered that couldn't be kept.
type contentFile struct{ *os.File }

func newFile(path string) (contentFile, error) {
	if path == "" {
		return contentFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return contentFile{}, &failure{exit: exitUsage, err: err, next: "name a file that isn't there yet with --out"}
	}
	return contentFile{f}, nil
}

// keep writes the content; without any, the file goes again.
func (f contentFile) keep(content []byte) error {
	if f.File == nil {
		return nil
	}
	if len(content) == 0 {
		return errors.Join(f.Close(), os.Remove(f.Name()))
	}
	_, err := f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

// showDisclosure shows an order, and what was disclosed, and turns anything but a
// disclosure into its exit code.
func (a *app) showDisclosure(answer *yitongv1.OrderDisclosureResponse, out string) error {
	o := answer.GetOrder()
	var err error
	if a.screen.JSON {
		err = a.screen.Document(answer)
	} else {
		err = a.showOrder(answer, out)
	}
	if err != nil {
		return err
	}
	switch o.GetOutcome() {
	case string(disclosure.Disclosed):
		return nil
	case string(disclosure.Mismatch):
		return &failure{exit: exitFailure, code: "mismatch",
			err:     fmt.Errorf("what %s gave doesn't open the digest on the ledger; nothing of it is shown", o.GetHolder()),
			allowed: "what was digested, with its salt", next: "the mismatch is on the ledger; a new order gives the holder another chance"}
	}
	why := "refuses: " + o.GetAnswerReason()
	if o.GetAnswerReason() == "" {
		why = "gave nothing within the term"
	}
	return &failure{exit: exitDenied, code: "refused", err: fmt.Errorf("%s %s", o.GetHolder(), why),
		allowed: "what the holder gives", next: "the refusal is on the ledger"}
}

func (a *app) showOrder(answer *yitongv1.OrderDisclosureResponse, out string) error {
	o := answer.GetOrder()
	rows := [][]string{
		{"order", o.GetId()},
		{"about", about(o.GetSubject())},
		{"reason", o.GetReason()},
		{"regulator", o.GetRegulator()},
		{"holder", o.GetHolder()},
		{"digest", o.GetDigest()},
		{"ordered", screen.Time(o.GetOrdered())},
		{"answer", screen.Or(o.GetAnswer(), "-") + " " + screen.Time(o.GetAnswered())},
		{"outcome", o.GetOutcome()},
	}
	if c := answer.GetCommit(); c != nil {
		rows = append(rows, []string{"ledger", fmt.Sprintf("block %d, transaction %s", c.GetBlock(), c.GetTransactionId())})
	}
	content := answer.GetContent()
	if len(content) > 0 && out != "" {
		rows = append(rows, []string{"content", fmt.Sprintf("%s in %s", screen.Bytes(int64(len(content))), out)})
	}
	if what := o.GetSubject().GetWhat(); len(content) > 0 && what != string(disclosure.Manifest) && slices.Contains(orderable, what) {
		rows = append(rows, []string{what, string(content)})
	}
	if err := a.screen.Table([]string{"WHAT", "IS"}, rows); err != nil {
		return err
	}
	if len(content) > 0 && o.GetSubject().GetWhat() == string(disclosure.Manifest) {
		return a.showManifest(content)
	}
	return nil
}

// showManifest lists what was released.
func (a *app) showManifest(content []byte) error {
	var m seal.Manifest
	if err := json.Unmarshal(content, &m); err != nil {
		return fmt.Errorf("reading the manifest: %w", err)
	}
	list := newListing(a.screen, []string{"RECORD", "PART", "CLASS", "LABELS", "TIME OF DATA", "SEALED"})
	for _, r := range m.Records {
		for _, s := range r.Parts {
			p := s.Part
			list.rows = append(list.rows, []string{r.Anchor, fmt.Sprint(p.Index), p.Class.String(), screen.List(p.Labels.Codes()),
				p.Period.Start.String() + ".." + p.Period.End.String(), screen.Bytes(p.SealedSize)})
		}
	}
	return list.close()
}

func about(s *yitongv1.Subject) string {
	return disclosure.Subject{What: disclosure.What(s.GetWhat()), ID: s.GetId(), Version: int(s.GetVersion())}.String()
}

func (a *app) auditOrders() *cobra.Command {
	ask := &yitongv1.OrdersRequest{}
	var when periodFlags
	var l listFlags
	var overdue bool
	cmd := &cobra.Command{
		Use: "orders", Short: "List orders to disclose and what came of them, overdue ones too", Args: cobra.NoArgs,
		Long: "List orders to disclose and what came of them: as a holder those to this member, as a regulator\n" +
			"all. An order without a conclusion is overdue 72 hours after it was given.",
	}
	f := cmd.Flags()
	f.StringVar(&ask.Holder, "holder", "", "only those to this member")
	f.BoolVar(&ask.Open, "open", false, "only those without a conclusion")
	f.BoolVar(&overdue, "overdue", false, "only those that are overdue")
	when.add(f, "from", "until", "ordered")
	l.bound(cmd)
	a.mustComplete(cmd, "holder", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if ask.Time, err = when.period(); err != nil {
			return err
		}
		if overdue { // given so long ago, and still open
			end := a.Now().Add(-disclosure.Term * time.Second)
			if ask.Open = true; ask.Time == nil {
				ask.Time = &yitongv1.Period{}
			}
			if until := ask.Time.GetEnd(); until == nil || until.AsTime().After(end) {
				ask.Time.End = timestamppb.New(end)
			}
		}
		return listed(a, l.limit, orderHeader, func(p *yitongv1.Page) (*yitongv1.OrdersResponse, error) {
			ask.Page = p
			return c.Audit.Orders(ctx, ask)
		}, (*yitongv1.OrdersResponse).GetOrders, orderCells)
	})
	return cmd
}

var orderHeader = []string{"ORDER", "ORDERED", "REGULATOR", "HOLDER", "ABOUT", "REASON", "ANSWER", "OUTCOME"}

func orderCells(o *yitongv1.Order) []string {
	outcome := o.GetOutcome()
	switch {
	case o.GetOverdue():
		outcome = "overdue since " + screen.Time(o.GetDue())
	case outcome == "":
		outcome = "open until " + screen.Time(o.GetDue())
	}
	return []string{
		o.GetId(), screen.Time(o.GetOrdered()), o.GetRegulator(), o.GetHolder(), about(o.GetSubject()), o.GetReason(),
		screen.Or(o.GetAnswer(), "-"), outcome,
	}
}

func (a *app) auditAnswer() *cobra.Command {
	var ask yitongv1.AnswerOrderRequest
	var give bool
	cmd := &cobra.Command{
		Use: "answer ORDER", Short: "Answer a regulator's order to disclose, as the holder", Args: cobra.ExactArgs(1),
		Long: "Answer a regulator's order to disclose, as the holder: that it is complied with, or that it is\n" +
			"refused and why. It is for a member whose gateway keeps orders for review, and for an order that\n" +
			"the regulator hasn't fetched yet. The answer stays on the ledger and can't be changed.",
	}
	f := cmd.Flags()
	f.StringVar(&ask.Regulator, "regulator", "", "who ordered (required)")
	f.BoolVar(&give, "give", false, "comply: the regulator gets it when it asks again")
	f.StringVar(&ask.Reason, "refuse", "", "refuse, for this reason: a code")
	_ = cmd.MarkFlagRequired("regulator")
	a.mustComplete(cmd, "regulator", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if give == (ask.Reason != "") {
			return usage("say one of --give and --refuse CODE")
		}
		ask.Id, ask.Answer = args[0], string(disclosure.Refused)
		if give {
			ask.Answer = string(disclosure.Given)
		}
		answer, err := c.Audit.AnswerOrder(ctx, &ask)
		if err != nil {
			return err
		}
		if a.screen.JSON {
			return a.screen.Document(answer)
		}
		_, err = fmt.Fprintf(a.Out, "order %s answered: %s%s\n", args[0], answer.GetOrder().GetAnswer(), committed(answer.GetCommit()))
		return err
	})
	return cmd
}
