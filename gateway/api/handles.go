package api

import (
	"context"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/handle"
	"yitong/gateway/share"
)

// evaluator answers the gateways of the other members.
type evaluator struct {
	yitongv1.UnimplementedEvaluatorServer
	gateway *share.Gateway
}

func (s evaluator) Evaluate(ctx context.Context, in *yitongv1.EvaluateRequest) (*yitongv1.EvaluateResponse, error) {
	r := handle.Relation{Channel: in.GetChannel(), Custodian: in.GetCustodian(), Requester: in.GetRequester(), Epoch: int(in.GetEpoch())}
	done, err := s.gateway.EvaluateFor(ctx, requester(ctx), r, in.GetBlinded())
	if err != nil {
		return nil, err
	}
	return &yitongv1.EvaluateResponse{Evaluated: done.Elements, Proof: done.Proof}, nil
}

// handles serves the member's own operators.
type handles struct {
	yitongv1.UnimplementedHandlesServer
	gateway *share.Gateway
}

func (s handles) Epochs(ctx context.Context, _ *yitongv1.EpochsRequest) (*yitongv1.EpochsResponse, error) {
	all, err := s.gateway.Epochs(ctx)
	if err != nil {
		return nil, err
	}
	names, err := s.gateway.Names(ctx)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.EpochsResponse{Latest: int32(all.Latest), Announced: announcementMessages(all.Announced, names)}
	for _, e := range all.Epochs {
		out.Epochs = append(out.Epochs, epochMessage(e, all.Calendar, names))
	}
	return out, nil
}

func (s handles) Roll(ctx context.Context, in *yitongv1.RollRequest) (*yitongv1.RollResponse, error) {
	overlap := int64(epoch.DefaultOverlap)
	if in.OverlapSeconds != nil {
		overlap = in.GetOverlapSeconds()
	}
	announced, commit, err := s.gateway.Roll(ctx, time.Duration(overlap)*time.Second, in.GetEvaluators())
	if err != nil {
		return nil, err
	}
	names, err := s.gateway.Names(ctx)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.RollResponse{Announced: announcementMessages(announced.Announcements, names), Commit: commitMessage(commit)}
	if announced.Opened != nil {
		out.Opened = epochMessage(*announced.Opened, epoch.Calendar{Latest: announced.Opened.Number}, names)
	}
	return out, nil
}

func (s handles) Counts(ctx context.Context, in *yitongv1.CountsRequest) (*yitongv1.CountsResponse, error) {
	tallies, err := s.gateway.Evaluations(ctx, in.GetEvaluator(), in.GetMember())
	if err != nil {
		return nil, err
	}
	names, err := s.gateway.Names(ctx)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.CountsResponse{}
	for _, t := range tallies {
		out.Counts = append(out.Counts, countMessage(t, names))
	}
	return out, nil
}

func countMessage(t contract.EvaluationTally, names map[string]string) *yitongv1.Count {
	return &yitongv1.Count{Evaluator: named(names, t.Evaluator), Member: named(names, t.Member), Day: t.Day, Evaluations: t.Count}
}

func epochMessage(e epoch.Epoch, c epoch.Calendar, names map[string]string) *yitongv1.Epoch {
	out := &yitongv1.Epoch{Number: int32(e.Number), Opened: timeMessage(e.Opened)}
	if ends, _ := c.Open(e.Number, 0); ends != 0 {
		out.Ends = timeMessage(ends)
	}
	for _, v := range e.Evaluators {
		out.Evaluators = append(out.Evaluators, &yitongv1.EvaluatorKey{Evaluator: named(names, v.MSP), Key: v.Key.ID})
	}
	return out
}

func announcementMessages(list []epoch.Announcement, names map[string]string) []*yitongv1.Announcement {
	var out []*yitongv1.Announcement
	for _, a := range list {
		m := &yitongv1.Announcement{Evaluator: named(names, a.Evaluator), Key: a.Key.ID, OverlapSeconds: a.Overlap, Announced: timeMessage(a.At)}
		for _, msp := range a.Members {
			m.Evaluators = append(m.Evaluators, named(names, msp))
		}
		out = append(out, m)
	}
	return out
}

// named is a member's name, or its MSP id where it has none.
func named(names map[string]string, msp string) string {
	if name, ok := names[msp]; ok {
		return name
	}
	return msp
}
