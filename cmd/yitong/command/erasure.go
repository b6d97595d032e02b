package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/retention"
)

// recordEnds are the verbs around the end of records.
func (a *app) recordEnds() []*cobra.Command {
	return []*cobra.Command{
		a.recordErase(), a.recordErasures(), a.recordHold(), a.recordUnhold(), a.recordRetention(), a.recordNotices(), a.recordAcknowledge(),
	}
}

var (
	erasureReasons = []string{string(record.PatientRequest), string(record.RetentionOver), string(record.EnteredInError), string(record.WrongPatient), string(record.LegalOrder)}
	grounds        = []string{string(record.LegalObligation), string(record.PublicHealth), string(record.Archiving), string(record.LegalClaims)}
)

func (a *app) recordErase() *cobra.Command {
	var ask yitongv1.EraseRequest
	var yes bool
	cmd := &cobra.Command{
		Use: "erase ID", Short: "Erase a record for good: keys, sealed parts, and notice to who had it",
		Long: "Erase a record, or some of its parts, for good. The keys are destroyed in the key store and in\n" +
			"escrow, the sealed parts are deleted, and the tombstone goes on the ledger; backups of vault and\n" +
			"ledger open nothing of it any more. A backup of the key store made before does, for as long as\n" +
			"you keep it. What a requester has opened is beyond recall: its member is told to delete it, and\n" +
			"to say on the ledger that it did, or on which legal ground it retains it (record erasures).\n\n" +
			"A record under a regulator's legal hold is refused, whatever the reason.",
		Example: "  yitong record erase ID --reason patient-request --as hospital-a\n" +
			"  yitong record erase ID --reason legal-order --part 3 --part 4 --yes --as hospital-a",
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&ask.Reason, "reason", "", "why: "+strings.Join(erasureReasons, ", ")+" (required)")
	f.Int32SliceVar(&ask.Parts, "part", nil, "erase this part only, by its number in yitong record show; may be repeated")
	f.BoolVar(&yes, "yes", false, "don't ask")
	_ = cmd.MarkFlagRequired("reason")
	a.mustComplete(cmd, "reason", fixed(erasureReasons...))
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if !slices.Contains(erasureReasons, ask.Reason) {
			return usage("--reason %q is none: use one of %s", ask.Reason, strings.Join(erasureReasons, ", "))
		}
		ask.Id = args[0]
		what := "record " + ask.Id
		if len(ask.Parts) > 0 {
			what = fmt.Sprintf("%d of the parts of %s", len(ask.Parts), what)
		}
		a.screen.Say("erasing %s can't be undone: its keys are destroyed.\nwhat another member has opened of it is beyond recall: that member is asked to delete it, and answers on the ledger.", what)
		if !yes {
			if err := a.consentTo("erase"); err != nil {
				return err
			}
		}
		answer, err := c.Erasures.Erase(ctx, &ask)
		if err != nil {
			return err
		}
		if a.screen.JSON {
			return a.screen.Document(answer)
		}
		left := ""
		switch e := answer.GetErasure(); {
		case len(e.GetParts()) == 1:
			left = " (1 part of it so far)"
		case !e.GetWhole():
			left = fmt.Sprintf(" (%d parts of it so far)", len(e.GetParts()))
		}
		if _, err := fmt.Fprintf(a.Out, "record %s erased%s%s\n", ask.Id, left, committed(answer.GetCommit())); err != nil {
			return err
		}
		return a.showInformed(answer.GetRequesters())
	})
	return cmd
}

