package api

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/registry"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/height"
)

// errNoHeights is what a gateway answers that doesn't keep any.
var errNoHeights = status.Error(codes.Unimplemented, "this gateway keeps no heights")

// heights tells the member's own software how far the members' ledgers reach.
type heights struct {
	yitongv1.UnimplementedHeightsServer
	keeper *height.Keeper
}

func (s heights) List(ctx context.Context, _ *yitongv1.HeightsRequest) (*yitongv1.HeightsResponse, error) {
	if s.keeper == nil {
		return nil, errNoHeights
	}
	own, others, err := s.keeper.All(ctx)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.HeightsResponse{Own: statementMessage(own)}
	for _, one := range others {
		out.Others = append(out.Others, &yitongv1.HeightSeen{
			Statement: statementMessage(one.Statement), Verdict: string(one.Verdict), Since: timestamppb.New(one.Since),
		})
	}
	return out, nil
}

// Height takes another gateway's statement. Only its own: what it has heard of others it
// hands on when it is asked.
func (s exchange) Height(ctx context.Context, in *yitongv1.HeightRequest) (*yitongv1.HeightResponse, error) {
	if s.heights == nil {
		return nil, errNoHeights
	}
	theirs := statementOf(in.GetOwn())
	if theirs.Member != requester(ctx) {
		return nil, status.Error(codes.InvalidArgument, "a gateway states its own member's height")
	}
	if err := s.heights.Take(ctx, theirs); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	own, others, err := s.heights.All(ctx)
	if err != nil {
		return nil, err
	}
	out := &yitongv1.HeightResponse{Statements: []*yitongv1.HeightStatement{statementMessage(own)}}
	for _, one := range others {
		out.Statements = append(out.Statements, statementMessage(one.Statement))
	}
	return out, nil
}

// maxStatements bounds what another gateway can make this one look at.
const maxStatements = 256

// Heights implements height.Exchange.
func (c *Counterparts) Heights(ctx context.Context, to registry.Member, own height.Statement) ([]height.Statement, error) {
	client, err := c.client(to)
	if err != nil {
		return nil, err
	}
	answer, err := client.Height(ctx, &yitongv1.HeightRequest{Own: statementMessage(own)})
	if err != nil {
		return nil, remote(err)
	}
	var out []height.Statement
	for _, one := range answer.GetStatements()[:min(maxStatements, len(answer.GetStatements()))] {
		out = append(out, statementOf(one))
	}
	return out, nil
}

func statementMessage(s height.Statement) *yitongv1.HeightStatement {
	return &yitongv1.HeightStatement{
		Channel: s.Channel, MspId: s.Member, Blocks: s.Blocks, Hash: s.Hash[:], At: timestamppb.New(s.At), KeyId: s.Key, Signature: s.Signature,
	}
}

func statementOf(m *yitongv1.HeightStatement) height.Statement {
	s := height.Statement{
		Channel: m.GetChannel(), Member: m.GetMspId(), Blocks: m.GetBlocks(), At: m.GetAt().AsTime(), Key: m.GetKeyId(), Signature: m.GetSignature(),
	}
	copy(s.Hash[:], m.GetHash())
	return s
}
