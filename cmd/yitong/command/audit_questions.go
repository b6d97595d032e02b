package command

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/projection"
)

// auditQuestions are the verbs that the gateway answers from its projection.
func (a *app) auditQuestions() []*cobra.Command {
	return []*cobra.Command{
		a.auditEntries(), a.auditPatient(), a.auditConsent(), a.auditDisclosures(), a.auditDenied(), a.auditMember(),
		a.auditUnreceipted(), a.auditExpiring(), a.auditChanges(), a.auditEmergencies(), a.auditReport(), a.auditCheck(), a.auditDigest(), a.auditRebuild(),
	}
}

var (
	entryKinds    = fixed(texts(projection.Kinds)...)
	entryOutcomes = fixed(texts(projection.Outcomes)...)
)

// texts writes a list of codes out.
func texts[C ~string](codes []C) []string {
	list := make([]string, len(codes))
	for i, c := range codes {
		list[i] = string(c)
	}
	return list
}

// filterFlags say which entries of the audit trail are wanted.
type filterFlags struct {
	ask     yitongv1.EntryFilter
	patient patientFlags
	time    periodFlags
}

// add adds the flags to a verb, but those that it says itself.
func (f *filterFlags) add(a *app, cmd *cobra.Command, but ...string) {
	flags := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	f.patient.add(flags)
	f.time.add(flags, "from", "until", "what happened")
	flags.StringVar(&f.ask.Handle, "handle", "", "about the relationship with this handle")
	flags.StringVar(&f.ask.Member, "member", "", "done by this member")
	flags.StringVar(&f.ask.Custodian, "custodian", "", "about records of this hospital")
	flags.StringVar(&f.ask.Requester, "requester", "", "about what this member asks for")
	flags.StringVar(&f.ask.Object, "object", "", "about the consent, access, record, motion or member with this id")
	flags.StringSliceVar(&f.ask.Kinds, "kind", nil, "of these kinds: request, release, receipt, consent, record, …")
	flags.StringSliceVar(&f.ask.Outcomes, "outcome", nil, "that ended so: success, denied, failed, invalid")
	flags.StringVar(&f.ask.Purpose, "purpose", "", "for this purpose, an HL7 v3 PurposeOfUse code")
	flags.StringVar(&f.ask.Reason, "reason", "", "for this reason, a code")
	completions := map[string]cobra.CompletionFunc{
		"member": a.completeMembers, "custodian": a.completeMembers, "requester": a.completeMembers,
		"kind": entryKinds, "outcome": entryOutcomes, "purpose": purposeCodes,
	}
	flags.VisitAll(func(flag *pflag.Flag) {
		if slices.Contains(but, flag.Name) {
			return
		}
		cmd.Flags().AddFlag(flag)
		if complete := completions[flag.Name]; complete != nil {
			a.mustComplete(cmd, flag.Name, complete)
		}
	})
}

func (f *filterFlags) filter(a *app) (*yitongv1.EntryFilter, error) {
	var err error
	if f.ask.Patient, err = a.patient(f.patient); err != nil {
		return nil, err
	}
	f.ask.Time, err = f.time.period()
	return &f.ask, err
}

// listFlags bound a list.
type listFlags struct {
	limit  int
	newest bool
}

func (l *listFlags) add(cmd *cobra.Command) {
	l.bound(cmd)
	cmd.Flags().BoolVar(&l.newest, "newest", false, "newest first")
}

// bound adds --limit alone.
func (l *listFlags) bound(cmd *cobra.Command) {
	cmd.Flags().IntVar(&l.limit, "limit", 50, "at most so many; 0 is all")
}

func (a *app) auditEntries() *cobra.Command {
	var f filterFlags
	var l listFlags
	cmd := &cobra.Command{
		Use: "entries", Short: "List the audit trail, filtered", Args: cobra.NoArgs,
		Long: "List the audit trail: what each transaction did or tried to do, who did it, about whom, under which\n" +
			"purpose and rule, and how it ended. Flags narrow it; together they all must hold.",
		Example: "  yitong audit entries --as regulator --outcome denied --newest\n" +
			"  yitong audit entries --as hospital-a --requester insurer --kind release,receipt --from 2026-11-01",
	}
	f.add(a, cmd)
	l.add(cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		filter, err := f.filter(a)
		if err != nil {
			return err
		}
		return a.listEntries(ctx, c, filter, l)
	})
	return cmd
}

