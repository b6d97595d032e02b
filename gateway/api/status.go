package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
	"yitong/gateway/share"
)

// ErrorDomain is the ErrorInfo domain of every refusal (google.rpc.ErrorInfo).
const ErrorDomain = "yitong"

// codeOf says which gRPC code stands for a refusal's code; what isn't listed is
// FAILED_PRECONDITION: the state of the ledger refused, a retry won't help.
var codeOf = map[refusal.Code]codes.Code{
	refusal.Malformed:       codes.InvalidArgument,
	refusal.TooLarge:        codes.ResourceExhausted,
	refusal.NotFound:        codes.NotFound,
	refusal.Exists:          codes.AlreadyExists,
	KeyReused:               codes.AlreadyExists,
	refusal.NotCustodian:    codes.PermissionDenied,
	refusal.NotRequester:    codes.PermissionDenied,
	refusal.KindNotAllowed:  codes.PermissionDenied,
	refusal.MemberUnknown:   codes.PermissionDenied,
	refusal.MemberSuspended: codes.PermissionDenied,
	refusal.NotPermitted:    codes.PermissionDenied,
}

// statusOf turns an error of a use case into the gRPC status a client sees.
func statusOf(err error) error {
	if err == nil {
		return nil
	}
	var refused *refusal.Refusal
	var unknown *ledger.Unknown
	var over *share.Exceeded
	switch {
	case errors.As(err, &over):
		return overStatus(over)
	case errors.As(err, &refused):
		return refusedStatus(refused)
	case errors.As(err, &unknown):
		return status.Error(codes.Unavailable, err.Error()+": repeat the call with the same id, it completes once")
	case errors.Is(err, ledger.ErrUnavailable), errors.Is(err, share.ErrUnavailable):
		return status.Error(codes.Unavailable, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	}
	if s, ok := status.FromError(err); ok {
		return s.Err()
	}
	return status.Error(codes.Internal, err.Error())
}

func refusedStatus(r *refusal.Refusal) error {
	code, ok := codeOf[r.Code]
	if !ok {
		code = codes.FailedPrecondition
	}
	s, err := status.New(code, r.Message).WithDetails(&errdetails.ErrorInfo{
		Reason: string(r.Code), Domain: ErrorDomain, Metadata: map[string]string{"allowed": r.Allowed},
	})
	if err != nil {
		return status.Error(code, r.Message)
	}
	return s.Err()
}

// overStatus says when the same can be asked again, beside why it is refused now.
func overStatus(over *share.Exceeded) error {
	s, err := status.New(codes.ResourceExhausted, over.Message).WithDetails(
		&errdetails.ErrorInfo{Reason: string(over.Code), Domain: ErrorDomain, Metadata: map[string]string{"allowed": over.Allowed}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(over.Retry)},
	)
	if err != nil {
		return status.Error(codes.ResourceExhausted, over.Message)
	}
	return s.Err()
}

// retryOf finds after how long a status from a gateway says to ask again.
func retryOf(err error) (time.Duration, bool) {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// RefusalOf finds the refusal that a status from a gateway carries.
func RefusalOf(err error) (*refusal.Refusal, bool) {
	s, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == ErrorDomain {
			return refusal.New(refusal.Code(info.GetReason()), s.Message(), info.GetMetadata()["allowed"]), true
		}
	}
	return nil, false
}
