package node

import (
	"log/slog"
	"path/filepath"

	"yitong/gateway/api"
	"yitong/gateway/audit/height"
	"yitong/gateway/ledger"
	"yitong/gateway/share"
)

// keepHeights makes what exchanges signed heights with the other members.
func keepHeights(config Config, gateway *share.Gateway, chain *ledger.Ledger, others *api.Counterparts, log *slog.Logger) (*height.Keeper, error) {
	return height.New(height.Config{
		Channel: config.Channel, Self: config.Member.MSP, Chain: chain, Registry: gateway, Exchange: others,
		Signer: gateway.HeightSigner, File: filepath.Join(config.State, "heights.jsonl"), Log: log,
	})
}
