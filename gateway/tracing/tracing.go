// Package tracing exports what happened in a call, from the HTTP request to the transaction,
// by the OpenTelemetry protocol over HTTP (OTLP 1.x). It is off unless an endpoint is
// configured.
//
// A span tells a method, a route, a code, a chaincode function, a transaction's id and its
// block. It never has an argument, an answer, a person, a handle or a URL: what is exported
// goes to a system that isn't made for patient data.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
)

// Config says where to.
type Config struct {
	Endpoint string  // URL of the collector, as http://127.0.0.1:4318; "" goes by the environment
	Sample   float64 // share of the traces begun here that are exported, over 0 to 1
	Member   string
	Version  string
	Log      *slog.Logger
}

// On says whether anything would be exported.
func (c Config) On() bool {
	return c.Endpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Open begins to export; nil where tracing is off. Shutdown of what it returns sends what is
// left. A collector that isn't there costs nothing but the spans.
func Open(ctx context.Context, c Config) (*trace.TracerProvider, error) {
	if !c.On() {
		return nil, nil
	}
	var options []otlptracehttp.Option
	if c.Endpoint != "" {
		options = append(options, otlptracehttp.WithEndpointURL(c.Endpoint))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("exporting traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { c.Log.Warn("traces aren't exported", "error", err) }))
	return trace.NewTracerProvider(
		trace.WithBatcher(exporter),
		trace.WithSampler(trace.ParentBased(trace.TraceIDRatioBased(c.Sample))),
		trace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "yitong-gateway"), attribute.String("service.version", c.Version), attribute.String("service.namespace", c.Member),
		)),
	), nil
}
