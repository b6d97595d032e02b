package command

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// signInTime is how long a person may take in the browser.
const signInTime = 10 * time.Minute

// comeBack is where the browser comes back to, on a port of the moment.
const comeBack = "/callback"

func (a *app) login() *cobra.Command {
	var at client.Login
	var noBrowser, device bool
	cmd := &cobra.Command{
		Use: "login", Short: "Sign in as a person of a member, at its OpenID provider",
		Long: `Sign in as a person of a member, at its OpenID provider (authorization code with PKCE). The
address to open is printed, and opened where there is a browser. From then on the other commands
act for this person, beside the certificate of the member's software, until yitong logout; what the
person may do is said by the member's policy. --user goes before it.

With yitong up every member has a provider for trying; its names and passwords are in
members/MEMBER/provider/people.yaml of the directory.`,
		Example: "  yitong login --as hospital-a\n  yitong login --as hospital-a --issuer https://login.hospital-a.example --client yitong",
		Args:    cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&at.Issuer, "issuer", "", "the provider (default: the one in the member's profile)")
	f.StringVar(&at.Client, "client", "", "client id there (default: the one in the member's profile)")
	f.BoolVar(&noBrowser, "no-browser", false, "only print the address")
	f.BoolVar(&device, "device", false, "sign in with a code, in a browser on another machine")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := a.profile()
		if err != nil {
			return err
		}
		if at.Issuer == "" && p.Login != nil {
			at.Issuer = p.Login.Issuer
		}
		if at.Client == "" && p.Login != nil {
			at.Client = p.Login.Client
		}
		if at.Issuer == "" || at.Client == "" {
			return usage("it isn't known where the people of %s sign in: name --issuer and --client, or put them into the member's client.yaml (login)", p.Member)
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), signInTime)
		defer cancel()
		if device {
			err = a.signInDevice(ctx, at, p)
		} else {
			err = a.signIn(ctx, at, p, noBrowser)
		}
		if err != nil {
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return &failure{exit: exitUnavailable, err: errors.New("nobody signed in within ten minutes"), next: "the same command begins again"}
			}
			return err
		}
		return a.showCaller(cmd.Context())
	}
	return cmd
}

// signIn has somebody sign in with a browser, and keeps the session.
func (a *app) signIn(ctx context.Context, at client.Login, p client.Profile, noBrowser bool) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("waiting for the browser: %w", err)
	}
	begun, err := at.Begin(ctx, "http://"+listener.Addr().String()+comeBack)
	if err != nil {
		listener.Close()
		return &failure{exit: exitUnavailable, err: err, next: "check that the provider runs (with `yitong up` it does), and its address"}
	}
	type end struct {
		brought url.Values
		tell    chan string
	}
	came := make(chan end)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(out http.ResponseWriter, in *http.Request) {
		out.Header().Set("Content-Type", "text/plain; charset=utf-8")
		out.Header().Set("Cache-Control", "no-store")
		if in.URL.Path != comeBack || in.Method != http.MethodGet {
			http.NotFound(out, in)
			return
		}
		e := end{in.URL.Query(), make(chan string, 1)}
		select {
		case came <- e:
			fmt.Fprintln(out, <-e.tell)
		case <-ctx.Done():
		}
	})}
	go func() { _ = server.Serve(listener) }()
	defer func() {
		soon, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = server.Shutdown(soon)
	}()
	a.screen.Say("Sign in at %s in your browser:\n\n  %s\n", at.Issuer, begun.URL)
	if !noBrowser {
		browse(begun.URL)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-came:
			if _, err := begun.End(ctx, e.brought, a.dir, p.Member); err != nil {
				e.tell <- "That didn't work: the terminal says why."
				if e.brought.Get("code") == "" && e.brought.Get("error") == "" {
					continue // something else asked
				}
				return &failure{exit: exitDenied, err: err, next: "`yitong login` begins again"}
			}
			e.tell <- "You are signed in. This page can be closed."
			return nil
		}
	}
}

// signInDevice has somebody sign in with a browser anywhere, and keeps the session.
func (a *app) signInDevice(ctx context.Context, at client.Login, p client.Profile) error {
	begun, err := at.BeginDevice(ctx)
	if err != nil {
		return &failure{exit: exitUnavailable, err: err, next: "leave out --device, or check the provider and its address"}
	}
	a.screen.Say("Open %s and type the code %s there.", begun.URL, begun.Code)
	if _, err := begun.End(ctx, at.Issuer, a.dir, p.Member); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &failure{exit: exitDenied, err: err, next: "`yitong login` begins again"}
	}
	return nil
}

