package screen

import (
	"fmt"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Events shows the ledger's events one by one as they come: rows of fixed width,
// since a table can't be aligned before its end is known.
func (s *Screen) Events() func(*yitongv1.Event) error {
	const row = "%6s  %-12s  %-20s  %-12s  %-18s  %s\n"
	begun := false
	return func(e *yitongv1.Event) error {
		if s.JSON {
			return s.Document(e)
		}
		if !begun {
			begun = true
			if _, err := fmt.Fprintf(s.Out, s.heading(row), "BLOCK", "TRANSACTION", "TIME (CLAIMED)", "MEMBER", "FUNCTION", "WHAT"); err != nil {
				return err
			}
		}
		what := e.GetSummary()
		if e.GetValidation() != "VALID" {
			what = "[" + e.GetValidation() + ", without effect] " + what
		}
		_, err := fmt.Fprintf(s.Out, row, fmt.Sprint(e.GetBlock()), Short(e.GetTransactionId()), Time(e.GetClaimedTime()),
			clean(e.GetMember()), clean(Or(e.GetFunction(), "-")), clean(what))
		return err
	}
}
