package api

import (
	"context"

	"yitong/chaincode/contract"
	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/ledger"
	"yitong/gateway/share"
)

type members struct {
	yitongv1.UnimplementedMembersServer
	gateway *share.Gateway
}

func (s members) List(ctx context.Context, _ *yitongv1.ListMembersRequest) (*yitongv1.ListMembersResponse, error) {
	list, err := s.gateway.Members(ctx)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.ListMembersResponse{}
	for _, m := range list {
		out.Members = append(out.Members, memberMessage(m.Member, m.Keys))
	}
	return out, nil
}

func (s members) Move(ctx context.Context, in *yitongv1.MoveRequest) (*yitongv1.MoveResponse, error) {
	var moved contract.Moved
	var commit ledger.Commit
	var err error
	switch m := in.GetMotion().(type) {
	case *yitongv1.MoveRequest_Suspend:
		moved, commit, err = s.gateway.Suspend(ctx, m.Suspend.GetMember(), m.Suspend.GetReason())
	case *yitongv1.MoveRequest_Reinstate:
		moved, commit, err = s.gateway.Reinstate(ctx, m.Reinstate.GetMember())
	default:
		err = refusal.New(refusal.Malformed, "the motion is missing", "suspend or reinstate")
	}
	if err != nil {
		return nil, err
	}
	return &yitongv1.MoveResponse{
		Supporters: moved.Votes, Needed: int32(moved.Needed), InEffect: moved.Carried, Commit: commitMessage(commit),
	}, nil
}