func (a *app) auditPatient() *cobra.Command {
	var f filterFlags
	var l listFlags
	cmd := &cobra.Command{
		Use: "patient", Short: "Tell a patient's whole history, as far as this gateway knows the patient", Args: cobra.NoArgs,
		Long: "Tell a patient's whole history: consents, requests, decisions, releases, receipts and records. Only this\n" +
			"gateway turns the identifier into handles, and only for a patient it knows; nobody else is asked.",
		Example: "  yitong audit patient --as hospital-a --patient-file bundle.json",
	}
	f.add(a, cmd)
	l.add(cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		filter, err := f.filter(a)
		if err != nil {
			return err
		}
		if filter.Patient == nil {
			_, err = a.needPatient(f.patient)
			return err
		}
		return a.listEntries(ctx, c, filter, l)
	})
	return cmd
}

func (a *app) auditMember() *cobra.Command {
	var f filterFlags
	var l listFlags
	cmd := &cobra.Command{
		Use: "member MEMBER", Short: "Tell what a member did", Args: cobra.ExactArgs(1), ValidArgsFunction: a.completeOneMember,
	}
	f.add(a, cmd, "member")
	l.add(cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		f.ask.Member = args[0]
		filter, err := f.filter(a)
		if err != nil {
			return err
		}
		return a.listEntries(ctx, c, filter, l)
	})
	return cmd
}

func (a *app) auditDenied() *cobra.Command {
	var f filterFlags
	var l listFlags
	var count bool
	cmd := &cobra.Command{
		Use: "denied", Short: "List the requests that were denied, and why", Args: cobra.NoArgs,
		Example: "  yitong audit denied --as regulator --requester insurer --count",
	}
	f.add(a, cmd, "kind", "outcome")
	l.add(cmd)
	cmd.Flags().BoolVar(&count, "count", false, "count them by reason in place of listing them; goes with --custodian, --requester and time")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		filter, err := f.filter(a)
		if err != nil {
			return err
		}
		for _, narrower := range []string{"patient", "patient-file", "handle", "member", "object", "purpose", "reason", "limit", "newest"} {
			if count && cmd.Flags().Changed(narrower) {
				return usage("--count goes by --custodian, --requester and time alone: leave out --%s", narrower)
			}
		}
		if !count {
			filter.Kinds, filter.Outcomes = []string{"request"}, []string{"denied"}
			return a.listEntries(ctx, c, filter, l)
		}
		answer, err := c.Audit.Denials(ctx, &yitongv1.DenialsRequest{Custodian: filter.Custodian, Requester: filter.Requester, Time: filter.Time})
		if err != nil {
			return err
		}
		list := newListing(a.screen, []string{"REASON", "REQUESTS"})
		for _, r := range answer.GetReasons() {
			if err := list.add(r, r.GetReason(), fmt.Sprint(r.GetCount())); err != nil {
				return err
			}
		}
		return a.closeAsOf(list, answer.GetAsOf())
	})
	return cmd
}

func (a *app) listEntries(ctx context.Context, c *client.Client, filter *yitongv1.EntryFilter, l listFlags) error {
	return listed(a, l.limit, entryHeader, func(p *yitongv1.Page) (*yitongv1.EntriesResponse, error) {
		return c.Audit.Entries(ctx, &yitongv1.EntriesRequest{Filter: filter, Page: p, NewestFirst: l.newest})
	}, (*yitongv1.EntriesResponse).GetEntries, entryCells)
}

var entryHeader = []string{"BLOCK", "TIME (CLAIMED)", "WHO", "WHAT", "OUTCOME", "REASON", "CUSTODIAN", "REQUESTER", "PURPOSE", "CLASSES", "PATIENT", "OBJECT"}

// entryCells has the object's id whole, because other verbs take it; the patient's handle is
// cut, which is enough to see what is about the same one.
func entryCells(e *yitongv1.AuditEntry) []string {
	object := e.GetObject()
	if e.GetVersion() > 0 {
		object += fmt.Sprintf(" v%d", e.GetVersion())
	}
	what := e.GetKind() + " " + e.GetAction()
	if e.GetKind() == string(projection.KindOther) && e.GetFunction() != "" {
		what = e.GetAction() + " " + e.GetFunction()
	}
	return []string{
		fmt.Sprint(e.GetBlock()), screen.Time(e.GetClaimedTime()), screen.Or(e.GetMember(), "-"), what, e.GetOutcome(),
		screen.Or(e.GetReason(), "-"), screen.Or(e.GetCustodian(), "-"), screen.Or(e.GetRequester(), "-"),
		screen.Or(e.GetPurpose(), "-"), classesCell(e.GetClasses()), screen.Or(screen.Short(e.GetHandle()), "-"), screen.Or(object, "-"),
	}
}

