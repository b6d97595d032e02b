package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/chaincode/registry"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/identity/scope"
	"yitong/gateway/policy"
)

// policy are the verbs about who may do what at a gateway. They reach nobody: what
// they need is the file.
func (a *app) policy() *cobra.Command {
	return noun("policy", "Who of a member's people may do what at its gateway", a.policyShow(), a.policyTest(), a.policyWhy())
}

func (a *app) policyShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Print the policy that a gateway has by default",
		Long: "Print the policy that a gateway has by default, to start your own from. It is written in Cedar\n" +
			"(https://docs.cedarpolicy.com): change it, and name it as `policy` in the gateway's configuration.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.Out.Write(policy.DefaultText())
			return err
		},
	}
}

func (a *app) policyTest() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "test CASES", Short: "Run a member's own cases against a policy",
		Long: `Run a member's own cases against a policy. CASES is a YAML list:

  - {name: a claims handler asks for a claim, kind: insurer, role: claims-handler,
     method: Accesses.Request, purpose: CLMATTCH, allow: true}
  - {name: an operator opens nothing, kind: hospital, role: operator,
     method: Accesses.Open, allow: false}

A case may also have user, member and classes (a list). The exit code is 0 if the
policy answers every case as expected, and 1 if it doesn't.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&file, "policy", "", "policy file (default: the one that gateways have by default)")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		rules, err := policyIn(file)
		if err != nil {
			return err
		}
		in, err := os.Open(args[0])
		if err != nil {
			return usage("the cases can't be read: %w", err)
		}
		defer in.Close()
		cases, err := policy.ReadCases(in)
		if err != nil {
			return usage("%s can't be used: %w", args[0], err)
		}
		return a.showResults(rules.Run(cases))
	}
	return cmd
}

func (a *app) showResults(results []policy.Result) error {
	failed := 0
	for _, r := range results {
		if !r.Passed() {
			failed++
		}
		switch {
		case a.screen.JSON:
			if err := a.screen.Object(map[string]any{"name": r.Name, "passed": r.Passed(), "allowed": r.Answer.Allowed, "why": r.Why()}); err != nil {
				return err
			}
		case !r.Passed():
			fmt.Fprintf(a.Out, "FAILED  %s\n        %s\n", r.Name, r.Why())
		default:
			fmt.Fprintf(a.Out, "ok      %s\n", r.Name)
		}
	}
	if failed > 0 {
		return &failure{exit: exitFailure, err: fmt.Errorf("%d of %d cases failed", failed, len(results)), next: "change the policy, or what the cases expect"}
	}
	a.screen.Say("all %d cases passed", len(results))
	return nil
}

func (a *app) policyWhy() *cobra.Command {
	var file, kind, token string
	var q policy.Question
	cmd := &cobra.Command{
		Use: "why METHOD", Short: "Explain what a policy says of one call",
		Long: "Explain what a policy says of one call, and which rule in which line says so. METHOD is of the\n" +
			"gateway's API: Records.Submit, Accesses.Open, …  The exit code is 0 if the call is allowed and 3\n" +
			"if it isn't.\n\n" +
			"With --kind it is about somebody described by flags, and a policy file. Without, the gateway of the\n" +
			"member named by --as explains its own policy for whoever calls: the person of --user, of yitong\n" +
			"login, or of the token in --token FILE (- for standard input).",
		Example: "  yitong policy why --kind insurer --role claims-handler --purpose CLMATTCH Accesses.Request\n" +
			"  yitong policy why --as hospital-a --user clinician Records.Submit",
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	f.StringVar(&file, "policy", "", "policy file (default: the one that gateways have by default)")
	f.StringVar(&kind, "kind", "", "of the member: hospital, insurer or regulator (default: ask the gateway)")
	f.StringVar(&token, "token", "", "file with the token of whom it is about; - for standard input")
	f.StringSliceVar(&q.Scopes, "scope", nil, "of the token of a service (--role service): system/Consent.rs, …")
	f.StringVar(&q.Role, "role", "", "of the person (default: software)")
	f.StringVar(&q.Purpose, "purpose", "", "that the call names, an HL7 v3 PurposeOfUse code")
	f.StringSliceVar(&q.Classes, "class", nil, "data classes that the call names")
	a.mustComplete(cmd, "kind", cobra.FixedCompletions([]string{"hospital", "insurer", "regulator"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		q.Method, q.Kind, q.User = args[0], registry.Kind(kind), a.user
		if kind == "" {
			for _, name := range []string{"policy", "role", "scope"} {
				if cmd.Flags().Changed(name) {
					return usage("--%s describes somebody: say of which kind of member with --kind, or leave it out to ask the gateway of --as", name)
				}
			}
			return a.askWhy(cmd.Context(), token, &yitongv1.WhyRequest{Method: q.Method, Purpose: q.Purpose, Classes: q.Classes})
		}
		problems := q.Check()
		for _, one := range q.Scopes {
			if _, err := scope.Parse(one); err != nil {
				problems = append(problems, err)
			}
		}
		if len(problems) > 0 {
			return usage("%w", errors.Join(problems...))
		}
		rules, err := policyIn(file)
		if err != nil {
			return err
		}
		answer := rules.Decide(q)
		if a.screen.JSON {
			if err := a.screen.Object(map[string]any{"allowed": answer.Allowed, "why": answer.Why()}); err != nil {
				return err
			}
		} else {
			fmt.Fprintln(a.Out, answer.Why())
		}
		if !answer.Allowed {
			return &failure{exit: exitDenied, err: errors.New("the policy doesn't allow this call"), next: "`yitong policy show` prints the rules"}
		}
		return nil
	}
	return cmd
}

// askWhy has a gateway explain its own policy for whoever calls.
func (a *app) askWhy(ctx context.Context, tokenFile string, asked *yitongv1.WhyRequest) error {
	p, err := a.profile()
	if err != nil {
		return err
	}
	if tokenFile != "" {
		text, err := a.readInput(tokenFile)
		if err != nil {
			return err
		}
		// What a gateway doesn't take is refused by it; here it is only passed on.
		p.Session = &client.Session{Token: strings.TrimSpace(string(text)), Expires: a.Now().Add(time.Hour)}
	}
	c, err := a.dial(p)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := a.limited(ctx)
	defer cancel()
	answer, err := c.Callers.Why(ctx, asked)
	if err != nil {
		return err
	}
	if a.screen.JSON {
		if err := a.screen.Document(answer); err != nil {
			return err
		}
	} else {
		for _, e := range answer.GetExplanations() {
			fmt.Fprintf(a.Out, "%s: %s\n", strings.TrimSpace(e.GetRole()+" "+e.GetUser()), e.GetWhy())
		}
	}
	if !answer.GetAllowed() {
		return &failure{exit: exitDenied, err: errors.New("the policy doesn't allow this call"), next: "ask whoever keeps the policy of this gateway"}
	}
	return nil
}

// policyIn reads a policy file; "" is the default policy.
func policyIn(file string) (*policy.Policies, error) {
	if file == "" {
		return policy.Default(), nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, usage("the policy can't be read: %w", err)
	}
	rules, err := policy.Parse(filepath.Base(file), text)
	if err != nil {
		return nil, usage("%w", err)
	}
	return rules, nil
}
