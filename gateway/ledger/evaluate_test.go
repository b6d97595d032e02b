package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
	"yitong/gateway/ledger"
)

func TestEvaluate(t *testing.T) {
	down := func(c *consortium) { c.peers[0].stop() }
	noChaincode := func(c *consortium) {
		c.peers[0].onEvaluate = func(int, *gateway.EvaluateRequest) error {
			return status.Error(codes.FailedPrecondition, "no peers available to evaluate chaincode yitong in channel yitong")
		}
	}
	tests := []struct {
		name  string
		fault func(*consortium)
		opts  []ledger.Option
		asked [2]int // at the own and the other peer
		want  error
	}{
		{name: "the own peer answers", asked: [2]int{1, 0}},
		{name: "the own peer is down and another answers", fault: down, asked: [2]int{0, 1}},
		{name: "the own peer has no chaincode and another answers", fault: noChaincode, asked: [2]int{1, 1}},
		{name: "the own peer alone is believed and answers", opts: []ledger.Option{ledger.OwnPeerOnly()}, asked: [2]int{1, 0}},
		{name: "the own peer alone is believed and down", fault: down, opts: []ledger.Option{ledger.OwnPeerOnly()}, want: ledger.ErrUnavailable},
		{name: "the own peer alone is believed and has no chaincode", fault: noChaincode, opts: []ledger.Option{ledger.OwnPeerOnly()}, asked: [2]int{1, 0}, want: ledger.ErrUnavailable},
		{name: "every peer is down", fault: func(c *consortium) { c.peers[0].stop(); c.peers[1].stop() }, want: ledger.ErrUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newConsortium(t, 2)
			if tt.fault != nil {
				tt.fault(c)
			}
			var out document
			err := c.dial(t).Evaluate(t.Context(), "record:Record", document{ID: "42"}, &out, tt.opts...)
			if !errors.Is(err, tt.want) || err == nil && out.ID != "42" {
				t.Errorf("got %+v, %v, want %v", out, err, tt.want)
			}
			if got := [2]int{c.peers[0].evaluated, c.peers[1].evaluated}; got != tt.asked {
				t.Errorf("the peers were asked %v times, want %v", got, tt.asked)
			}
		})
	}
}

func TestEvaluatePinsTheOwnMembersChaincodeWhenOnlyItIsBelieved(t *testing.T) {
	c := newConsortium(t, 1)
	var targets [][]string
	c.peers[0].onEvaluate = func(_ int, in *gateway.EvaluateRequest) error {
		targets = append(targets, in.GetTargetOrganizations())
		return nil
	}
	l := c.dial(t)
	for _, opts := range [][]ledger.Option{nil, {ledger.OwnPeerOnly()}} {
		if err := l.Evaluate(t.Context(), "record:Record", document{}, nil, opts...); err != nil {
			t.Fatal(err)
		}
	}
	if len(targets[0]) != 0 || !slices.Equal(targets[1], []string{"AMSP"}) {
		t.Errorf("target organisations were %v", targets)
	}
}

func TestEvaluatePassesARefusalOn(t *testing.T) {
	c := newConsortium(t, 2)
	c.peers[0].onEvaluate = func(int, *gateway.EvaluateRequest) error {
		return failure(codes.Unknown, "evaluate call to endorser returned error: "+no, "AMSP", no)
	}
	err := c.dial(t).Evaluate(t.Context(), "record:Record", document{}, nil)
	if !errors.Is(err, refusal.New("not-custodian", "", "")) {
		t.Errorf("got %v", err)
	}
	if c.peers[1].evaluated != 0 {
		t.Error("a refusal was taken to another peer")
	}
}

func TestHeightCountsTheOwnPeersBlocks(t *testing.T) {
	c := newConsortium(t, 1)
	l := c.dial(t)
	for want := uint64(1); want <= 3; want++ {
		if got, err := l.Height(t.Context()); err != nil || got != want {
			t.Errorf("height is %d, %v, want %d", got, err, want)
		}
		if _, err := l.Submit(t.Context(), "record:Anchor", document{}, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDialSaysWhatIsWrongWithItsConfiguration(t *testing.T) {
	whole := newConsortium(t, 1).cfg
	for name, spoil := range map[string]func(*ledger.Config){
		"no channel":                      func(c *ledger.Config) { c.Channel = "" },
		"no chaincode":                    func(c *ledger.Config) { c.Chaincode = "" },
		"no MSP":                          func(c *ledger.Config) { c.MSP = "" },
		"no peer":                         func(c *ledger.Config) { c.Peers = nil },
		"no enrolment certificate":        func(c *ledger.Config) { c.Cert = "absent.pem" },
		"a key in place of a certificate": func(c *ledger.Config) { c.Cert = c.Key },
		"a certificate in place of a key": func(c *ledger.Config) { c.Key = c.Cert },
		"a TLS certificate without key":   func(c *ledger.Config) { c.TLSKey = "" },
		"a TLS key of another":            func(c *ledger.Config) { c.TLSKey = c.Key },
		"a peer without port":             func(c *ledger.Config) { c.Peers = []ledger.Peer{{Address: "localhost", TLSCA: c.Peers[0].TLSCA}} },
		"a peer without TLS CA":           func(c *ledger.Config) { c.Peers = []ledger.Peer{{Address: "localhost:7051"}} },
		"a TLS CA without certificate":    func(c *ledger.Config) { c.Peers = []ledger.Peer{{Address: "localhost:7051", TLSCA: c.Key}} },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := whole
			spoil(&cfg)
			if l, err := ledger.Dial(t.Context(), cfg); err == nil {
				t.Error("it was accepted", l.Close())
			}
		})
	}
}

func TestAPeerThatIsNotWhoItShouldBeIsUnavailable(t *testing.T) {
	c, other := newConsortium(t, 1), newConsortium(t, 1)
	c.cfg.Peers[0].Address = other.peers[0].address // its certificate is of another CA
	if err := c.dial(t).Evaluate(t.Context(), "record:Record", document{}, nil); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
