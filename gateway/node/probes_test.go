package node

import (
	"context"
	"errors"
	"strings"
	"testing"

	"yitong/gateway/ledger"
)

// nodes are ordering nodes; what is nil works.
type nodes struct {
	config error            // of who tells which there are
	dead   map[string]error // by address
}

func (n *nodes) Orderers(context.Context) ([]ledger.Orderer, int, error) {
	if n.config != nil {
		return nil, 0, n.config
	}
	return []ledger.Orderer{{Address: "a", MSP: "A"}, {Address: "b", MSP: "B"}, {Address: "c", MSP: "C"}, {Address: "d", MSP: "D"}}, 3, nil
}

func (n *nodes) Greet(_ context.Context, o ledger.Orderer) error { return n.dead[o.Address] }

// A peer that is away is no trouble of the ordering nodes; and they are asked all the same.
func TestOrderingNodesAreAskedWithoutThePeer(t *testing.T) {
	away, gone := errors.New("the own peer is away"), errors.New("gone")
	n := &nodes{config: away}
	probe := orderersWell(n)
	if err := probe(t.Context()); !errors.Is(err, away) {
		t.Errorf("before they are known: %v", err)
	}
	for _, test := range []struct {
		name   string
		config error
		dead   map[string]error
		want   string // "" is well
	}{
		{"all there", nil, nil, ""},
		{"one gone", nil, map[string]error{"b": gone}, ""},
		{"the peer away", away, nil, ""},
		{"the peer away and two gone", away, map[string]error{"b": gone, "d": gone}, "2 of 4 ordering nodes can be reached, 3 are needed"},
	} {
		n.config, n.dead = test.config, test.dead
		err := probe(t.Context())
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
