package node

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"yitong/chaincode/refusal"
)

// Who takes a backup chooses among those whom the configuration lists, and nobody else.
func TestABackupIsForWhomTheConfigurationLists(t *testing.T) {
	var own []string
	for range 3 {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		own = append(own, id.Recipient().String())
	}
	a, b, other := own[0], own[1], own[2]
	listed := Backups{Recipients: []string{a, b}}
	for _, test := range []struct {
		name    string
		of      Backups
		asked   []string
		want    []string
		refused bool
	}{
		{name: "none is listed: the passphrase", of: Backups{}},
		{name: "none is listed, and one is named", of: Backups{}, asked: []string{a}, refused: true},
		{name: "all that are listed", of: listed, want: []string{a, b}},
		{name: "one of them", of: listed, asked: []string{b}, want: []string{b}},
		{name: "another", of: listed, asked: []string{other}, refused: true},
		{name: "one of them and another", of: listed, asked: []string{a, other}, refused: true},
		{name: "another behind one of them", of: listed, asked: []string{a + "\n" + other}, refused: true},
		{name: "nothing", of: listed, asked: []string{""}, refused: true},
		{name: "something else", of: listed, asked: []string{"ssh-ed25519 AAAA"}, refused: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.of.readers(test.asked)
			var r *refusal.Refusal
			if test.refused != (errors.As(err, &r) && r.Code == refusal.NotPermitted) || test.refused == (err == nil) {
				t.Fatalf("%v", err)
			}
			var names []string
			for _, one := range got {
				names = append(names, fmt.Sprint(one))
			}
			if !slices.Equal(names, test.want) {
				t.Errorf("it is for %q, want %q", names, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "age1") {
				t.Error("the refusal tells who is listed")
			}
		})
	}
	for _, test := range []struct {
		recipients []string
		want       string
	}{
		{[]string{a, b}, ""},
		{[]string{a, "age1nobody"}, "backup.recipients[1] is no age recipient"},
		{[]string{a + "\n" + b}, "backup.recipients[0] is no age recipient"},
		{[]string{""}, "backup.recipients[0] is no age recipient"},
		{slices.Repeat([]string{a}, 21), "backup.recipients are 21"},
	} {
		var problems []string
		Backups{Recipients: test.recipients}.check(func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) })
		if got := strings.Join(problems, "; "); (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
			t.Errorf("%d recipients: %q, want %q", len(test.recipients), got, test.want)
		}
	}
}
