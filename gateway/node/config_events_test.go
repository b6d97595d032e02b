package node_test

import (
	"path/filepath"
	"strings"
	"testing"

	"yitong/gateway/node"
)

func TestWhereEventsGoIsCheckedAtTheStart(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*node.Config)
		want   []string // what the problems name; none is a good one
	}{
		"nothing is said": {func(*node.Config) {}, nil},
		"all of it": {func(c *node.Config) {
			c.Events = node.Events{Database: "postgres://h/d", Webhooks: node.Webhooks{Allow: []string{"10.0.0.0/8", "::1"}, Timeout: "5s", DisableAfter: "24h"}}
			c.Failover = node.Failover{Agree: 2, Away: "5s", Lag: "30s"}
			c.Peers = append(c.Peers, node.Peer{Address: "127.0.0.1:7061", CA: c.Peers[0].CA, Use: []string{"submit", "blocks"}})
		}, nil},
		"all of it is wrong": {func(c *node.Config) {
			c.Events = node.Events{Database: "mysql:x", Webhooks: node.Webhooks{Allow: []string{"10.0.0.0/33", "intranet"}, CA: "missing.pem", Timeout: "1h", DisableAfter: "soon"}}
			c.Failover = node.Failover{Agree: -1, Away: "0s", Lag: "1h"}
			c.Peers[0].Use = []string{"release"}
		}, []string{"events.database", "allow[0]", "allow[1]", "events.webhooks.ca", "events.webhooks.timeout", "events.webhooks.disable_after",
			"failover.agree", "failover.away", "failover.lag", `peers[0].use names "release"`, "the own peer is used for everything"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, c := folder(t)
			tt.change(&c)
			path := filepath.Join(dir, "node.yaml")
			if err := node.WriteConfig(path, c); err != nil {
				t.Fatal(err)
			}
			_, err := node.ReadConfig(path)
			if len(tt.want) == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("no problem names %q:\n%v", want, err)
				}
			}
		})
	}
}
