package command

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Tell which build this is", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := build()
			if a.screen.JSON {
				return a.screen.Object(b)
			}
			_, err := fmt.Fprintf(a.Out, "yitong %s, built with %s\n", b.Version, b.Go)
			return err
		},
	}
}

// built says what the running program was made of.
type built struct {
	Version string `json:"version"` // module version, or the commit
	Go      string `json:"go"`
}

func build() built {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return built{Version: "unknown", Go: "unknown"}
	}
	b := built{Version: info.Main.Version, Go: info.GoVersion}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && b.Version == "(devel)" {
			b.Version = s.Value
		}
	}
	return b
}
