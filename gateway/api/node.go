package api

import (
	"context"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

type node struct {
	yitongv1.UnimplementedNodeServer
	gateway *share.Gateway
	version string
}

func (s node) Status(ctx context.Context, _ *yitongv1.StatusRequest) (*yitongv1.StatusResponse, error) {
	st, err := s.gateway.Standing(ctx)
	if err != nil {
		return nil, err
	}
	return &yitongv1.StatusResponse{
		Member: memberMessage(st.Member.Member, st.Member.Keys), Height: st.Height,
		ClosedThrough: timeMessage(st.Clock.Closed), Pending: int32(st.Pending), Version: s.version,
	}, nil
}
