package api_test

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/identity"
	"yitong/gateway/identity/scope"
	"yitong/gateway/ledger"
	"yitong/gateway/outbox"
	"yitong/gateway/share"
)

// Whoever adds a method says whether it writes: one that does is recorded in the outbox, or
// says why a repeat of it is harmless (methods in once.go).
func TestEveryMethodSaysWhetherItWrites(t *testing.T) {
	listed := slices.Collect(maps.Keys(api.Methods))
	for _, method := range everyMethod() {
		name := strings.Replace(strings.TrimPrefix(method, "/yitong.v1."), "/", ".", 1)
		how, ok := api.Methods[name]
		if !ok {
			t.Errorf("%s is in no table: add it to `methods` in gateway/api/once.go (reads, recorded, waits, or unaccompanied with a reason)", name)
		}
		if how != "" && how != "reads" && how != "recorded" && how != "waits" && len(how) < len("unaccompanied: because") {
			t.Errorf("%s doesn't say why it isn't recorded", name)
		}
		listed = slices.DeleteFunc(listed, func(l string) bool { return l == name })
	}
	if len(listed) > 0 {
		t.Errorf("the API has no %v", listed)
	}
}

// registered says what is left of a service.
type registered struct {
	bearers
	still func(identity.Bearer) (identity.Bearer, error)
}

func (r registered) Still(b identity.Bearer) (identity.Bearer, error) { return r.still(b) }

// What a service asked for is carried on as far as the service may still ask for it, unless the
// ledger has it.
func TestACallIsCarriedOnAsItsServiceMayCallNow(t *testing.T) {
	o, err := outbox.New(t.Context(), outbox.Config{URL: "sqlite:" + filepath.Join(t.TempDir(), "outbox.db"), Secret: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	const letIn = "malformed" // the request is empty, and whoever is let in is told so
	asked := func(b identity.Bearer) (identity.Bearer, error) { return b, nil }
	for name, c := range map[string]struct {
		still func(identity.Bearer) (identity.Bearer, error)
		on    bool   // the ledger
		ends  string // what it ends with
	}{
		"as it was (the control)": {still: asked, ends: letIn},
		"taken off the list": {ends: codes.Unauthenticated.String(), still: func(identity.Bearer) (identity.Bearer, error) {
			return identity.Bearer{}, &identity.Refusal{Reason: "gone"}
		}},
		"given less": {ends: codes.PermissionDenied.String(), still: func(b identity.Bearer) (identity.Bearer, error) {
			b.Scopes = []scope.Scope{{Resource: "Task", Letters: "r"}}
			return b, nil
		}},
		"given less since the ledger has it": {on: true, ends: letIn, still: func(b identity.Bearer) (identity.Bearer, error) {
			b.Scopes = nil
			return b, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			carry := api.Carrier(api.Config{
				Gateway: &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Name: "own", Kind: registry.Insurer}}},
				Tokens:  registered{everyBearer(), c.still}, Outbox: o, Log: slog.New(slog.DiscardHandler),
			}, func(context.Context, string) bool { return c.on })
			out := carry(t.Context(), outbox.Entry{
				Number: enter(t, o), Method: yitongv1.Accesses_Request_FullMethodName,
				Caller: outbox.Caller{Member: "OwnMSP", User: "engine", Role: "service", Details: []byte(`{"service":"engine","scopes":["system/Task.crs"]}`)},
			})
			if out.Code != c.ends || !out.Final {
				t.Errorf("it ends with %s, final %v; want %s", out.Code, out.Final, c.ends)
			}
		})
	}
}

// enter enters a write of which a transaction was handed over.
func enter(t *testing.T, o *outbox.Outbox) (number int64) {
	t.Helper()
	key := outbox.Random()
	_, _, err := o.Carry(t.Context(), outbox.Call{Caller: outbox.Caller{Member: "OwnMSP"}, Method: "/m", Key: key}, func(ctx context.Context, e outbox.Entry) outbox.Outcome {
		number = e.Number
		if err := o.Keep(ctx, ledger.Kept{TxID: key, Function: "f", Signed: []byte("s")}); err != nil {
			t.Error(err)
		}
		return outbox.Outcome{Code: "Unavailable", Err: context.DeadlineExceeded}
	})
	if err != nil {
		t.Fatal(err)
	}
	return number
}
