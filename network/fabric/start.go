package fabric

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"yitong/network/fabric/supervisor"
	"yitong/network/topology"
)

// Stages of the end: what is called last ends first. StageGateway is for what
// callers add.
const (
	stageOrderer = iota
	stagePeer
	stageChaincode
	StageGateway
)

// startLimit is far beyond any start on a machine that can run a network.
const startLimit = 2 * time.Minute

// Start brings up all ordering nodes and peers, joins them to the channel and
// deploys the chaincodes of the Options, everything at once, and returns when
// each chaincode answers at every member. On an error everything is stopped, and
// the network is to be closed and opened again; so it is after two minutes, when
// ctx has no earlier end.
func (n *Network) Start(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not done within %v", startLimit))
	defer cancel()
	if err := n.checkPorts(); err != nil {
		return err
	}
	genesis, err := n.genesisBlock()
	if err != nil {
		return err
	}
	all, group := errgroup.WithContext(ctx)
	for i := range n.topology.Orderers {
		o := &n.topology.Orderers[i]
		all.Go(func() error { return n.startOrderer(group, o, genesis) })
	}
	for _, m := range n.members {
		all.Go(func() error { return n.startPeer(group, m, genesis) })
	}
	for _, c := range n.options.Chaincodes {
		all.Go(func() error { return n.Deploy(group, c) })
	}
	if err := all.Wait(); err != nil {
		n.supervisor.Stop()
		return fmt.Errorf("starting the network: %w", err)
	}
	watching, end := context.WithCancel(context.Background())
	var watched sync.WaitGroup
	watched.Go(func() { n.watch(watching) })
	n.unwatch = func() { end(); watched.Wait() }
	n.report.done("the network runs", began)
	return nil
}

func (n *Network) startOrderer(ctx context.Context, o *topology.Orderer, genesis []byte) error {
	began := time.Now()
	m, err := n.Member(o.Member)
	if err != nil {
		return err
	}
	config, err := m.Admin().TLSConfig(m.TLSCA())
	if err != nil {
		return err
	}
	dir := filepath.Join(m.dir, "orderer-"+o.Name)
	err = n.supervisor.Start(ctx, supervisor.Spec{
		Name: "orderer-" + o.Name, Stage: stageOrderer, Path: n.options.Binaries.Orderer, Dir: dir,
		Env:   n.environment(dir),
		Ready: both(answers(o.AdminAddress(), config), answers(o.Address(), config)),
	})
	if err != nil {
		return err
	}
	if err := n.joinOrderer(ctx, m, o, genesis); err != nil {
		return err
	}
	n.report.done("ordering node "+o.Name+" is in the channel", began)
	return nil
}

func (n *Network) startPeer(ctx context.Context, m *Member, genesis []byte) error {
	began := time.Now()
	config, err := m.Admin().TLSConfig(m.TLSCA())
	if err != nil {
		return err
	}
	dir := filepath.Join(m.dir, "peer")
	err = n.supervisor.Start(ctx, supervisor.Spec{
		Name: "peer-" + m.Name, Stage: stagePeer, Path: n.options.Binaries.Peer, Args: []string{"node", "start"}, Dir: dir,
		Env:   append(n.environment(dir), builderVariable+"="+filepath.Join(m.dir, "chaincode")),
		Ready: answers(m.PeerAddress(), config),
	})
	if err != nil {
		return err
	}
	if err := n.joinPeer(ctx, m, genesis); err != nil {
		return err
	}
	n.report.done("peer of "+m.Name+" is in the channel", began)
	return nil
}

// environment of a daemon, whose configuration lies in dir. Nothing of ours is
// inherited: a stray CORE_ or ORDERER_ variable would change the network.
func (n *Network) environment(dir string) []string {
	return baseEnvironment([]string{
		"FABRIC_CFG_PATH=" + dir,
		"FABRIC_LOGGING_SPEC=" + n.topology.LogLevel,
		"FABRIC_LOGGING_FORMAT=%{time:2006-01-02T15:04:05.000Z07:00} %{level} [%{module}] %{message}",
	})
}

func baseEnvironment(more []string) []string {
	env := append([]string(nil), more...)
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// answers says whether a TLS server answers at the address: its listener alone
// would be there before it serves.
func answers(address string, config *tls.Config) func(context.Context) error {
	d := tls.Dialer{Config: config}
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		c, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
}

func both(a, b func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := a(ctx); err != nil {
			return err
		}
		return b(ctx)
	}
}
