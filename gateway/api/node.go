package api

import (
	"context"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/projection"
	"yitong/gateway/share"
)

type node struct {
	yitongv1.UnimplementedNodeServer
	gateway    *share.Gateway
	projection *projection.Database
	version    string
}

func (s node) Status(ctx context.Context, _ *yitongv1.StatusRequest) (*yitongv1.StatusResponse, error) {
	st, err := s.gateway.Standing(ctx)
	if err != nil {
		return nil, err
	}
	audit, err := s.audit(ctx, st.Height)
	if err != nil {
		return nil, err
	}
	return &yitongv1.StatusResponse{
		Member: memberMessage(st.Member.Member, st.Member.Keys), Height: st.Height,
		ClosedThrough: timeMessage(st.Clock.Closed), Pending: int32(st.Pending), Version: s.version, Audit: audit,
	}, nil
}

// audit says how far the projection lies behind the peer. The peer's height was read
// before, so the projection may be ahead of it by now.
func (s node) audit(ctx context.Context, height uint64) (*yitongv1.AuditStanding, error) {
	if s.projection == nil {
		return nil, nil
	}
	at, err := s.projection.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.AuditStanding{Height: at.Blocks, Lag: height - min(height, at.Blocks)}
	if problem := s.projection.Problem(); problem != nil {
		out.Problem = problem.Error()
	}
	return out, nil
}
