package api

import (
	"context"

	"google.golang.org/grpc"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/projection"
)

func (s auditing) Digest(ctx context.Context, _ *yitongv1.DigestRequest) (*yitongv1.DigestResponse, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	d, err := s.projection.Digest(ctx)
	if err != nil {
		return nil, err
	}
	return digestMessage(d), nil
}

func (s auditing) Rebuild(in *yitongv1.RebuildRequest, stream grpc.ServerStreamingServer[yitongv1.RebuildResponse]) error {
	if err := s.ready(stream.Context()); err != nil {
		return err
	}
	// Without the own peer there is nothing to make it anew of, and nobody waits unawares.
	if _, err := s.chain.Height(stream.Context()); err != nil {
		return err
	}
	rebuilt, err := s.projection.Rebuild(stream.Context(), s.chain, s.scratch, func(done, wanted uint64) {
		// Who has gone away is noticed by the stream's context.
		_ = stream.Send(&yitongv1.RebuildResponse{Message: &yitongv1.RebuildResponse_Progress{Progress: &yitongv1.RebuildProgress{Blocks: done, Of: wanted}}})
	})
	if err != nil {
		return err
	}
	result := &yitongv1.RebuildResult{Same: rebuilt.Same(), Present: digestMessage(rebuilt.Present), Anew: digestMessage(rebuilt.Anew)}
	if in.GetReplace() && !result.GetSame() {
		if err := s.projection.Reset(stream.Context()); err != nil {
			return err
		}
		result.Replaced = true
	}
	return stream.Send(&yitongv1.RebuildResponse{Message: &yitongv1.RebuildResponse_Result{Result: result}})
}

func digestMessage(d projection.Digest) *yitongv1.DigestResponse {
	out := &yitongv1.DigestResponse{Digest: d.Whole[:], AsOf: asOfMessage(d.Checkpoint)}
	for _, t := range d.Tables {
		out.Tables = append(out.Tables, &yitongv1.TableDigest{Table: t.Name, Rows: t.Rows, Digest: t.Sum[:]})
	}
	return out
}
