package access_test

import (
	"errors"
	"strings"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
)

func TestAHandleNamesItsEpochInOneSpelling(t *testing.T) {
	pseudonym := strings.Repeat("0f", 32)
	for _, c := range []struct {
		name, handle string
		epoch        int
	}{
		{"the first epoch", "1-" + pseudonym, 1},
		{"a later one", "1234-" + pseudonym, 1234},
		{"the last one", access.Handle(access.MaxEpoch, pseudonym), access.MaxEpoch},
		{"one too late", access.Handle(access.MaxEpoch+1, pseudonym), 0},
		{"no epoch at all", pseudonym, 0},
		{"an empty epoch", "-" + pseudonym, 0},
		{"epoch zero", "0-" + pseudonym, 0},
		{"a leading zero", "01-" + pseudonym, 0},
		{"a sign", "+1-" + pseudonym, 0},
		{"a negative epoch", "-1-" + pseudonym, 0},
		{"other digits", "１-" + pseudonym, 0},
		{"an endless epoch", strings.Repeat("9", 1000) + "-" + pseudonym, 0},
		{"capitals", "1-" + strings.ToUpper(pseudonym), 0},
		{"a pseudonym too short", "1-" + pseudonym[1:], 0},
		{"a pseudonym too long", "1-" + pseudonym + "0", 0},
		{"two hyphens", "1--" + pseudonym[1:], 0},
		{"a separator of state keys", "1-" + pseudonym[1:] + "\x00", 0},
		{"nothing", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := access.CheckHandle(c.handle)
			if (err == nil) != (c.epoch != 0) || err != nil && !errors.Is(err, &refusal.Refusal{Code: refusal.Malformed}) {
				t.Errorf("CheckHandle(%q) = %v", c.handle, err)
			}
			if got := access.Epoch(c.handle); got != c.epoch {
				t.Errorf("Epoch(%q) = %d, want %d", c.handle, got, c.epoch)
			}
		})
	}
}