// consentTo asks for a word before something that can't be undone.
func (a *app) consentTo(word string) error {
	a.screen.Say("type %s to go on:", word)
	line, err := bufio.NewReader(a.In).ReadString('\n')
	if strings.TrimSpace(line) == word {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return usage("nothing was done: that was not %q; in a script, say --yes", word)
}

func (a *app) showInformed(requesters []*yitongv1.InformedRequester) error {
	for _, r := range requesters {
		how := "told; it has not acknowledged yet"
		if !r.GetTold() {
			how = "not told yet, and told again at " + screen.Time(r.GetNext()) + ": " + r.GetProblem()
		}
		if _, err := fmt.Fprintf(a.Out, "  %s had opened it, or could have: %s\n", r.GetRequester(), how); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) recordErasures() *cobra.Command {
	cmd := &cobra.Command{
		Use: "erasures", Short: "List this hospital's erasures that aren't acknowledged by all, or not carried out",
		Args: cobra.NoArgs,
	}
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		answer, err := c.Erasures.Pending(ctx, &yitongv1.PendingErasuresRequest{})
		if err != nil {
			return err
		}
		list := newListing(a.screen, []string{"RECORD", "HERE", "REQUESTER", "TOLD", "NEXT TRY", "PROBLEM"})
		for _, e := range answer.GetErasures() {
			here := screen.Or(e.GetStep(), "done")
			if e.GetStep() == "" && e.GetEscrow() {
				here = "escrow is to be told"
			}
			if a.screen.JSON || len(e.GetRequesters()) == 0 {
				if err := list.add(e, e.GetRecordId(), here, "-", "-", "-", "-"); err != nil {
					return err
				}
				continue
			}
			for _, r := range e.GetRequesters() {
				told := "no"
				if r.GetTold() {
					told = "yes; not acknowledged"
				}
				if err := list.add(e, e.GetRecordId(), here, r.GetRequester(), told, screen.Time(r.GetNext()), screen.Or(r.GetProblem(), "-")); err != nil {
					return err
				}
			}
		}
		return list.close()
	})
	return cmd
}

func (a *app) recordHold() *cobra.Command {
	var ask yitongv1.HoldRequest
	var until string
	cmd := &cobra.Command{
		Use: "hold ID", Short: "Keep a hospital's record from being erased, as a regulator",
		Long: "Keep a hospital's record from being erased, as a regulator: by its patient's wish, by a retention\n" +
			"period, or for any other reason. It stands until its end, or until you lift it (record unhold).",
		Example: "  yitong record hold ID --custodian hospital-a --reason case-7 --until 2027-12-31 --as regulator",
		Args:    cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&ask.Custodian, "custodian", "", "hospital that holds the record (required)")
	f.StringVar(&ask.Reason, "reason", "", "why: a code, it stays on the ledger (required)")
	f.StringVar(&until, "until", "", "through this date, or before this RFC 3339 time (default: until it is lifted)")
	_, _ = cmd.MarkFlagRequired("custodian"), cmd.MarkFlagRequired("reason")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) (err error) {
		if ask.Until, err = moment(until, "until", true); err != nil {
			return err
		}
		ask.Id = args[0]
		answer, err := c.Erasures.Hold(ctx, &ask)
		if err != nil {
			return err
		}
		return a.showHolds(ask.Id, answer)
	})
	return cmd
}

func (a *app) recordUnhold() *cobra.Command {
	var ask yitongv1.UnholdRequest
	cmd := &cobra.Command{
		Use: "unhold ID", Short: "Lift your legal hold on a record, as a regulator",
		Example: "  yitong record unhold ID --custodian hospital-a --as regulator",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&ask.Custodian, "custodian", "", "hospital that holds the record (required)")
	_ = cmd.MarkFlagRequired("custodian")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		ask.Id = args[0]
		answer, err := c.Erasures.Unhold(ctx, &ask)
		if err != nil {
			return err
		}
		return a.showHolds(ask.Id, answer)
	})
	return cmd
}

func (a *app) showHolds(id string, answer *yitongv1.HoldResponse) error {
	if a.screen.JSON {
		return a.screen.Document(answer)
	}
	state := "is held by nobody"
	if holds := answer.GetHolds(); len(holds) > 0 {
		state = "is held " + heldBy(holds)
	}
	_, err := fmt.Fprintf(a.Out, "record %s %s%s\n", id, state, committed(answer.GetCommit()))
	return err
}

func heldBy(holds []*yitongv1.Hold) string {
	var by []string
	for _, h := range holds {
		text := fmt.Sprintf("by %s (%s)", h.GetRegulator(), h.GetReason())
		if h.GetUntil() != nil {
			text += " until " + screen.Time(h.GetUntil())
		}
		by = append(by, text)
	}
	return strings.Join(by, ", ")
}