// answer is one page of what the gateway answers, and what it stands on.
type answer interface {
	GetNextBookmark() string
	GetAsOf() *yitongv1.AsOf
}

// listed asks a question page by page, lists what the pages hold, and says on which block
// the last of them stands.
func listed[A answer, T proto.Message](a *app, limit int, header []string, ask func(*yitongv1.Page) (A, error), held func(A) []T, cells func(T) []string) error {
	list := newListing(a.screen, header)
	var asOf *yitongv1.AsOf
	if limit < 0 {
		return usage("--limit must be 1 or more, or 0 for all")
	}
	more := false
	err := pages(limit, func(p *yitongv1.Page) ([]T, string, error) {
		page, err := ask(p)
		asOf, more = page.GetAsOf(), page.GetNextBookmark() != ""
		return held(page), page.GetNextBookmark(), err
	}, func(one T) error { return list.add(one, cells(one)...) })
	if err != nil {
		return err
	}
	if err := a.closeAsOf(list, asOf); err != nil || !more || a.screen.JSON {
		return err
	}
	a.screen.Say("cut off after %d; --limit 0 lists all", limit)
	return nil
}

// classesCell lists data classes; all of them are one word.
func classesCell(codes []string) string {
	if len(codes) == len(record.AllClasses.Codes()) {
		return "all"
	}
	return screen.List(codes)
}

// closeAsOf ends a list and says what it stands on.
func (a *app) closeAsOf(l *listing, asOf *yitongv1.AsOf) error {
	if err := l.close(); err != nil {
		return err
	}
	if asOf != nil && !a.screen.JSON {
		a.screen.Say("as of block %d, %s", int64(asOf.GetHeight())-1, screen.Short(hex.EncodeToString(asOf.GetBlockHash())))
	}
	return nil
}

func (a *app) auditConsent() *cobra.Command {
	return &cobra.Command{
		Use: "consent ID", Short: "Tell a consent's life: every version, and why it was withdrawn", Args: cobra.ExactArgs(1),
		RunE: a.verb(func(ctx context.Context, c *client.Client, args []string) error {
			return listed(a, 0, consentHeader, func(p *yitongv1.Page) (*yitongv1.ConsentLifeResponse, error) {
				return c.Audit.Consent(ctx, &yitongv1.ConsentLifeRequest{Id: args[0], Page: p})
			}, (*yitongv1.ConsentLifeResponse).GetVersions, consentCells)
		}),
	}
}

var consentHeader = []string{"CONSENT", "VERSION", "STATUS", "RECORDED", "HOLDS", "DECISION", "CUSTODIAN", "REQUESTER", "REASON", "BLOCK"}

func consentCells(v *yitongv1.ConsentVersion) []string {
	c := v.GetConsent()
	return []string{
		c.GetId(), fmt.Sprint(c.GetVersion()), c.GetStatus(), screen.Time(c.GetRecorded()), screen.Span(c.GetPeriod()), c.GetProvision().GetType(),
		v.GetCustodian(), c.GetRequester(), screen.Or(v.GetReason(), "-"), fmt.Sprint(v.GetCommit().GetBlock()),
	}
}

func (a *app) auditDisclosures() *cobra.Command {
	var who patientFlags
	var when periodFlags
	var l listFlags
	var handle string
	cmd := &cobra.Command{
		Use: "disclosures", Short: "Account for everything released about a patient, to whom and why", Args: cobra.NoArgs,
		Long: "Account for everything released about a patient: when, to whom, what and for what purpose (45 CFR\n" +
			"164.528; the access report of PIPL article 45 and GDPR article 15), and whether it was opened.",
		Example: "  yitong audit disclosures --as hospital-a --patient-file bundle.json --from 2020-11-21",
	}
	who.add(cmd.Flags())
	when.add(cmd.Flags(), "from", "until", "released")
	cmd.Flags().StringVar(&handle, "handle", "", "of the relationship with this handle, in place of a patient")
	l.add(cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		ask := &yitongv1.DisclosuresRequest{Handle: handle, NewestFirst: l.newest}
		var err error
		if ask.Patient, err = a.patient(who); err != nil {
			return err
		}
		if ask.Patient == nil && handle == "" {
			return usage("nobody is named: use --patient-file FILE, or --handle for one relationship")
		}
		if ask.Time, err = when.period(); err != nil {
			return err
		}
		return listed(a, l.limit, disclosureHeader, func(p *yitongv1.Page) (*yitongv1.DisclosuresResponse, error) {
			ask.Page = p
			return c.Audit.Disclosures(ctx, ask)
		}, (*yitongv1.DisclosuresResponse).GetDisclosures, disclosureCells)
	})
	return cmd
}

