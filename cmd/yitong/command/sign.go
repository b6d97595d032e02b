package command

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"yitong/chaincode/directive"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	"yitong/cmd/yitong/wallet"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// signFlags are those of every verb that signs.
type signFlags struct {
	wallet walletFlags
	label  string
}

func (s *signFlags) add(cmd *cobra.Command) {
	s.wallet.add(cmd)
	cmd.Flags().StringVar(&s.label, "for", "", "of whom this wallet speaks, in your own words, where it is a guardian's; empty for yourself")
}

// relationFlags say between whom, and of which patient.
type relationFlags struct {
	patient              patientFlags
	custodian, requester string
}

func (r *relationFlags) add(a *app, cmd *cobra.Command) {
	r.patient.add(cmd.Flags())
	cmd.Flags().StringVar(&r.custodian, "custodian", "", "hospital that holds the records (default: the member named by --as)")
	cmd.Flags().StringVar(&r.requester, "requester", "", "member that may ask (default: the member named by --as)")
	a.mustComplete(cmd, "custodian", a.completeMembers)
	a.mustComplete(cmd, "requester", a.completeMembers)
}

// signing is a wallet at one relationship, and how that stands.
type signing struct {
	app      *app
	client   *client.Client
	wallet   *wallet.Wallet
	relation *wallet.Relationship
	signer   wallet.Signer
	standing *yitongv1.PrepareResponse
}

// sign opens the wallet and has the member's gateway tell how the relationship stands. The gateway
// writes no document: the wallet does, so that it signs what its owner asked for and nothing else.
func (a *app) sign(ctx context.Context, c *client.Client, f signFlags, r relationFlags) (*signing, error) {
	who, err := a.needPatient(r.patient)
	if err != nil {
		return nil, err
	}
	w, err := a.openWallet(f.wallet)
	if err != nil {
		return nil, err
	}
	standing, err := c.Patients.Prepare(ctx, &yitongv1.PrepareRequest{Patient: who, Custodian: r.custodian, Requester: r.requester})
	if err != nil {
		return nil, err
	}
	s := &signing{app: a, client: c, wallet: w, standing: standing}
	s.relation = w.Relationship(standing.GetCustodian(), standing.GetRequester(), f.label)
	s.relation.Handle, s.relation.Channel = standing.GetHandle(), standing.GetChannel()
	for _, c := range standing.GetConsents() {
		s.relation.Note(remembered(c))
	}
	return s, s.choose(f.label)
}

// choose takes the key of the relationship that the ledger knows: after a restoration the wallet
// doesn't remember how often it was replaced. One that is none of this wallet's may be another's, of
// whom this one is a delegate.
func (s *signing) choose(label string) error {
	r := s.relation
	if bound := s.standing.GetSigner(); bound != nil {
		generation, ok, err := s.wallet.Find(r.Custodian, r.Requester, label, bound.GetKeyId())
		if err != nil {
			return err
		}
		if ok {
			r.Generation = generation
		}
	}
	var err error
	s.signer, err = s.wallet.Signer(r.Custodian, r.Requester, r.Label, r.Generation)
	return err
}

// draft is a directive in the relationship, by the wallet's clock.
func (s *signing) draft(act directive.Act, id string) directive.Directive {
	r := s.relation
	return directive.Directive{
		Type: directive.Type, Channel: r.Channel, Act: act, Custodian: r.Custodian, Requester: r.Requester, Handle: r.Handle,
		Consent: id, Signed: record.At(s.app.Now()),
	}
}

