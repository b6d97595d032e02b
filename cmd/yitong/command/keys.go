package command

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/registry"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/network/fabric"
	"yitong/network/fabric/authority"
	"yitong/network/topology"
)

// soon is how long before a key is to be replaced a list of keys says so.
const soon = 30 * 24 * time.Hour

func (a *app) memberKeys() *cobra.Command {
	return &cobra.Command{
		Use: "keys", Short: "List the member's own keys: id, validity, days left",
		Long: "List the member's own keys: those that its gateway uses and, where the consortium's directory\n" +
			"holds the member, every certificate there. Ids of certificates are serial numbers.\n" +
			"What each is for, and what to do when one is stolen: docs/keys.md.",
		Args: cobra.NoArgs,
		RunE: a.verb(func(ctx context.Context, c *client.Client, _ []string) error {
			answer, err := c.Keys.List(ctx, &yitongv1.ListKeysRequest{})
			if err != nil {
				return err
			}
			keys := answer.GetKeys()
			if _, m, err := a.memberIn(c.Profile.Member); err == nil {
				more, err := certificatesOf(m)
				if err != nil {
					return err
				}
				shown := func(k *yitongv1.MemberKey) bool {
					return k.GetSubject() != "" && slices.ContainsFunc(more, func(m *yitongv1.MemberKey) bool { return m.GetId() == k.GetId() })
				}
				keys = append(slices.DeleteFunc(keys, shown), more...)
			}
			return a.showKeys(keys)
		}),
	}
}

func (a *app) showKeys(keys []*yitongv1.MemberKey) error {
	now := a.Now()
	list := newListing(a.screen, []string{"KEY", "ID", "STATE", "FROM", "UNTIL", "REPLACE BY", "DAYS LEFT"})
	var errs []error
	for _, k := range keys {
		left, state := "-", k.GetState()
		if due := k.GetDue(); due != nil {
			remains := due.AsTime().Sub(now)
			left = fmt.Sprint(int(remains.Hours() / 24))
			if remains < soon {
				left += " !"
			}
		}
		if k.GetRevoked() {
			state = "revoked"
		}
		errs = append(errs, list.add(k, k.GetUse(), k.GetId(), state, screen.Time(k.GetFrom()), screen.Time(k.GetUntil()), screen.Time(k.GetDue()), left))
	}
	return errors.Join(append(errs, list.close())...)
}

func certificatesOf(m *fabric.Member) (keys []*yitongv1.MemberKey, err error) {
	all, err := m.Certificates()
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		keys = append(keys, &yitongv1.MemberKey{
			Use: c.Use, Id: c.Serial, State: "present", Subject: c.Subject, Private: true, Revoked: c.Revoked,
			From: timestamppb.New(c.From), Until: timestamppb.New(c.Until), Due: timestamppb.New(c.Until),
		})
	}
	return keys, nil
}

// memberIn finds a member in the consortium's directory.
func (a *app) memberIn(name string) (*topology.Topology, *fabric.Member, error) {
	t, members, err := fabric.Inspect(a.dir)
	if err != nil {
		return nil, nil, &failure{exit: exitNotFound, err: err,
			next: "certificates are issued and revoked where the member's authority is: name that directory with --dir"}
	}
	for _, m := range members {
		if m.Name == name || m.MSP == name {
			return t, m, nil
		}
	}
	return nil, nil, &failure{exit: exitNotFound, err: fmt.Errorf("%s has no member %q", a.dir, name), next: "name one with --as" + a.known()}
}

// ownMember is the member named by --as, in the directory.
func (a *app) ownMember() (*topology.Topology, *fabric.Member, error) {
	if a.as == "" {
		return nil, nil, &failure{exit: exitUsage, err: errors.New("no member given"), next: "say whose keys these are with --as MEMBER" + a.known()}
	}
	return a.memberIn(a.as)
}

func (a *app) memberRotate() *cobra.Command {
	var key string
	var grace time.Duration
	kinds := []string{registry.UseHPKE, registry.UseSigning, fabric.GatewayTLS, fabric.GatewayEnrolment, fabric.ClientTLS, fabric.PeerKeys}
	cmd := &cobra.Command{
		Use: "rotate", Short: "Replace one of the member's own keys by a new one",
		Long: "Replace one of the member's own keys by a new one, while everything runs:\n\n" +
			"  hpke         part keys are wrapped to it; in the gateway's key store and the registry\n" +
			"  signing      signs releases and statements; likewise\n" +
			"  tls          the gateway's certificate on every connection\n" +
			"  enrolment    signs the member's transactions\n" +
			"  client       the certificate of the member's own software\n" +
			"  peer         the peer's enrolment and TLS certificate; `yitong up` starts it again with them\n" +
			"  user:NAME    a person's certificate\n" +
			"  identity:NAME a further identity of the member\n\n" +
			"What is wrapped to an old hpke key, or signed by an old signing key, stays good for --grace.\n" +
			"An old certificate stays good until it expires: `yitong member revoke` ends it. A key that was\n" +
			"stolen: --grace 0s, and revoke. docs/keys.md has the whole story.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&key, "key", "", "which one: "+strings.Join(kinds, ", ")+", user:NAME or identity:NAME (required)")
	cmd.Flags().DurationVar(&grace, "grace", registry.DefaultGrace*time.Second, "how long the old one is good for (hpke and signing)")
	_ = cmd.MarkFlagRequired("key")
	a.mustComplete(cmd, "key", fixed(kinds...))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if key == registry.UseHPKE || key == registry.UseSigning {
			return a.verb(func(ctx context.Context, c *client.Client, _ []string) error { return a.rotate(ctx, c, key, grace) })(cmd, args)
		}
		if cmd.Flags().Changed("grace") {
			return usage("--grace is for hpke and signing: a certificate is good until it expires, or `yitong member revoke` ends it")
		}
		return a.renew(key)
	}
	return cmd
}