var disclosureHeader = []string{"RELEASED", "BY", "TO", "PURPOSE", "WHAT", "UNDER", "OPENED", "PERMIT", "BLOCK"}

func disclosureCells(d *yitongv1.Disclosure) []string {
	x := d.GetAccess()
	return []string{
		screen.Time(x.GetRelease().GetReleased()), d.GetCustodianName(), d.GetRequesterName(), screen.Or(x.GetPurpose(), "-"), classesCell(x.GetGranted()),
		screen.Rule(x.GetRule()), screen.Or(x.GetReceipt().GetOutcome(), "no receipt"), x.GetId(), fmt.Sprint(d.GetCommit().GetBlock()),
	}
}

func (a *app) auditUnreceipted() *cobra.Command {
	ask := &yitongv1.UnreceiptedRequest{}
	var l listFlags
	var before string
	cmd := &cobra.Command{
		Use: "unreceipted", Short: "List what was released and never acknowledged", Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&ask.Custodian, "custodian", "", "released by this hospital")
	f.StringVar(&ask.Requester, "requester", "", "released to this member")
	f.StringVar(&before, "before", "", "released before this date or RFC 3339 time")
	l.bound(cmd)
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "requester", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if ask.Before, err = moment(before, "before", false); err != nil {
			return err
		}
		return listed(a, l.limit, disclosureHeader, func(p *yitongv1.Page) (*yitongv1.UnreceiptedResponse, error) {
			ask.Page = p
			return c.Audit.Unreceipted(ctx, ask)
		}, (*yitongv1.UnreceiptedResponse).GetReleases, disclosureCells)
	})
	return cmd
}

func (a *app) auditExpiring() *cobra.Command {
	ask := &yitongv1.ExpiringRequest{}
	var l listFlags
	var days int
	cmd := &cobra.Command{
		Use: "expiring", Short: "List the consents in force that end soon", Args: cobra.NoArgs,
		Example: "  yitong audit expiring --as hospital-a --days 30",
	}
	f := cmd.Flags()
	f.IntVar(&days, "days", 30, "within so many days from now")
	f.StringVar(&ask.Custodian, "custodian", "", "of this hospital")
	f.StringVar(&ask.Requester, "requester", "", "towards this member")
	l.bound(cmd)
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "requester", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		if days < 1 {
			return usage("--days must be 1 or more")
		}
		now := a.Now()
		ask.Within = &yitongv1.Period{Start: timestamppb.New(now), End: timestamppb.New(now.AddDate(0, 0, days))}
		return listed(a, l.limit, consentHeader, func(p *yitongv1.Page) (*yitongv1.ExpiringResponse, error) {
			ask.Page = p
			return c.Audit.Expiring(ctx, ask)
		}, (*yitongv1.ExpiringResponse).GetConsents, consentCells)
	})
	return cmd
}

func (a *app) auditChanges() *cobra.Command {
	ask := &yitongv1.ChangesRequest{}
	var when periodFlags
	cmd := &cobra.Command{
		Use: "changes", Short: "Tell the days on which a member asked unlike its days before", Args: cobra.NoArgs,
		Long: "Tell the days on which a member asked far more, or far less, than in the 28 days before: four spreads\n" +
			"off their median or more. Without --from it looks at the last seven days.",
	}
	when.add(cmd.Flags(), "from", "until", "days")
	cmd.Flags().StringVar(&ask.Member, "member", "", "only this member")
	a.mustComplete(cmd, "member", a.completeMembers)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if ask.Time, err = when.period(); err != nil {
			return err
		}
		if ask.Time.GetStart() == nil {
			ask.Time = &yitongv1.Period{Start: timestamppb.New(a.Now().AddDate(0, 0, -7)), End: ask.Time.GetEnd()}
		}
		answer, err := c.Audit.Changes(ctx, ask)
		if err != nil {
			return err
		}
		list := newListing(a.screen, []string{"DAY", "MEMBER", "REQUESTS", "DENIED", "USUAL", "SCORE"})
		for _, ch := range answer.GetChanges() {
			day, _, _ := strings.Cut(screen.Time(ch.GetDay()), " ")
			if err := list.add(ch, day, ch.GetMember(), fmt.Sprint(ch.GetRequests()), fmt.Sprint(ch.GetDenied()), fmt.Sprintf("%.1f", ch.GetUsual()), fmt.Sprintf("%+.1f", ch.GetScore())); err != nil {
				return err
			}
		}
		return a.closeAsOf(list, answer.GetAsOf())
	})
	return cmd
}