// direct signs, sends, and remembers what came of it.
func (s *signing) direct(ctx context.Context, d directive.Directive) (*yitongv1.DirectResponse, error) {
	signed, err := s.signer.Sign(d)
	if err != nil {
		var r *refusal.Refusal
		if errors.As(err, &r) {
			return nil, &failure{exit: exitUsage, code: string(r.Code), err: errors.New(r.Message), allowed: r.Allowed}
		}
		return nil, err
	}
	if err := s.wallet.Save(); err != nil { // what is known of the relationship outlives a lost answer
		return nil, fmt.Errorf("keeping the wallet: %w", err)
	}
	answer, err := s.client.Patients.Direct(ctx, &yitongv1.DirectRequest{
		Document: []byte(signed.Document), Key: &yitongv1.PatientKey{Algorithm: signed.Key.Algorithm, Public: signed.Key.Public},
		Proof: &yitongv1.DirectRequest_Signature{Signature: signed.Signature},
	})
	if err != nil {
		return nil, err
	}
	if answer.GetConsent() != nil {
		s.relation.Handle = screen.Or(answer.GetConsent().GetHandle(), s.relation.Handle)
		s.relation.Note(remembered(answer.GetConsent()))
		if err := s.wallet.Save(); err != nil {
			return nil, fmt.Errorf("it is on the ledger, but the wallet couldn't be kept: %w", err)
		}
	}
	return answer, nil
}

func remembered(c *yitongv1.Consent) wallet.Consent {
	return wallet.Consent{ID: c.GetId(), Version: int(c.GetVersion()), Status: c.GetStatus(), Says: inWords(c.GetProvision())}
}

// wishFlags are what a patient consents to.
type wishFlags struct {
	rule      provisionFlags
	valid     periodFlags
	delegates []string
}

func (w *wishFlags) add(a *app, cmd *cobra.Command) {
	w.rule.add(a, cmd)
	w.valid.add(cmd.Flags(), "from", "until", "the consent holds")
	cmd.Flags().StringArrayVar(&w.delegates, "delegate", nil,
		"who else may act: KEY=grant,withdraw:FROM:UNTIL (dates; KEY from yitong patient key), repeatable")
}

func (w wishFlags) apply(a *app, cmd *cobra.Command, d *directive.Directive) error {
	rule, err := w.rule.provision(a, cmd.Flags())
	if err != nil {
		return err
	}
	provision, err := api.Provision(rule)
	if err != nil {
		return usage("%v", err)
	}
	valid, err := w.valid.period()
	if err != nil {
		return err
	}
	d.Provision, d.Period = &provision, api.Period(valid)
	if d.Period.Start == 0 {
		d.Period.Start = d.Signed
	}
	for _, text := range w.delegates {
		delegate, err := parseDelegate(text)
		if err != nil {
			return err
		}
		d.Delegates = append(d.Delegates, delegate)
	}
	directive.Sort(d.Delegates)
	return nil
}

// parseDelegate reads KEY=grant,withdraw:FROM:UNTIL.
func parseDelegate(text string) (directive.Delegate, error) {
	var d directive.Delegate
	wrong := usage("--delegate is KEY=grant,withdraw:FROM:UNTIL, for example Ed25519.AAAA…=withdraw:2026-11-21:2027-11-21")
	at := strings.LastIndexByte(text, '=') // base64 may end in =
	if at < 0 {
		return d, wrong
	}
	key, err := parseKey(text[:at])
	if err != nil {
		return d, err
	}
	fields := strings.Split(text[at+1:], ":")
	if len(fields) != 3 {
		return d, wrong
	}
	for _, right := range strings.Split(fields[0], ",") {
		switch right {
		case "grant":
			d.Grant = true
		case "withdraw":
			d.Withdraw = true
		default:
			return d, wrong
		}
	}
	period, err := periodFlags{fromName: "delegate", untilName: "delegate", from: fields[1], until: fields[2]}.period()
	if err != nil {
		return d, err
	}
	d.Key, d.Period = key, api.Period(period)
	return d, nil
}

// keyText is a public key on one line.
func keyText(k directive.Key) string {
	return k.Algorithm + "." + base64.RawURLEncoding.EncodeToString(k.Public)
}

func parseKey(text string) (directive.Key, error) {
	algorithm, public, _ := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(public)
	k := directive.Key{Algorithm: algorithm, Public: raw}
	if err != nil || k.Check() != nil {
		return k, usage("%.80q is no key: `yitong patient key` shows one", text)
	}
	return k, nil
}

