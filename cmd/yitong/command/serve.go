package command

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"yitong/chaincode/contract"
	"yitong/chaincode/contract/server"
	"yitong/cmd/yitong/consortium"
	"yitong/gateway/node"
)

// serveGateway and serveChaincode are how a consortium starts this program again
// as its daemons. They do what cmd/yitong-gateway and cmd/yitong-chaincode do.

func (a *app) serveGateway() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use: consortium.ServeGateway, Short: "Serve a member's gateway", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return daemon(node.Serve(cmd.Context(), config))
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration file (required)")
	_ = cmd.MarkFlagRequired("config")
	return cmd
}

func (a *app) serveChaincode() *cobra.Command {
	return &cobra.Command{
		Use: consortium.ServeChaincode, Short: "Serve the chaincode to a peer", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := server.FromEnvironment(os.LookupEnv)
			if err != nil {
				return &failure{exit: exitUsage, err: err, next: "a peer's supervisor sets these variables; see network/fabric"}
			}
			chaincode, err := contract.New(contract.SystemClock)
			if err != nil {
				return err
			}
			log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
			return daemon(server.Run(cmd.Context(), config, chaincode, log, nil))
		},
	}
}

// ended is a daemon that was told to stop and did.
type ended struct{}

func (ended) Error() string { return "stopped" }

// daemon makes being told to stop the good end that it is for a daemon, where it
// is an interruption for every other command.
func daemon(err error) error {
	if err == nil {
		return ended{}
	}
	return err
}
