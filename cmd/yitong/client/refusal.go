package client

import (
	"errors"

	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
	"yitong/gateway/api"
)

// Status is the gRPC status within an error of a gateway, as the gateway sent it.
func Status(err error) (*status.Status, bool) {
	var carrier interface{ GRPCStatus() *status.Status }
	if !errors.As(err, &carrier) {
		return nil, false
	}
	return carrier.GRPCStatus(), true
}

// Refusal finds the refusal by a rule that an error of a gateway carries.
func Refusal(err error) (*refusal.Refusal, bool) {
	s, ok := Status(err)
	if !ok {
		return nil, false
	}
	return api.RefusalOf(s.Err())
}
