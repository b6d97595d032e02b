package ledger

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
)

// What a Fabric peer's gateway service says of an endorsement or evaluation that
// failed, and where. Source: fabric v3.1 internal/pkg/gateway/{endorse,evaluate,apiutils}.go.
const (
	saidByChaincode = "chaincode response "       // begins the detail if the chaincode itself answered so
	notEnough       = "failed to collect enough " // the first endorser agreed, others didn't
	wrongTime       = "incorrect timestamp"       // the peer's own window around its clock, before any chaincode
	notAllowed      = "access denied"             // the peer's access control
	maxDetail       = 400                         // bytes of one endorser's message kept for the error
)

// disagreement is an endorsement that some gave and others didn't: they lag behind
// one another, or one of them lies. It passes, or it doesn't.
type disagreement struct{ err error }

func (d *disagreement) Error() string { return "endorsers disagree: " + d.err.Error() }
func (d *disagreement) Unwrap() error { return d.err }

// endorseError says what a failed endorsement means: *Refused, *disagreement,
// ErrUnavailable (the next peer may do), or an error that stays. named is true if
// the caller chose the endorsers; then each of them was asked and a no is a no.
func endorseError(err error, txID string, named bool) error {
	s := status.Convert(err)
	partly := strings.HasPrefix(s.Message(), notEnough) && !named
	no := refused(s, txID)
	switch {
	case no != nil && partly:
		return &disagreement{no}
	case no != nil:
		return no
	case partly:
		return &disagreement{fmt.Errorf("%w: %s", ErrUnavailable, explain(s))}
	case turnedDown(s):
		return fmt.Errorf("turned down: %s", explain(s))
	case elsewhere(s.Code()):
		return fmt.Errorf("%w: %s", ErrUnavailable, explain(s))
	}
	return errors.New(explain(s))
}

// evaluateError is endorseError for evaluations, which one endorser answers.
func evaluateError(err error) error {
	s := status.Convert(err)
	if no := refused(s, ""); no != nil {
		return no
	}
	if turnedDown(s) {
		return fmt.Errorf("turned down: %s", explain(s))
	}
	if elsewhere(s.Code()) {
		return fmt.Errorf("%w: %s", ErrUnavailable, explain(s))
	}
	return errors.New(explain(s))
}

// elsewhere says whether another peer, or the same one later, may do better.
func elsewhere(c codes.Code) bool {
	switch c {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted, codes.Aborted, codes.FailedPrecondition:
		return true
	}
	return false
}

// refused finds the refusal that chaincode gave, in the endorsers' details first:
// the status' own message may be cut or wrapped by whoever relays it.
func refused(s *status.Status, txID string) error {
	for _, d := range details(s) {
		if r, ok := refusal.Parse(d.GetMessage()); ok {
			return &Refused{Refusal: r, TxID: txID}
		}
		if strings.Contains(d.GetMessage(), wrongTime) {
			return &Refused{Refusal: refusal.New(refusal.StaleClock, "the proposal's time is too far from the clock of the peer of "+d.GetMspId(), "a proposal made by a machine whose clock is right"), TxID: txID}
		}
	}
	if r, ok := refusal.Parse(s.Message()); ok {
		return &Refused{Refusal: r, TxID: txID}
	}
	return nil
}

// turnedDown says whether an endorser answered, and another would answer alike:
// chaincode without a refusal of ours, or a peer that knows the member and won't.
func turnedDown(s *status.Status) bool {
	for _, d := range details(s) {
		if strings.HasPrefix(d.GetMessage(), saidByChaincode) || strings.Contains(d.GetMessage(), notAllowed) {
			return true
		}
	}
	return false
}

func details(s *status.Status) []*gateway.ErrorDetail {
	var out []*gateway.ErrorDetail
	for _, d := range s.Details() {
		if d, ok := d.(*gateway.ErrorDetail); ok {
			out = append(out, d)
		}
	}
	return out
}

// explain is the status for a person: its message, then who said what.
func explain(s *status.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s)", cut(s.Message()), s.Code())
	for _, d := range details(s) {
		fmt.Fprintf(&b, "; %s at %s: %s", d.GetMspId(), d.GetAddress(), cut(d.GetMessage()))
	}
	return b.String()
}

func cut(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	return strings.ToValidUTF8(s[:maxDetail], "") + "…"
}
