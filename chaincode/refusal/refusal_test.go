package refusal_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"yitong/chaincode/refusal"
)

func TestParseFindsTheRefusalInWhatFabricMakesOfIt(t *testing.T) {
	want := refusal.New(refusal.KindNotAllowed, `an insurer can't anchor "records" {or so}`, "a hospital anchors its own records")
	for _, c := range []struct{ name, text string }{
		{"as it is", want.Error()},
		{"in a chaincode response", "chaincode response 500, " + want.Error()},
		{"in an endorsement failure of the gateway service", "rpc error: code = Aborted desc = failed to endorse transaction, see attached details for more info: [peer0.hospital-a:7051] chaincode response 500, " + want.Error()},
		{"before more text", "failed to evaluate transaction: " + want.Error() + ", address: 127.0.0.1:7051, mspId: InsurerMSP"},
		{"after other documents and lone braces", `map[{] {"peer":"a"} {} {"code":42} { ` + want.Error() + "}"},
		{"twice, from two endorsers", "a: " + want.Error() + "; b: " + want.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := refusal.Parse(c.text)
			if !ok {
				t.Fatal("not found")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseFindsNoneWhereThereIsNone(t *testing.T) {
	for _, text := range []string{
		"", "{", "}{", "connection refused", `{"message":"no code"}`, `{"code":""}`, `{"code":"x"`, `{"code":"Not Kebab","message":"m"}`,
		`{"code":"malformed"}`, `{"code":"malformed","message":"m","extra":1}`,
		strings.Repeat("{", 100_000),
	} {
		if r, ok := refusal.Parse(text); ok {
			t.Errorf("found %v in %.60q", r, text)
		}
	}
}

func TestRefusalIsKnownByItsCode(t *testing.T) {
	err := fmt.Errorf("anchoring: %w", refusal.New(refusal.Exists, "taken", ""))
	if !errors.Is(err, refusal.New(refusal.Exists, "", "")) {
		t.Error("not known by its code")
	}
	if errors.Is(err, refusal.New(refusal.NotFound, "", "")) {
		t.Error("taken for another code")
	}
	var r *refusal.Refusal
	if !errors.As(err, &r) || r.Message != "taken" {
		t.Error("can't be unwrapped")
	}
}

func TestParseFindsEveryRefusalWhateverItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := refusal.New(
			refusal.Code(rapid.StringMatching(`[a-z]+(-[a-z]+)*`).Draw(t, "code")),
			strings.ToValidUTF8(rapid.StringN(1, 80, -1).Draw(t, "message"), "?"),
			strings.ToValidUTF8(rapid.String().Draw(t, "allowed"), "?"))
		before := rapid.StringMatching(`[a-z{}":, ]*`).Draw(t, "before")
		after := rapid.String().Draw(t, "after")
		got, ok := refusal.Parse(before + " : " + want.Error() + after)
		if !ok || *got != *want {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add("chaincode response 500, " + refusal.New(refusal.Expired, "over", "ask again").Error())
	f.Add(`{"code":{"code":"a-b","message":"m"}}`)
	f.Fuzz(func(t *testing.T, s string) {
		if r, ok := refusal.Parse(s); ok {
			again, ok := refusal.Parse(r.Error())
			if !ok || *again != *r {
				t.Fatalf("%v read back is %v", r, again)
			}
		}
	})
}
