package api

import (
	"cmp"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/access"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/projection"
	"yitong/gateway/share"
)

type auditing struct {
	yitongv1.UnimplementedAuditServer
	gateway    *share.Gateway
	chain      audit.Blocks
	channel    string
	chaincode  string
	projection *projection.Database
	history    history.History
	patience   time.Duration
	scratch    string
}

func newAuditing(c Config) auditing {
	return auditing{
		gateway: c.Gateway, chain: c.Chain, channel: c.Channel, chaincode: c.Chaincode,
		projection: c.Projection, history: history.History{Database: c.Projection}, patience: cmp.Or(c.Patience, patience), scratch: c.Scratch,
	}
}

func (s auditing) History(in *yitongv1.HistoryRequest, stream grpc.ServerStreamingServer[yitongv1.Event]) error {
	if in.GetHandle() != "" {
		if err := access.CheckHandle(in.GetHandle()); err != nil {
			return err
		}
	}
	for e, err := range audit.History(stream.Context(), s.chain, s.chaincode, in.GetFromBlock(), in.GetFollow()) {
		if err != nil {
			return err
		}
		if !e.Valid() && !in.GetIncludeInvalid() || in.GetHandle() != "" && !e.About(in.GetHandle()) {
			continue
		}
		if err := stream.Send(eventMessage(e)); err != nil {
			return err
		}
	}
	return nil
}

func eventMessage(e audit.Event) *yitongv1.Event {
	out := &yitongv1.Event{
		Block: e.Block, TransactionIndex: int32(e.Index), TransactionId: e.Transaction, ClaimedTime: timestamppb.New(e.Claimed),
		Member: e.Member, Endorsers: e.Endorsers, Function: e.Function, Validation: e.Validation, Summary: e.Summary, Argument: e.Argument,
	}
	for _, w := range e.Writes {
		key := []string{w.Key}
		if w.ObjectType != "" {
			key = append([]string{w.ObjectType}, w.Attributes...)
		}
		out.Writes = append(out.Writes, &yitongv1.StateWrite{Key: key, Value: w.Value, Deleted: w.Delete})
	}
	return out
}
