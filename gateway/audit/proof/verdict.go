package proof

import (
	"errors"
	"io"

	"yitong/gateway/audit/replay"
)

// Verdict is what somebody is told who hands a file in: the same from the command and from
// the browser page.
type Verdict struct {
	Holds  bool    `json:"holds"`
	Result *Result `json:"result,omitempty"` // what it shows, if it holds
	// Check is what failed: one of the replay's, or Form for a file that is no whole proof;
	// empty if the check itself couldn't be done.
	Check   replay.Check `json:"check,omitempty"`
	Finding string       `json:"finding,omitempty"` // for a person
}

// Form is the check that a file is a proof at all (ErrFormat).
const Form replay.Check = "form"

// Judge verifies a file and puts what is found into a document.
func Judge(r io.Reader, genesis [32]byte) Verdict {
	result, err := Verify(r, genesis)
	if err == nil {
		return Verdict{Holds: true, Result: result}
	}
	v := Verdict{Finding: err.Error()}
	var d replay.Divergence
	switch {
	case errors.As(err, &d):
		v.Check = d.Check
	case errors.Is(err, ErrFormat):
		v.Check = Form
	}
	return v
}
