// Package consortium runs a whole consortium on this machine out of one
// directory: the Fabric network (package network/fabric), Yitong's chaincode on
// it, and one gateway per member, all of them this same program under other
// names, all of them supervised.
//
// The directory is the only state. Start makes it or goes on with it: what is
// there (certificates, ledgers, key stores, vaults) is kept, what is missing is
// made, what was half done is finished by the gateways themselves.
//
//	DIR/members/NAME/gateway/node.yaml    the gateway's configuration (gateway/node)
//	DIR/members/NAME/gateway/passphrase   opens its key store; made at random, mode 0600
//	DIR/members/NAME/gateway/state/       vault and key store
//	DIR/members/NAME/client.yaml          profile of the member's own software
//	DIR/members/NAME/provider/people.yaml who can sign in to try that (cmd/yitong/provider)
//	DIR/members/NAME/service/             keys of an example of a backend service
//
// A passphrase beside the key store it opens protects nobody from who reads the
// directory. It is there so that one command can start everything; a member that
// runs its own gateway keeps it elsewhere.
package consortium

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"yitong/chaincode"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/provider"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/network/fabric"
	"yitong/network/fabric/supervisor"
	"yitong/network/topology"
)

// Chaincode names what runs on the channel. Its version is that of the rules
// (chaincode.Version): with other rules a running consortium agrees on an upgrade.
const Chaincode = "yitong"

// The hidden commands by which this program is started again.
const (
	ServeChaincode = "serve-chaincode"
	ServeGateway   = "serve-gateway"
)

// Options of Start.
type Options struct {
	Dir string
	// Topology is what to make; nil goes on with what is there, or makes the default.
	Topology *topology.Topology
	Binaries fabric.Binaries // of fabric.Install
	Report   fabric.Report
	// OnEvent is told what happens to the processes.
	OnEvent func(supervisor.Event)
}

// Consortium is one that runs. Close stops it, in order.
type Consortium struct {
	network   *fabric.Network
	profiles  []client.Profile
	providers []*provider.Provider
}

// Start brings everything up and returns when every gateway answers as a member
// of the founded consortium. On an error nothing is left running.
func Start(ctx context.Context, o Options) (_ *Consortium, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding this program: %w", err)
	}
	if err := portsFree(o); err != nil {
		return nil, err
	}
	c := &Consortium{}
	c.network, err = fabric.Open(o.Dir, o.Topology, fabric.Options{
		Binaries: o.Binaries, Executable: self, Report: o.Report, OnEvent: o.OnEvent,
		Chaincodes: []fabric.Chaincode{{Name: Chaincode, Version: chaincode.Version(), Command: func(*fabric.Member) fabric.Command {
			return fabric.Command{Path: c.network.Executable(), Args: []string{ServeChaincode}}
		}}},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for _, m := range c.network.Members() {
		if err := c.prepare(m); err != nil {
			return nil, fmt.Errorf("preparing the gateway of %s: %w", m.Name, err)
		}
	}
	if err := c.network.Start(ctx); err != nil {
		return nil, err
	}
	for _, m := range c.network.Members() {
		if err := c.startProvider(m); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	all, each := errgroup.WithContext(ctx)
	for i, m := range c.network.Members() {
		all.Go(func() error { return c.startGateway(each, m, c.profiles[i]) })
	}
	if err := all.Wait(); err != nil {
		return nil, err
	}
	if o.Report != nil {
		o.Report(fabric.Step{Text: "every gateway serves", Took: time.Since(began)})
	}
	return c, nil
}

// portsFree looks at the ports of a consortium that is still to be made: once it
// is, its ports are part of it, and it would be of no use.
func portsFree(o Options) error {
	if _, err := os.Stat(filepath.Join(o.Dir, "topology.yaml")); err == nil {
		return nil
	}
	t := o.Topology
	if t == nil {
		t = topology.Default()
	}
	var taken fabric.PortsTaken
	for _, p := range t.Ports() {
		l, err := net.Listen("tcp", p.Address())
		if err != nil {
			taken = append(taken, p.Address()+" ("+p.Owner+")")
			continue
		}
		l.Close()
	}
	if len(taken) > 0 {
		return taken
	}
	return nil
}

func (c *Consortium) startGateway(ctx context.Context, m *fabric.Member, p client.Profile) error {
	return c.network.Supervisor().Start(ctx, supervisor.Spec{
		Name: "gateway-" + m.Name, Stage: fabric.StageGateway,
		Path: c.network.Executable(), Args: []string{ServeGateway, "--config", configPath(m)}, Dir: m.Dir(), Env: environment(),
		Ready: func(ctx context.Context) error { // asked again whenever the gateway has died
			gateway, err := client.Dial(p)
			if err != nil {
				return err
			}
			defer gateway.Close()
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_, err = gateway.Node.Status(ctx, &yitongv1.StatusRequest{})
			return err
		},
	})
}

// environment of a gateway: nothing of ours is inherited but what a program
// needs to run at all.
func environment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "GOMAXPROCS", "GOMEMLIMIT"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func configPath(m *fabric.Member) string { return filepath.Join(m.Dir(), "gateway", "node.yaml") }

// Profiles are how each member's own software reaches its gateway.
func (c *Consortium) Profiles() []client.Profile { return c.profiles }

// Network is the Fabric network below, to deploy further chaincode on or to look
// after its processes. It is closed with the consortium.
func (c *Consortium) Network() *fabric.Network { return c.network }

// Resumed says whether the directory held a consortium already.
func (c *Consortium) Resumed() bool { return c.network.Resumed() }

// Dir is where everything lies.
func (c *Consortium) Dir() string { return c.network.Dir() }

// Program is the copy of this program that the consortium runs.
func (c *Consortium) Program() string { return c.network.Executable() }

// Close stops the gateways, then the network.
func (c *Consortium) Close() error {
	err := c.network.Close()
	for _, p := range c.providers {
		err = errors.Join(err, p.Close())
	}
	return err
}
