package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"

	"yitong/gateway/audit/replay/channel"
	"yitong/gateway/ledger"
)

// Failover is how blocks are read while the member's own peer is away. What releases data is
// never decided on another member's word, whatever stands here.
type Failover struct {
	// Off reads blocks from the own peer alone.
	Off bool `yaml:"off,omitempty"`
	// Agree is how many other members' peers have to say the same of a block. By default a
	// majority of all members that are trusted (trust).
	Agree int `yaml:"agree,omitempty"`
	// Away is how long the own peer can't be reached before blocks are read elsewhere: 1s to
	// 10m, by default 3s.
	Away string `yaml:"away,omitempty"`
	// Lag is how long the own peer may lack a block that the orderers have signed before
	// nothing is released on what it holds: 1s to 6m, by default 15s.
	Lag string `yaml:"lag,omitempty"`
}

// uses are what another member's peer can be used for, by their names in a configuration.
var uses = map[string]ledger.Uses{"submit": ledger.Submitting, "evaluate": ledger.Evaluating, "blocks": ledger.Blocks}

// check returns every problem, those of the peers' uses too.
func (f Failover) check(peers []Peer) []error {
	var problems []error
	if f.Agree < 0 || f.Agree > 1000 {
		problems = append(problems, fmt.Errorf("failover.agree is %d; it must be how many other members have to agree, 1 or more, or left out", f.Agree))
	}
	for _, d := range []struct {
		name, text string
		to         time.Duration
	}{{"away", f.Away, 10 * time.Minute}, {"lag", f.Lag, 6 * time.Minute}} {
		if v, err := time.ParseDuration(d.text); d.text != "" && (err != nil || v < time.Second || v > d.to) {
			problems = append(problems, fmt.Errorf("failover.%s is %q; it must be a time from 1s to %s", d.name, d.text, d.to))
		}
	}
	for i, p := range peers {
		for _, use := range p.Use {
			if uses[use] == 0 {
				problems = append(problems, fmt.Errorf("peers[%d].use names %q; it can be submit, evaluate and blocks", i, use))
			}
		}
		if i == 0 && len(p.Use) > 0 {
			problems = append(problems, errors.New("peers[0].use: the own peer is used for everything, leave it out"))
		}
	}
	return problems
}

// rules are the configuration's, for the ledger; members is how many there are.
func (f Failover) rules(members int) ledger.Failover {
	if f.Off {
		return ledger.Failover{}
	}
	out := ledger.Failover{Agree: f.Agree, Verifier: func(config *common.Block) (ledger.Verifier, error) { return channel.Follow(config) }}
	if out.Agree == 0 {
		out.Agree = members/2 + 1
	}
	out.Away, _ = time.ParseDuration(f.Away) // checked; 0 is the default
	out.Lag, _ = time.ParseDuration(f.Lag)
	return out
}

// peers are the configuration's. A peer's member is the one whose authority its certificate
// chains to, whatever the configuration says: it takes one to have a voice.
func (c Config) peers() (peers []ledger.Peer, members int, err error) {
	trust, err := readTrust(c.Trust)
	if err != nil {
		return nil, 0, err
	}
	for i, p := range c.Peers {
		one := ledger.Peer{Address: p.Address, TLSCA: p.CA, ServerName: p.ServerName}
		for _, use := range p.Use {
			one.Uses |= uses[use]
		}
		ca, err := readCertificate(p.CA)
		if err != nil {
			return nil, 0, fmt.Errorf("peers[%d].ca: %w", i, err)
		}
		for msp, root := range trust {
			if root.Equal(ca) {
				one.Member = msp
			}
		}
		peers = append(peers, one)
	}
	return peers, len(trust), nil
}

// lag is how long the own peer may lack a block.
func (f Failover) lag() time.Duration {
	if d, err := time.ParseDuration(f.Lag); err == nil {
		return d
	}
	return 15 * time.Second
}

// healthy says what is wrong with the own peer, by what is known of it.
func healthy(s ledger.Standing, lag time.Duration) error {
	from := ""
	if s.Elsewhere {
		from = "; blocks are read from other members' peers"
	}
	switch {
	case s.Away > 0:
		return fmt.Errorf("the own peer %s hasn't answered for %s%s", s.Own, s.Away.Round(time.Second), from)
	case s.Lags > lag:
		return fmt.Errorf("the own peer %s has %d of at least %d blocks, and has lacked some for %s%s", s.Own, s.Blocks, s.Head, s.Lags.Round(time.Second), from)
	}
	return nil
}
