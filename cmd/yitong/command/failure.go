package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"yitong/cmd/yitong/client"
)

// The exit codes. Scripts branch on them, so none ever changes its meaning.
const (
	exitFailure     = 1
	exitUsage       = 2
	exitDenied      = 3
	exitNotFound    = 4
	exitUnavailable = 5
	exitInterrupted = 130
)

func exitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes:

    0  done
    1  failed; the message says why
    2  called wrongly: a flag, an argument or an input file can't be used
    3  denied or refused: by a consent, by the ledger's rules or by a gateway
    4  not found
    5  unavailable, or the outcome is unknown; the same command with the same
       --id is safe to repeat and completes once
  130  interrupted (Ctrl-C); a second Ctrl-C doesn't wait

A refusal names its code, what was refused and what would be allowed instead.
With --json it is one document on standard error:
  {"error":{"exit":3,"code":"kind-not-allowed","message":"…","allowed":"…","next":"…"}}`,
	}
}

// failure is an error that knows its exit code and what to do next.
type failure struct {
	exit int
	code string // of a refusal
	err  error
	// allowed is what would be allowed instead, next what to do now.
	allowed, next string
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func usage(format string, args ...any) error {
	return &failure{exit: exitUsage, err: fmt.Errorf(format, args...)}
}

// finish tells of an error and returns the exit code.
func (a *app) finish(ctx context.Context, err error) int {
	if err == nil || errors.Is(err, ended{}) {
		return 0
	}
	f := a.failureOf(ctx, err)
	if a.screen.JSON {
		a.tell(f)
		return f.exit
	}
	if f.code != "" {
		a.screen.Say("yitong: refused (%s): %v", f.code, f.err)
	} else {
		a.screen.Say("yitong: %v", f.err)
	}
	if f.allowed != "" {
		a.screen.Say("  allowed: %s", f.allowed)
	}
	if f.next != "" {
		a.screen.Say("  next: %s", f.next)
	}
	return f.exit
}

func (a *app) failureOf(ctx context.Context, err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f) && f.exit == exitInterrupted:
	case ctx.Err() != nil:
		f = &failure{exit: exitInterrupted, err: errors.New("interrupted"), next: "nothing is lost; the same command can be run again"}
		if a.id != "" {
			f.next = a.repeat()
		}
	case errors.As(err, &f):
	case errors.Is(err, client.ErrSessionOver) || strings.Contains(err.Error(), client.ErrSessionOver.Error()):
		f = &failure{exit: exitDenied, err: client.ErrSessionOver, next: "sign in again with `yitong login`, or be the member's own software with `yitong logout`"}
	case !a.began:
		f = &failure{exit: exitUsage, err: err}
	default:
		f = a.answered(err)
	}
	if f.next == "" && f.exit == exitUsage {
		f.next = "`yitong help` and --help after any command show what it takes"
	}
	if f.next == "" {
		f.next = "the message says what is wrong; `yitong status` shows whether the gateways are well"
	}
	return f
}

// answered reads what a gateway answered.
func (a *app) answered(err error) *failure {
	s, ok := client.Status(err)
	if !ok {
		if errors.Is(err, context.DeadlineExceeded) {
			return &failure{exit: exitUnavailable, err: err, next: a.repeat()}
		}
		return &failure{exit: exitFailure, err: err}
	}
	f := &failure{exit: exitFailure, err: errors.New(s.Message())}
	if r, ok := client.Refusal(err); ok {
		f.code, f.allowed = string(r.Code), r.Allowed
		f.next = "nothing was changed; do what is allowed, or ask the member that can"
	}
	switch s.Code() {
	case codes.InvalidArgument:
		f.exit = exitUsage
	case codes.NotFound:
		f.exit = exitNotFound
		f.next = "check the id and the member with the list verb of the same noun"
	case codes.PermissionDenied, codes.FailedPrecondition, codes.AlreadyExists, codes.Unauthenticated, codes.ResourceExhausted, codes.OutOfRange:
		f.exit = exitDenied
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted:
		f.exit = exitUnavailable
		if s.Code() == codes.DeadlineExceeded || s.Code() == codes.Canceled { // ours, which the gateway keeps to, whoever says so first
			f.err = fmt.Errorf("no answer came in time (--timeout %s)", a.timeout)
		}
		if reason, ok := strings.CutPrefix(s.Message(), "connection error: "); ok {
			f.err = errors.New("the gateway can't be reached: " + reason)
		}
		f.next = a.repeat()
	case codes.Unknown, codes.Internal:
		f.next = "the gateway's log says more"
	}
	return f
}

// repeat says how to go on after an unknown outcome.
func (a *app) repeat() string {
	if a.id == "" {
		return "check that the consortium runs (`yitong up`) and repeat the command; that is safe"
	}
	return fmt.Sprintf("check that the consortium runs (`yitong up`) and repeat the command with --id %s: it completes once", a.id)
}

// tell writes a failure for programs.
func (a *app) tell(f *failure) {
	type told struct {
		Exit    int    `json:"exit"`
		Code    string `json:"code,omitempty"`
		Message string `json:"message"`
		Allowed string `json:"allowed,omitempty"`
		Next    string `json:"next,omitempty"`
	}
	line := struct {
		Error told `json:"error"`
	}{told{f.exit, f.code, f.err.Error(), f.allowed, f.next}}
	errs := *a.screen
	errs.Out = a.screen.Err
	_ = errs.Object(line) // nobody is left to be told
}
