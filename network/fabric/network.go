package fabric

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"yitong/network/fabric/supervisor"
	"yitong/network/topology"
)

// Options of a network.
type Options struct {
	Binaries Binaries // of Install
	// Executable is the program that serves as the peers' chaincode builder (see
	// Builder); it is copied into the directory. Usually os.Executable.
	Executable string
	// Chaincodes are deployed by Start.
	Chaincodes []Chaincode
	Report     Report
	// OnEvent is told what happens to the processes: starts, deaths, restarts.
	OnEvent func(supervisor.Event)
}

// Network is one directory's network, open for this process alone.
type Network struct {
	dir        string
	topology   *topology.Topology
	options    Options
	report     Report
	lock       *flock.Flock
	supervisor *supervisor.Supervisor
	members    []*Member
	resumed    bool

	unwatch func() // ends what watches the peers' keys; nil before Start

	mu     sync.Mutex
	admins map[string]*Connection // by member name
}

// Open creates a network in dir, or resumes the one there; it starts nothing.
// With a nil topology it resumes, or creates the default.
//
// It fails with *InUse when another process has the directory open, and with
// *Changed when the topology isn't the one the network was made of.
func Open(dir string, t *topology.Topology, o Options) (*Network, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening network: %w", err)
	}
	if o.Executable == "" || o.Binaries == (Binaries{}) {
		return nil, errors.New("opening network: the options need Binaries (of Install) and an Executable")
	}
	if t != nil {
		if err := t.Validate(); err != nil {
			return nil, fmt.Errorf("topology: %w", err)
		}
	}
	if err := claim(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	n := &Network{dir: dir, options: o, report: o.Report, lock: lock, admins: map[string]*Connection{}}
	if err := n.open(t); err != nil {
		_ = lock.Unlock()
		return nil, err
	}
	return n, nil
}

func (n *Network) open(t *topology.Topology) (err error) {
	began := time.Now()
	if n.topology, n.resumed, err = settle(n.dir, t); err != nil {
		return err
	}
	if !n.resumed {
		n.report.done(fmt.Sprintf("made certificates and the first block for %d members", len(n.topology.Members)), began)
	}
	for i := range n.topology.Members {
		m := n.topology.Members[i]
		n.members = append(n.members, &Member{Member: m, dir: filepath.Join(n.dir, "members", m.Name)})
		if err := n.members[i].settleKeys(); err != nil {
			return err
		}
	}
	if err := n.configure(); err != nil {
		return err
	}
	n.supervisor, err = supervisor.New(n.dir, supervisor.Options{OnEvent: n.options.OnEvent})
	return err
}

// configure writes what may change from run to run: the programs and the
// daemons' configuration, which holds absolute paths.
func (n *Network) configure() error {
	if err := n.linkBuilder(); err != nil {
		return err
	}
	for _, m := range n.members {
		if err := writeConfig(n.options.Binaries.CoreYAML, filepath.Join(m.dir, "peer", "core.yaml"), n.peerSettings(m)); err != nil {
			return err
		}
		for i := range n.topology.Orderers {
			o := &n.topology.Orderers[i]
			if o.Member != m.Name {
				continue
			}
			if err := writeConfig(n.options.Binaries.OrdererYAML, filepath.Join(m.dir, "orderer-"+o.Name, "orderer.yaml"), n.ordererSettings(m, o)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Dir is the network's directory.
func (n *Network) Dir() string { return n.dir }

// Topology is what the network was made of. It must not be changed.
func (n *Network) Topology() *topology.Topology { return n.topology }

// Resumed says whether the directory held a network already.
func (n *Network) Resumed() bool { return n.resumed }

// Supervisor runs the network's processes; the caller may add its own.
func (n *Network) Supervisor() *supervisor.Supervisor { return n.supervisor }

// Members in the order of the topology.
func (n *Network) Members() []*Member { return n.members }

// Member finds a member by name or MSP id.
func (n *Network) Member(name string) (*Member, error) {
	for _, m := range n.members {
		if m.Name == name || m.MSP == name {
			return m, nil
		}
	}
	return nil, fmt.Errorf("no member %q in this network", name)
}

// admin is a lasting connection to a member's peer as its administrator.
func (n *Network) admin(m *Member) (*Connection, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c, ok := n.admins[m.Name]; ok {
		return c, nil
	}
	c, err := m.Connect(m.Admin())
	if err != nil {
		return nil, err
	}
	n.admins[m.Name] = c
	return c, nil
}

// Close stops everything in order and gives the directory free.
func (n *Network) Close() error {
	if n.unwatch != nil {
		n.unwatch()
	}
	n.supervisor.Stop()
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []error
	for _, c := range n.admins {
		all = append(all, c.Close())
	}
	clear(n.admins)
	all = append(all, n.lock.Unlock())
	return errors.Join(all...)
}

// Health is how a process of the network is.
type Health struct {
	supervisor.Status
	Err error // why it doesn't answer; nil when it does
}

// Health asks every process of the network.
func (n *Network) Health(ctx context.Context) []Health {
	statuses := n.supervisor.Status()
	all := make([]Health, len(statuses))
	var asked sync.WaitGroup
	for i, s := range statuses {
		asked.Go(func() { all[i] = Health{s, n.supervisor.Probe(ctx, s.Name)} })
	}
	asked.Wait()
	return all
}

// RemoveAll deletes a network that nobody has open, with everything in it.
func RemoveAll(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := claim(dir); err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Unlock() }()
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing network: %w", err)
	}
	return nil
}
