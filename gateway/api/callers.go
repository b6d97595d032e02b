package api

import (
	"context"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/consent"
	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/policy"
)

type callers struct {
	yitongv1.UnimplementedCallersServer
	door door
	name string // of the member
}

func (s callers) Whoami(ctx context.Context, _ *yitongv1.WhoamiRequest) (*yitongv1.WhoamiResponse, error) {
	c, _ := ctx.Value(callerKey{}).(caller)
	out := &yitongv1.WhoamiResponse{
		Member: s.name, MspId: s.door.self, Kind: string(s.door.kind),
		User: c.user().Name, Role: string(c.user().Role),
	}
	if out.GetRole() == "" {
		out.Role = policy.Software
	}
	if c.cert != nil {
		out.Shown = append(out.Shown, "certificate")
	}
	if b := c.bearer; b != nil {
		out.Shown = append(out.Shown, "token")
		out.Issuer, out.Expires = b.Issuer, timestamppb.New(b.Expires)
		if b.Service != "" {
			out.Service, out.Role = b.Service, policy.Service
			for _, one := range b.Scopes {
				out.Scopes = append(out.Scopes, one.String())
			}
		}
	}
	return out, nil
}

func (s callers) Why(ctx context.Context, in *yitongv1.WhyRequest) (*yitongv1.WhyResponse, error) {
	name := yitongv1.File_yitong_v1_yitong_proto.Package() + "." + protoreflect.FullName(in.GetMethod())
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if _, ok := d.(protoreflect.MethodDescriptor); err != nil || !ok {
		return nil, refusal.New(refusal.Malformed, "the API has no method of that name", "Service.Method, as Accesses.Request")
	}
	if code := in.GetPurpose(); code != "" {
		if _, err := consent.ParsePurpose(code); err != nil {
			return nil, malformed("purpose", err)
		}
	}
	if _, err := classesOf(in.GetClasses()); err != nil {
		return nil, err
	}
	c, _ := ctx.Value(callerKey{}).(caller)
	out := &yitongv1.WhyResponse{Allowed: true}
	for _, q := range s.door.questions(c, in.GetMethod()) {
		q.Purpose, q.Classes = in.GetPurpose(), in.GetClasses()
		a := s.door.policy.Decide(q)
		out.Allowed = out.Allowed && a.Allowed
		out.Explanations = append(out.Explanations, &yitongv1.Explanation{User: q.User, Role: q.Role, Allowed: a.Allowed, Why: a.Why()})
	}
	return out, nil
}