func (a *app) patientGrant() *cobra.Command {
	var with signFlags
	var relation relationFlags
	var wish wishFlags
	var id string
	cmd := &cobra.Command{
		Use: "grant", Short: "Sign a consent, and put it on the ledger through the hospital",
		Long: "Sign a consent, and put it on the ledger through the hospital that holds the records.\n\n" + provisionHelp,
		Example: "  yitong patient grant --as hospital-a --patient-file me --requester insurer \\\n" +
			"      --purpose HPAYMT --class laboratory,claim --except-label PSY --until 2027-12-31",
		Args: cobra.NoArgs,
	}
	with.add(cmd)
	relation.add(a, cmd)
	wish.add(a, cmd)
	cmd.Flags().StringVar(&id, "id", "", "id of the consent, 32 hexadecimal characters (default: a random one)")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		s, err := a.sign(ctx, c, with, relation)
		if err != nil {
			return err
		}
		d := s.draft(directive.Grant, screen.Or(id, client.NewID()))
		d.Version = 1
		if err := wish.apply(a, cmd, &d); err != nil {
			return err
		}
		answer, err := s.direct(ctx, d)
		if err != nil {
			return err
		}
		return a.showDirected(answer, "granted")
	})
	return cmd
}

func (a *app) patientAmend() *cobra.Command {
	var with signFlags
	var relation relationFlags
	var wish wishFlags
	cmd := &cobra.Command{
		Use: "amend ID", Short: "Sign the next version of a consent, also of a withdrawn one",
		Long: "Sign the next version of a consent, also of a withdrawn one. The flags say the whole consent anew.\n\n" + provisionHelp,
		Args: cobra.ExactArgs(1),
	}
	with.add(cmd)
	relation.add(a, cmd)
	wish.add(a, cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		s, err := a.sign(ctx, c, with, relation)
		if err != nil {
			return err
		}
		_, present := s.wallet.Of(args[0])
		if present == nil {
			return noConsent(args[0])
		}
		d := s.draft(directive.Amend, args[0])
		d.Version = present.Version + 1
		if err := wish.apply(a, cmd, &d); err != nil {
			return err
		}
		answer, err := s.direct(ctx, d)
		if err != nil {
			return err
		}
		return a.showDirected(answer, "amended")
	})
	return cmd
}

func noConsent(id string) error {
	return &failure{exit: exitNotFound, err: fmt.Errorf("the wallet knows no consent %.32q", id),
		next: "`yitong patient list --as HOSPITAL --patient-file FILE --requester MEMBER` learns what the ledger has"}
}

func (a *app) patientWithdraw() *cobra.Command {
	var with signFlags
	var reason string
	cmd := &cobra.Command{
		Use: "withdraw ID", Short: "Sign the end of what a consent permits, through any member",
		Long: "Sign the end of what a consent permits, from the next block on. It needs no hospital: any member's\n" +
			"software (--as) is a door for it, with what the wallet remembers.",
		Example: "  yitong patient withdraw 0123456789abcdef0123456789abcdef --as regulator",
		Args:    cobra.ExactArgs(1),
	}
	with.add(cmd)
	cmd.Flags().StringVar(&reason, "reason", "patient-request", "why: a code, which stays on the ledger")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		w, err := a.openWallet(with.wallet)
		if err != nil {
			return err
		}
		relation, present := w.Of(args[0])
		if relation == nil {
			return noConsent(args[0])
		}
		s := &signing{app: a, client: c, wallet: w, relation: relation}
		if s.signer, err = w.Signer(relation.Custodian, relation.Requester, relation.Label, relation.Generation); err != nil {
			return err
		}
		d := s.draft(directive.Withdraw, args[0])
		d.Version, d.Reason = present.Version+1, reason
		answer, err := s.direct(ctx, d)
		if next := nextVersion(err); next > d.Version {
			// Somebody else made a version meanwhile. Whatever it says, its owner wants it gone.
			d.Version = next
			answer, err = s.direct(ctx, d)
		}
		if err != nil {
			return err
		}
		return a.showDirected(answer, "withdrawn")
	})
	return cmd
}

// nextVersion is the version that a refusal says would be next; 0 if it says none.
func nextVersion(err error) int {
	r, ok := client.Refusal(err)
	if !ok || r.Code != refusal.VersionConflict {
		return 0
	}
	version, err := strconv.Atoi(strings.TrimPrefix(r.Allowed, "version "))
	if err != nil {
		return 0
	}
	return version
}

