package ledger

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// The steps that Observe tells of.
const (
	StepEndorse = "endorse"
	StepCommit  = "commit"
)

// Observe is told how each endorsement and each commit ended (ok, refused, conflict, invalid,
// unknown, unavailable, canceled, failed). It is to be called before the first.
func (l *Ledger) Observe(told func(step, function, outcome string, took time.Duration)) {
	l.observed = told
}

// observe begins a step of a transaction: a span of the call's trace, and a figure. ended
// tells what came of it.
func (l *Ledger) observe(ctx context.Context, step, function string) (_ context.Context, ended func(id string, block uint64, err error)) {
	begun := time.Now()
	ctx, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("yitong/gateway/ledger").Start(ctx, "ledger "+step,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("yitong.function", function)))
	return ctx, func(id string, block uint64, err error) {
		how := outcomeOf(err)
		span.SetAttributes(attribute.String("yitong.outcome", how))
		if id != "" {
			span.SetAttributes(attribute.String("yitong.tx", id))
		}
		if err == nil && step == StepCommit {
			span.SetAttributes(attribute.Int64("yitong.block", int64(block)))
		}
		if how == "unknown" || how == "unavailable" || how == "failed" {
			span.SetStatus(otelcodes.Error, how)
		}
		span.End()
		if l.observed != nil {
			l.observed(step, function, how, time.Since(begun))
		}
	}
}

// outcomeOf is one of few words, for a metric's label.
func outcomeOf(err error) string {
	var refused *Refused
	var invalid *Invalid
	var unknown *Unknown
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &refused):
		return "refused"
	case errors.As(err, &invalid) && invalid.Conflict():
		return "conflict"
	case errors.As(err, &invalid):
		return "invalid"
	case errors.As(err, &unknown):
		return "unknown"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.Is(err, ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return "unavailable"
	}
	return "failed"
}
