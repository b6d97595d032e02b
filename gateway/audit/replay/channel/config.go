package channel

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"
)

// The names of what this package reads in a configuration (Fabric: common/channelconfig).
const (
	rootGroup        = "Channel"
	ordererGroup     = "Orderer"
	applicationGroup = "Application"
	mspValue         = "MSP"

	// BlockValidation, Endorsement and Writers are paths of policies every channel has.
	BlockValidation      = "/Channel/Orderer/BlockValidation"
	Endorsement          = "/Channel/Application/Endorsement"
	LifecycleEndorsement = "/Channel/Application/LifecycleEndorsement"
	Writers              = "/Channel/Writers"
)

// Config is the configuration in force.
type Config struct {
	Channel  string
	Sequence uint64 // of the configuration, from 0

	config        *common.Config
	organisations map[string]*organisation
	policies      map[string]Policy
	consensus     string            // "BFT" or "etcdraft"
	consenters    map[uint32][]byte // serialized identities by number; BFT only

	identities sync.Map // serialized identity -> known
	compiled   sync.Map // kind and bytes of a policy -> Policy
}

type known struct {
	id  *Identity
	err error
}

// New reads a configuration. It believes it: the caller knows the block it comes from.
func New(channel string, config *common.Config) (*Config, error) {
	if config.GetChannelGroup() == nil {
		return nil, errors.New("the configuration is empty")
	}
	c := &Config{
		Channel: channel, Sequence: config.Sequence, config: config,
		organisations: map[string]*organisation{}, policies: map[string]Policy{}, consenters: map[uint32][]byte{},
	}
	root := config.ChannelGroup
	for _, part := range []string{applicationGroup, ordererGroup} {
		for name, group := range root.GetGroups()[part].GetGroups() {
			if err := c.readOrganisation(group); err != nil {
				return nil, fmt.Errorf("%s/%s: %w", part, name, err)
			}
		}
	}
	if err := c.readOrdering(root.GetGroups()[ordererGroup]); err != nil {
		return nil, fmt.Errorf("ordering: %w", err)
	}
	if err := c.readPolicies(root, "/"+rootGroup, 0); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *Config) readOrganisation(g *common.ConfigGroup) error {
	value, ok := g.GetValues()[mspValue]
	if !ok {
		return errors.New("an organisation without MSP")
	}
	o, err := newOrganisation(value.GetValue())
	if err != nil {
		return err
	}
	c.organisations[o.name] = o
	return nil
}

func (c *Config) readOrdering(g *common.ConfigGroup) error {
	var consensus orderer.ConsensusType
	if err := proto.Unmarshal(g.GetValues()["ConsensusType"].GetValue(), &consensus); err != nil {
		return err
	}
	c.consensus = consensus.Type
	var all common.Orderers
	if err := proto.Unmarshal(g.GetValues()["Orderers"].GetValue(), &all); err != nil {
		return err
	}
	for _, one := range all.ConsenterMapping {
		raw, err := proto.Marshal(&msp.SerializedIdentity{Mspid: one.MspId, IdBytes: one.Identity})
		if err != nil {
			return err
		}
		c.consenters[one.Id] = raw
	}
	return nil
}

// Consensus is "BFT" or "etcdraft".
func (c *Config) Consensus() string { return c.consensus }

// Proto is the configuration as the ledger has it; not to be changed.
func (c *Config) Proto() *common.Config { return c.config }

// Organisations lists the MSP ids, ascending.
func (c *Config) Organisations() []string {
	out := make([]string, 0, len(c.organisations))
	for name := range c.organisations {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Identity reads a serialized identity (Fabric: msp.SerializedIdentity). An error is one
// that can't be read or is of no organisation of the channel; a certificate that doesn't
// stand up is Invalid.
func (c *Config) Identity(serialized []byte) (*Identity, error) {
	if k, ok := c.identities.Load(string(serialized)); ok {
		return k.(known).id, k.(known).err
	}
	id, err := c.identify(serialized)
	c.identities.Store(string(serialized), known{id, err})
	return id, err
}

func (c *Config) identify(serialized []byte) (*Identity, error) {
	var s msp.SerializedIdentity
	if err := proto.Unmarshal(serialized, &s); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	o, ok := c.organisations[s.Mspid]
	if !ok {
		return nil, fmt.Errorf("identity: %q is no organisation of the channel", s.Mspid)
	}
	id, err := o.identify(s.IdBytes)
	if err != nil {
		return nil, fmt.Errorf("identity of %s: %w", s.Mspid, err)
	}
	return id, nil
}

// Signed is a signature with what it is over.
type Signed struct{ Identity, Message, Signature []byte }

// Signers are the distinct identities whose signatures are good, in order. Others are
// left out, as Fabric does (policies.SignatureSetToValidIdentities); bad counts them.
func (c *Config) Signers(set []Signed) (good []*Identity, bad int) {
	seen := map[string]bool{}
	for _, s := range set {
		id, err := c.Identity(s.Identity)
		if err != nil {
			bad++
			continue
		}
		if seen[id.key()] {
			continue
		}
		if !id.Verify(s.Message, s.Signature) {
			bad++
			continue
		}
		seen[id.key()] = true
		good = append(good, id)
	}
	return good, bad
}