func (a *app) recordRetention() *cobra.Command {
	var within string
	var limit int
	cmd := &cobra.Command{
		Use: "retention", Short: "List what this hospital has kept for its retention period, or soon has",
		Long: "List what falls due by the retention periods in the gateway's configuration. What is due is erased\n" +
			"by itself once the warning has stood its time; what is under a legal hold stays. Without periods\n" +
			"in the configuration nothing ever falls due.",
		Example: "  yitong record retention --within 1y --as hospital-a",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&within, "within", "", "what falls due within this time, as 90d or 1y (default: as long as the warning)")
	cmd.Flags().IntVar(&limit, "limit", 0, "at most this many, 0 for all")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		var seconds int64
		if within != "" {
			span, err := retention.ParseSpan(within)
			if err != nil {
				return usage("--within: %v", err)
			}
			now := record.At(a.Now())
			seconds = int64(span.After(now) - now)
		}
		list := newListing(a.screen, []string{"RECORD", "CLASS", "PARTS", "DUE", "WARNED", "ERASED", "HELD"})
		err := pages(limit, func(page *yitongv1.Page) ([]*yitongv1.DueParts, string, error) {
			answer, err := c.Erasures.Due(ctx, &yitongv1.DueRequest{WithinSeconds: seconds, Page: page})
			return answer.GetDue(), answer.GetNextBookmark(), err
		}, func(d *yitongv1.DueParts) error {
			return list.add(d, d.GetRecordId(), d.GetDataClass(), numbers(d.GetParts()), screen.Time(d.GetDue()),
				screen.Time(d.GetWarned()), screen.Time(d.GetErased()), screen.Or(heldBy(d.GetHolds()), "-"))
		})
		return list.end(err)
	})
	return cmd
}

func numbers(parts []int32) string {
	var all []string
	for _, p := range parts {
		all = append(all, strconv.Itoa(int(p)))
	}
	return strings.Join(all, ",")
}

func (a *app) recordNotices() *cobra.Command {
	cmd := &cobra.Command{
		Use: "notices", Short: "List what hospitals have erased of which this member has opened copies",
		Long: "List what hospitals have erased of which this member has opened copies. Your own software deletes\n" +
			"them, or retains them where the law says so, and you say which (record acknowledge).",
		Args: cobra.NoArgs,
	}
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		answer, err := c.Erasures.Notices(ctx, &yitongv1.NoticesRequest{})
		if err != nil {
			return err
		}
		list := newListing(a.screen, []string{"CUSTODIAN", "RECORD", "PARTS", "OPENED", "ERASED", "REASON", "ACKNOWLEDGED"})
		for _, n := range answer.GetNotices() {
			acknowledged := "no"
			if n.GetSent() {
				acknowledged = "on its way to the ledger"
			}
			err := list.add(n, n.GetCustodian(), n.GetRecordId(), numbers(n.GetParts()), screen.Time(n.GetOpened()), screen.Time(n.GetErased()), n.GetReason(), acknowledged)
			if err != nil {
				return err
			}
		}
		return list.close()
	})
	return cmd
}