func (a *app) patientList() *cobra.Command {
	var with signFlags
	var relation relationFlags
	cmd := &cobra.Command{
		Use: "list", Short: "Show the consents in one relationship as they stand on the ledger, and remember them",
		Args: cobra.NoArgs,
	}
	with.add(cmd)
	relation.add(a, cmd)
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		s, err := a.sign(ctx, c, with, relation)
		if err != nil {
			return err
		}
		if err := s.wallet.Save(); err != nil {
			return fmt.Errorf("keeping the wallet: %w", err)
		}
		if bound := s.standing.GetSigner(); bound != nil && bound.GetKeyId() != s.signer.Public().ID() {
			a.screen.Say("the key that speaks for the patient here is %s, and none of this wallet's%s", bound.GetKeyId(), map[bool]string{true: ": the hospital recovered it"}[bound.GetRecovered()])
		}
		list := newListing(a.screen, []string{"CONSENT", "VERSION", "STATUS", "ASSURANCE", "SIGNED BY", "HOLDS", "SAYS"})
		var errs []error
		for _, c := range s.standing.GetConsents() {
			by := c.GetSigner()
			if by == s.signer.Public().ID() {
				by = "this wallet"
			}
			errs = append(errs, list.add(c, c.GetId(), strconv.Itoa(int(c.GetVersion())), c.GetStatus(), c.GetAssurance(), screen.Or(by, "the hospital"),
				screen.Span(c.GetPeriod()), inWords(c.GetProvision())))
		}
		return errors.Join(append(errs, list.close())...)
	})
	return cmd
}

func (a *app) patientRekey() *cobra.Command {
	var with signFlags
	var relation relationFlags
	var to string
	cmd := &cobra.Command{
		Use: "rekey", Short: "Have another key speak in a relationship, signed by the present one",
		Long: "Have another key speak in a relationship, signed by the present one: the wallet's next, or, with --to,\n" +
			"one of another wallet's. What the present key signed stays as it is.",
		Args: cobra.NoArgs,
	}
	with.add(cmd)
	relation.add(a, cmd)
	cmd.Flags().StringVar(&to, "to", "", "public key of another wallet (yitong patient key) instead of this one's next")
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
		s, err := a.sign(ctx, c, with, relation)
		if err != nil {
			return err
		}
		bound := s.standing.GetSigner()
		if bound == nil {
			return &failure{exit: exitDenied, err: errors.New("no key speaks for the patient here yet"), next: "the first `yitong patient grant` binds one"}
		}
		r := s.relation
		next, err := s.wallet.Signer(r.Custodian, r.Requester, r.Label, r.Generation+1)
		if err != nil {
			return err
		}
		key := next.Public()
		if to != "" {
			if key, err = parseKey(to); err != nil {
				return err
			}
		}
		d := s.draft(directive.Rebind, "")
		d.Version, d.Key = int(bound.GetVersion())+1, &key
		answer, err := s.direct(ctx, d)
		if err != nil {
			return err
		}
		if to == "" {
			r.Generation++
		}
		if err := s.wallet.Save(); err != nil {
			return fmt.Errorf("it is on the ledger, but the wallet couldn't be kept: %w", err)
		}
		if a.screen.JSON {
			return a.screen.Document(answer)
		}
		_, err = fmt.Fprintf(a.Out, "key %s speaks here from now on%s\n", answer.GetSigner().GetKeyId(), committed(answer.GetCommit()))
		return err
	})
	return cmd
}

func (a *app) showDirected(answer *yitongv1.DirectResponse, done string) error {
	if a.screen.JSON {
		return a.screen.Document(answer)
	}
	c := answer.GetConsent()
	_, err := fmt.Fprintf(a.Out, "consent %s version %d %s, signed by key %s%s\n  %s\n", c.GetId(), c.GetVersion(), done,
		c.GetSigner(), committed(answer.GetCommit()), inWords(c.GetProvision()))
	return err
}