func (a *app) auditDigest() *cobra.Command {
	return &cobra.Command{
		Use: "digest", Short: "Hash the projection that questions are answered from", Args: cobra.NoArgs,
		Long: "Hash the projection that questions are answered from, in one canonical form. Two members whose\n" +
			"projections stand on the same block have the same digest; else one of them was changed.",
		RunE: a.streaming(func(ctx context.Context, c *client.Client, _ []string) error {
			d, err := c.Audit.Digest(ctx, &yitongv1.DigestRequest{})
			if err != nil {
				return err
			}
			return a.showDigest(d)
		}),
	}
}

func (a *app) showDigest(d *yitongv1.DigestResponse) error {
	if a.screen.JSON {
		return a.screen.Document(d)
	}
	rows := [][]string{{"(all)", "", hex.EncodeToString(d.GetDigest())}}
	for _, t := range d.GetTables() {
		rows = append(rows, []string{t.GetTable(), fmt.Sprint(t.GetRows()), hex.EncodeToString(t.GetDigest())})
	}
	if err := a.screen.Table([]string{"TABLE", "ROWS", "SHA-256"}, rows); err != nil {
		return err
	}
	a.screen.Say("as of block %d, %x", int64(d.GetAsOf().GetHeight())-1, d.GetAsOf().GetBlockHash())
	return nil
}

func (a *app) auditRebuild() *cobra.Command {
	ask := &yitongv1.RebuildRequest{}
	cmd := &cobra.Command{
		Use: "rebuild", Short: "Make the projection anew of the peer's blocks, and compare", Args: cobra.NoArgs,
		Long: "Make the projection anew of the peer's blocks, beside the present one, and compare the two. They\n" +
			"differ only if somebody changed the database; --replace then throws the present one away.",
	}
	cmd.Flags().BoolVar(&ask.Replace, "replace", false, "where they differ, throw the present one away and follow the chain anew")
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, _ []string) error {
		stream, err := c.Audit.Rebuild(ctx, ask)
		if err != nil {
			return err
		}
		bar := a.screen.Counting("making anew", "blocks")
		defer bar.Close()
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return errors.New("the gateway ended the rebuild without a result")
			}
			if err != nil {
				return err
			}
			if result := m.GetResult(); result != nil {
				bar.Close()
				return a.showRebuilt(result)
			}
			bar.Of(int64(m.GetProgress().GetBlocks()), int64(m.GetProgress().GetOf()))
		}
	})
	return cmd
}

func (a *app) showRebuilt(r *yitongv1.RebuildResult) error {
	if a.screen.JSON {
		if err := a.screen.Document(r); err != nil {
			return err
		}
	} else {
		var rows [][]string
		for i, t := range r.GetPresent().GetTables() {
			anew, verdict := r.GetAnew().GetTables()[i], "the same"
			if hex.EncodeToString(t.GetDigest()) != hex.EncodeToString(anew.GetDigest()) {
				verdict = "DIFFERS"
			}
			rows = append(rows, []string{t.GetTable(), fmt.Sprint(t.GetRows()), fmt.Sprint(anew.GetRows()), verdict})
		}
		if err := a.screen.Table([]string{"TABLE", "ROWS", "ROWS ANEW", "DIGESTS"}, rows); err != nil {
			return err
		}
		a.screen.Say("as of block %d, %x", int64(r.GetPresent().GetAsOf().GetHeight())-1, r.GetPresent().GetAsOf().GetBlockHash())
	}
	switch {
	case r.GetSame():
		return nil
	case r.GetReplaced():
		a.screen.Say("the projection differed and is being made anew")
		return nil
	}
	return &failure{exit: exitFailure, err: errors.New("the projection is not what the blocks say: somebody changed the database"),
		next: "keep a copy of it as evidence, then `yitong audit rebuild --replace`"}
}
