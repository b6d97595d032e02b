package node

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc/grpclog"
)

// Serve reads a configuration file and serves the gateway it describes until ctx
// ends. It is what the daemon and the command line's hidden command both run.
func Serve(ctx context.Context, path string) error {
	config, err := ReadConfig(path)
	if err != nil {
		return err
	}
	// gRPC's own log says what our errors say, in many more lines.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	return Run(ctx, config, Version(), newLog(config.LogLevel))
}

// newLog logs JSON, one object a line, to standard error.
func newLog(level string) *slog.Logger {
	var l slog.Level
	if l.UnmarshalText([]byte(strings.ToUpper(level))) != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: l}))
}

// Version is the version that was built, as far as the build knows it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	version := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			version += " " + s.Value[:12]
		}
	}
	return version
}
