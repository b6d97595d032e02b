package command

import (
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
)

type completion = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// mustComplete gives a flag its completion. It fails only where the flag isn't
// defined, which is a mistake of this package.
func (a *app) mustComplete(cmd *cobra.Command, flag string, values completion) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic(err)
	}
}

// completeMembers offers the members that the directory knows.
func (a *app) completeMembers(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	all, err := client.Profiles(screen.Or(a.dir, screen.Or(a.Env("YITONG_DIR"), defaultDir)))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Member+"\t"+p.Kind)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeOneMember offers them for the one argument.
func (a *app) completeOneMember(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeMembers(cmd, args, prefix)
}

// completeUsers offers the people of the member that this machine may act for.
func (a *app) completeUsers(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	p, err := client.ReadProfile(screen.Or(a.dir, screen.Or(a.Env("YITONG_DIR"), defaultDir)), screen.Or(a.as, a.Env("YITONG_AS")))
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return slices.Sorted(maps.Keys(p.Users)), cobra.ShellCompDirectiveNoFileComp
}

func fixed(codes ...string) completion {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return codes, cobra.ShellCompDirectiveNoFileComp
	}
}

var (
	classCodes   = fixed(record.AllClasses.Codes()...)
	typeCodes    = fixed(record.AllTypes.Codes()...)
	labelCodes   = fixed(record.AllLabels.Codes()...)
	purposeCodes = fixed(codesUpTo(func(n uint8) string { return consent.Purpose(n).String() })...)
	actionCodes  = fixed(codesUpTo(func(n uint8) string { return consent.Action(n).String() })...)
)

// codesUpTo lists a vocabulary's codes, numbered from 1 without a gap.
func codesUpTo(code func(uint8) string) []string {
	var codes []string
	for n := uint8(1); code(n) != ""; n++ {
		codes = append(codes, code(n))
	}
	return codes
}