func (a *app) rotate(ctx context.Context, c *client.Client, key string, grace time.Duration) error {
	seconds := int64(grace / time.Second)
	answer, err := c.Keys.Rotate(ctx, &yitongv1.RotateKeyRequest{Use: key, GraceSeconds: &seconds})
	if err != nil {
		return err
	}
	if a.screen.JSON {
		return a.screen.Document(answer)
	}
	_, err = fmt.Fprintf(a.Out, "%s key %s is in force; %s is good until %s%s\n", key, answer.GetAfter().GetId(),
		answer.GetBefore().GetId(), screen.Time(answer.GetBefore().GetUntil()), committed(answer.GetCommit()))
	return err
}

// renew renews a certificate in the directory.
func (a *app) renew(key string) error {
	_, m, err := a.ownMember()
	if err != nil {
		return err
	}
	old, err := m.Renew(key)
	if err != nil {
		return err
	}
	var serials []string
	for _, raw := range old {
		cert, err := authority.ParseCert(raw)
		if err != nil {
			return err
		}
		serials = append(serials, cert.SerialNumber.Text(16))
	}
	if a.screen.JSON {
		return a.screen.Object(map[string]any{"key": key, "member": m.Name, "before": serials})
	}
	_, err = fmt.Fprintf(a.Out, "%s of %s has a new key and certificate; whoever uses it takes it up by itself.\n"+
		"The old one (serial %s) is good until it expires; end it with `yitong member revoke --serial %s`\n",
		key, m.Name, strings.Join(serials, ", "), strings.Join(serials, ","))
	return err
}

func (a *app) memberRevoke() *cobra.Command {
	var file string
	var serials []string
	var inUse bool
	cmd := &cobra.Command{
		Use: "revoke", Short: "Revoke certificates of the member, so that the network refuses them",
		Long: "Revoke certificates of the member. Its authorities list them (a CRL, RFC 5280): the list of the\n" +
			"enrolment authority goes into the channel's configuration, and from that block on every peer and\n" +
			"ordering node refuses what is signed under them; the list of the TLS authority goes to the\n" +
			"gateways' trust folders, and they refuse them at once. The same command again completes what was\n" +
			"cut off. A revocation is for ever.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&file, "cert", "", "PEM file of the certificate")
	cmd.Flags().StringSliceVar(&serials, "serial", nil, "serial numbers, hexadecimal, as yitong member keys shows them")
	cmd.Flags().BoolVar(&inUse, "in-use", false, "revoke what the member's own daemons use, too: it stops them")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		numbers, err := serialsOf(file, serials)
		if err != nil {
			return err
		}
		t, m, err := a.ownMember()
		if err != nil {
			return err
		}
		ctx, cancel := a.limited(cmd.Context())
		defer cancel()
		err = m.Revoke(ctx, t, inUse, numbers...)
		var used *fabric.CertificateInUse
		if errors.As(err, &used) {
			return &failure{exit: exitDenied, code: "certificate-in-use", err: err,
				allowed: "revoking it once it is replaced", next: "`yitong member rotate --key …` first, then revoke the old serial number; or --in-use, which stops what uses it"}
		}
		if err != nil {
			return &failure{exit: exitFailure, err: err, next: "the member's list is kept; the same command again publishes it"}
		}
		var texts []string
		for _, n := range numbers {
			texts = append(texts, n.Text(16))
		}
		if a.screen.JSON {
			return a.screen.Object(map[string]any{"member": m.Name, "revoked": texts})
		}
		_, err = fmt.Fprintf(a.Out, "revoked %s: the channel's configuration lists it, and the gateways refuse it\n", strings.Join(texts, ", "))
		return err
	}
	return cmd
}

func serialsOf(file string, serials []string) (numbers []*big.Int, err error) {
	if (file == "") == (len(serials) == 0) {
		return nil, usage("name a certificate: --cert FILE or --serial N")
	}
	for _, s := range serials {
		n, ok := new(big.Int).SetString(strings.ReplaceAll(s, ":", ""), 16)
		if !ok || n.Sign() <= 0 || n.BitLen() > 160 {
			return nil, usage("%q is no serial number: up to 40 hexadecimal digits", s)
		}
		numbers = append(numbers, n)
	}
	if file == "" {
		return numbers, nil
	}
	raw, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, usage("--cert: %v", err)
	}
	cert, err := authority.ParseCert(raw)
	if err != nil {
		return nil, usage("--cert %s: %v", file, err)
	}
	return []*big.Int{cert.SerialNumber}, nil
}
