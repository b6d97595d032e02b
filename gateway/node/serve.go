package node

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"google.golang.org/grpc/grpclog"
)

// Serve reads a configuration file and serves the gateway it describes until ctx
// ends. It is what the daemon and the command line's hidden command both run. At SIGHUP the
// file is read anew, and what can be is put into force; one that can't be used changes
// nothing.
func Serve(ctx context.Context, path string) error {
	config, err := ReadConfig(path)
	if err != nil {
		return err
	}
	// gRPC's own log says what our errors say, in many more lines.
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, io.Discard, io.Discard))
	level := new(slog.LevelVar)
	level.Set(levelOf(config.LogLevel))
	// JSON, one object a line.
	log := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	changed, told := make(chan Config), make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGHUP)
	defer signal.Stop(told)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-told:
			}
			next, err := ReadConfig(path)
			if err != nil {
				log.Error("the configuration was read anew and can't be used; the one before stays in force", "error", err)
				continue
			}
			select {
			case changed <- next:
				level.Set(levelOf(next.LogLevel))
			case <-ctx.Done():
			}
		}
	}()
	return Run(ctx, config, Version(), log, changed)
}

func levelOf(name string) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(strings.ToUpper(name))) != nil {
		return slog.LevelInfo
	}
	return l
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
