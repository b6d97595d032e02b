package command

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"yitong/cmd/yitong/screen"
)

// The help shows a word in backquotes as what a flag takes: a command quoted so would stand in
// its place.
func TestWhatAFlagTakesIsOneWord(t *testing.T) {
	a := &app{screen: screen.New(io.Discard, io.Discard, true)}
	var look func(*cobra.Command)
	look = func(cmd *cobra.Command) {
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if takes, _ := pflag.UnquoteUsage(f); strings.Contains(takes, " ") {
				t.Errorf("%s --%s takes %q", cmd.CommandPath(), f.Name, takes)
			}
		})
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(a.root())
}
