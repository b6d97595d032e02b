package node

import (
	"context"
	"log/slog"
	"net/url"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"yitong/gateway/tracing"
)

// Tracing says where OpenTelemetry traces go (OTLP over HTTP). Without an endpoint, here or
// in OTEL_EXPORTER_OTLP_ENDPOINT, none are made.
type Tracing struct {
	// Endpoint is the collector's URL, as http://127.0.0.1:4318.
	Endpoint string `yaml:"endpoint,omitempty"`
	// Sample is the share of traces begun here that are exported, over 0 to 1; by default 1.
	// A trace that a caller began goes by the caller's choice.
	Sample float64 `yaml:"sample,omitempty"`
}

func (t Tracing) check(problem func(string, ...any)) {
	if u, err := url.Parse(t.Endpoint); t.Endpoint != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		problem("tracing.endpoint must be a URL as http://127.0.0.1:4318, without a password")
	}
	if t.Sample < 0 || t.Sample > 1 {
		problem("tracing.sample is %v; it must be over 0 and at most 1", t.Sample)
	}
}

func (c Config) openTracing(ctx context.Context, version string, log *slog.Logger) (*sdktrace.TracerProvider, error) {
	sample := c.Tracing.Sample
	if sample == 0 {
		sample = 1
	}
	return tracing.Open(ctx, tracing.Config{Endpoint: c.Tracing.Endpoint, Sample: sample, Member: c.Member.MSP, Version: version, Log: log})
}