// browse opens an address where there is a browser. It is printed in any case.
func browse(address string) {
	program := map[string]string{"linux": "xdg-open", "darwin": "open", "windows": "explorer"}[runtime.GOOS]
	if program == "" {
		return
	}
	if cmd := exec.Command(program, address); cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}

func (a *app) logout() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Sign out: commands act as the member's own software again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			p, err := a.profile()
			if err != nil {
				return err
			}
			err = client.EndSession(cmd.Context(), a.dir, p.Member)
			if errors.Is(err, client.ErrNoSession) {
				a.screen.Say("nobody is signed in at %s", p.Member)
				return nil
			}
			if err == nil {
				a.screen.Say("signed out of %s", p.Member)
			}
			return err
		},
	}
}

func (a *app) whoami() *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show as whom a member's gateway sees us", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.showCaller(cmd.Context()) },
	}
}

// showCaller asks the gateway who we are.
func (a *app) showCaller(ctx context.Context) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := a.limited(ctx)
	defer cancel()
	me, err := c.Callers.Whoami(ctx, &yitongv1.WhoamiRequest{})
	if err != nil {
		return err
	}
	if a.screen.JSON {
		return a.screen.Document(me)
	}
	rows := [][]string{{"member", me.GetMember() + " (" + me.GetKind() + ", " + me.GetMspId() + ")"}, {"role", me.GetRole()}, {"shown", strings.Join(me.GetShown(), " and ")}}
	for _, more := range [][]string{{"person", me.GetUser()}, {"service", me.GetService()}, {"scopes", strings.Join(me.GetScopes(), " ")}, {"signed in at", me.GetIssuer()}} {
		if more[1] != "" {
			rows = append(rows, more)
		}
	}
	if at := me.GetExpires(); at != nil {
		rows = append(rows, []string{"token expires", at.AsTime().Local().Format(time.DateTime)})
	}
	return a.screen.Table([]string{"WHO", "IS"}, rows)
}

func (a *app) token() *cobra.Command {
	var scope string
	var signedIn bool
	cmd := &cobra.Command{
		Use: "token", Short: "Print a token of the member's backend service, for other programs",
		Long: `Print a token of the member's backend service, for other programs: it gets one of five minutes as
SMART Backend Services do (private_key_jwt), with the key that the member's client.yaml names
(service). With --signed-in it is the token of whoever signed in with yitong login.

A token is a secret: pass it on, don't keep it.`,
		Example: "  curl --cacert CA -H \"Authorization: Bearer $(yitong token --as hospital-a)\" https://127.0.0.1:7058/v1/whoami",
		Args:    cobra.NoArgs,
	}
	cmd.Flags().StringVar(&scope, "scope", "system/*.rs", "what the token is for, separated by spaces")
	cmd.Flags().BoolVar(&signedIn, "signed-in", false, "the token of whoever signed in")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		p, err := a.profile()
		if err != nil {
			return err
		}
		ctx, cancel := a.limited(cmd.Context())
		defer cancel()
		if signedIn {
			s, err := client.ReadSession(a.dir, p.Member)
			if errors.Is(err, client.ErrNoSession) {
				return &failure{exit: exitNotFound, err: err, next: "`yitong login` signs in"}
			}
			if err != nil {
				return err
			}
			text, err := s.Current(ctx)
			if err != nil {
				return err
			}
			return a.showToken(client.ServiceToken{Token: text, Seconds: int(time.Until(s.Expires).Seconds())})
		}
		given, err := p.GetToken(ctx, scope)
		if errors.Is(err, client.ErrNoService) {
			return &failure{exit: exitNotFound, err: err, next: "name it in the member's client.yaml (service: id, key, url)"}
		}
		if err != nil {
			return err
		}
		return a.showToken(given)
	}
	return cmd
}

func (a *app) showToken(t client.ServiceToken) error {
	if a.screen.JSON {
		return a.screen.Object(t)
	}
	_, err := fmt.Fprintln(a.Out, t.Token)
	return err
}