func (a *app) recordAcknowledge() *cobra.Command {
	var ask yitongv1.AcknowledgeRequest
	var gone bool
	cmd := &cobra.Command{
		Use: "acknowledge ID", Short: "Say on the ledger what became of your copies of an erased record",
		Long: "Say on the ledger what became of your copies of an erased record: that they are deleted, or that\n" +
			"the law has you retain them, and on which ground. What was retained can be acknowledged as\n" +
			"deleted later; what was deleted stays so.",
		Example: "  yitong record acknowledge ID --deleted --as insurer\n" +
			"  yitong record acknowledge ID --retained legal-obligation --as insurer",
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.BoolVar(&gone, "deleted", false, "no copy is left")
	f.StringVar(&ask.Ground, "retained", "", "copies are kept on this ground: "+strings.Join(grounds, ", "))
	f.StringVar(&ask.Custodian, "custodian", "", "hospital that erased it (default: looked up among the notices)")
	a.mustComplete(cmd, "retained", fixed(grounds...))
	a.mustComplete(cmd, "custodian", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		if gone == (ask.Ground != "") {
			return usage("say one of --deleted and --retained GROUND")
		}
		ask.Id, ask.Fate = args[0], string(record.Deleted)
		if !gone {
			ask.Fate = string(record.Retained)
		}
		if ask.Custodian == "" {
			answer, err := c.Erasures.Notices(ctx, &yitongv1.NoticesRequest{})
			if err != nil {
				return err
			}
			at := slices.IndexFunc(answer.GetNotices(), func(n *yitongv1.ErasureNotice) bool { return n.GetRecordId() == ask.Id })
			if at < 0 {
				return &failure{exit: exitNotFound, code: string(refusal.NotFound), err: fmt.Errorf("there is no notice that record %s is erased", ask.Id),
					next: "see yitong record notices; of what you retained before, say --custodian"}
			}
			ask.Custodian = answer.GetNotices()[at].GetCustodian()
		}
		answer, err := c.Erasures.Acknowledge(ctx, &ask)
		if err != nil {
			return err
		}
		if a.screen.JSON {
			return a.screen.Document(answer)
		}
		fate := answer.GetFate()
		if answer.GetGround() != "" {
			fate += " (" + answer.GetGround() + ")"
		}
		_, err = fmt.Fprintf(a.Out, "acknowledged: copies of record %s are %s%s\n", ask.Id, fate, committed(answer.GetCommit()))
		return err
	})
	return cmd
}

// recordStatus is a record's status with what else keeps it or parts of it from being shared or erased.
func recordStatus(r *yitongv1.Record) string {
	status := r.GetStatus()
	if e := r.GetErasure(); e != nil && !e.GetWhole() {
		status += fmt.Sprintf(", %d erased", len(e.GetParts()))
	}
	if len(r.GetHolds()) > 0 {
		status += ", held"
	}
	return status
}

func (a *app) recordShow() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show one of this hospital's records, part by part", Args: cobra.ExactArgs(1)}
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		var found *yitongv1.Record
		err := pages(0, func(page *yitongv1.Page) ([]*yitongv1.Record, string, error) {
			if found != nil {
				return nil, "", nil
			}
			answer, err := c.Records.List(ctx, &yitongv1.ListRecordsRequest{Page: page})
			return answer.GetRecords(), answer.GetNextBookmark(), err
		}, func(r *yitongv1.Record) error {
			if r.GetId() == args[0] {
				found = r
			}
			return nil
		})
		if err != nil {
			return err
		}
		if found == nil {
			return &failure{exit: exitNotFound, code: string(refusal.NotFound), err: fmt.Errorf("this hospital holds no record %s", args[0]), next: "see yitong record list"}
		}
		if a.screen.JSON {
			return a.screen.Document(found)
		}
		return a.showRecord(found)
	})
	return cmd
}

func (a *app) showRecord(r *yitongv1.Record) error {
	rows := [][]string{{"status", recordStatus(r)}, {"submitted", screen.Time(r.GetSubmitted())}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("type", r.GetMediaType())
	add("supersedes", r.GetSupersedes())
	add("superseded by", r.GetSupersededBy())
	if e := r.GetErasure(); e != nil {
		add("erased", fmt.Sprintf("%s (%s)", screen.Time(e.GetErased()), e.GetReason()))
	}
	if len(r.GetHolds()) > 0 {
		add("held", heldBy(r.GetHolds()))
	}
	if err := a.screen.Table([]string{"RECORD", r.GetId()}, rows); err != nil || len(r.GetParts()) == 0 {
		return err
	}
	var parts [][]string
	for _, p := range r.GetParts() {
		state := "sealed"
		if slices.Contains(r.GetErasure().GetParts(), p.GetIndex()) {
			state = "erased"
		}
		parts = append(parts, []string{strconv.Itoa(int(p.GetIndex())), p.GetDataClass(), screen.List(p.GetLabels()), screen.Span(p.GetDataPeriod()), screen.Bytes(p.GetContentSize()), state})
	}
	return a.screen.Table([]string{"PART", "CLASS", "LABELS", "TIME OF DATA", "SIZE", "STATE"}, parts)
}
