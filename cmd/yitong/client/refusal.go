package client

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
)

// Refusal finds the refusal by a rule that an error of a gateway carries.
func Refusal(err error) (*refusal.Refusal, bool) {
	s, ok := status.FromError(err)
	if !ok {
		return nil, false
	}
	for _, d := range s.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == "yitong" {
			return refusal.New(refusal.Code(info.GetReason()), s.Message(), info.GetMetadata()["allowed"]), true
		}
	}
	return nil, false
}
