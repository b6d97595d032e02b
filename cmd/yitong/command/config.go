package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"yitong/cmd/yitong/screen"
	"yitong/gateway/node"
)

// config shows and checks a gateway's configuration file. It asks no gateway.
func (a *app) config() *cobra.Command {
	var form string
	var all bool
	show := func(path string) error {
		settings, err := node.Settings(path)
		if err != nil {
			return badConfig(err)
		}
		if !all {
			kept := settings[:0]
			for _, s := range settings {
				if s.From != node.Unset {
					kept = append(kept, s)
				}
			}
			settings = kept
		}
		return a.showSettings(settings, form)
	}
	cmd := &cobra.Command{
		Use: "config [FILE]", Short: "Show the configuration of a gateway as it is in force, and where each value is from",
		Long: `Show the configuration of a gateway as it is in force: every setting with its value, from the
file or by default. Secrets are paths in it; what is in them is never shown.

Without FILE it is the configuration of the member named by --as in a consortium of ` + "`yitong up`" + `.`,
		Example: "  yitong config /etc/yitong/node.yaml\n  yitong config --as hospital-a -o yaml\n  yitong config check /etc/yitong/node.yaml\n  yitong config example > node.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := a.configFile(args)
			if err != nil {
				return err
			}
			return show(path)
		},
	}
	cmd.Flags().StringVarP(&form, "output", "o", "", "table, json or yaml (default table, json with --json)")
	cmd.Flags().BoolVar(&all, "all", false, "also what is neither in the file nor has a default")
	check := &cobra.Command{
		Use: "check [FILE]", Short: "Say everything that is wrong with a configuration, at once", Args: cobra.MaximumNArgs(1),
		Long: `Say everything that is wrong with a configuration, at once. Exit code 0: a gateway can start with
it; 1: it can't.`,
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := a.configFile(args)
			if err != nil {
				return err
			}
			if _, err := node.ReadConfig(path); err != nil {
				return badConfig(err)
			}
			a.screen.Say("%s can be used", path)
			return nil
		},
	}
	example := &cobra.Command{
		Use: "example", Short: "Print a configuration to begin with", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprint(a.Out, node.Example)
			return err
		},
	}
	cmd.AddCommand(check, example)
	return cmd
}

func badConfig(err error) error {
	return &failure{exit: exitFailure, err: err, next: "docs/configuration.md has every setting; `yitong config example` one to begin with"}
}

// configFile is the file that was named, or that of the member.
func (a *app) configFile(args []string) (string, error) {
	switch {
	case len(args) > 0:
		return args[0], nil
	case a.as == "":
		return "", &failure{exit: exitUsage, err: errors.New("no configuration named"), next: "name the file, or the member of a consortium on this machine with --as MEMBER" + a.known()}
	}
	return filepath.Join(a.dir, "members", a.as, "gateway", "node.yaml"), nil
}

func (a *app) showSettings(settings []node.Setting, form string) error {
	switch screen.Or(form, map[bool]string{true: "json", false: "table"}[a.screen.JSON]) {
	case "json":
		e := json.NewEncoder(a.Out)
		e.SetEscapeHTML(false)
		return e.Encode(settings)
	case "yaml":
		doc, err := yaml.Marshal(settings)
		if err != nil {
			return err
		}
		_, err = a.Out.Write(doc)
		return err
	case "table":
		var rows [][]string
		for _, s := range settings {
			value := "-"
			if s.Value != nil && s.From != node.Unset {
				value = fmt.Sprint(s.Value)
			}
			rows = append(rows, []string{s.Name, value, s.From})
		}
		return a.screen.Table([]string{"setting", "value", "from"}, rows)
	}
	return &failure{exit: exitUsage, err: fmt.Errorf("%q is no form of output", form), next: "table, json or yaml"}
}
