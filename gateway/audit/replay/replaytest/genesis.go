package replaytest

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// configuration is the channel's first, as network/fabric makes it as far as replay looks.
func (c *Chain) configuration() *common.ConfigGroup {
	root := group()
	policies(root, common.ImplicitMetaPolicy_ANY)
	value(root, "Capabilities", &common.Capabilities{Capabilities: map[string]*common.Capability{"V3_0": {}}})
	app, ord := group(), group()
	policies(app, common.ImplicitMetaPolicy_ANY)
	policies(ord, common.ImplicitMetaPolicy_ANY)
	implicit(app, "Endorsement", common.ImplicitMetaPolicy_MAJORITY, "Endorsement")
	implicit(app, "LifecycleEndorsement", common.ImplicitMetaPolicy_MAJORITY, "Endorsement")
	value(ord, "BatchSize", &orderer.BatchSize{MaxMessageCount: 500, AbsoluteMaxBytes: 10 << 20, PreferredMaxBytes: 2 << 20})
	for _, o := range c.Orgs {
		app.Groups[o.MSP], ord.Groups[o.MSP] = c.organisation(o), c.organisation(o)
	}
	if c.options.Raft {
		value(ord, "ConsensusType", &orderer.ConsensusType{Type: "etcdraft"})
		implicit(ord, "BlockValidation", common.ImplicitMetaPolicy_ANY, "Writers")
	} else {
		c.bft(ord)
	}
	root.Groups["Application"], root.Groups["Orderer"] = app, ord
	return root
}

func (c *Chain) organisation(o *Org) *common.ConfigGroup {
	g := group()
	unit := func(name string) *msp.FabricOUIdentifier {
		return &msp.FabricOUIdentifier{Certificate: o.CA.Cert, OrganizationalUnitIdentifier: name}
	}
	value(g, "MSP", &msp.MSPConfig{Config: marshal(&msp.FabricMSPConfig{
		Name: o.MSP, RootCerts: [][]byte{o.CA.Cert},
		FabricNodeOus: &msp.FabricNodeOUs{
			Enable: true, ClientOuIdentifier: unit("client"), PeerOuIdentifier: unit("peer"),
			AdminOuIdentifier: unit("admin"), OrdererOuIdentifier: unit("orderer"),
		},
	})})
	any := func(name string, roles ...msp.MSPRole_MSPRoleType) {
		var who []*msp.MSPPrincipal
		for _, r := range roles {
			who = append(who, role(o.MSP, r))
		}
		policy(g, name, common.Policy_SIGNATURE, outOf(1, who...))
	}
	any("Admins", msp.MSPRole_ADMIN)
	any("Readers", msp.MSPRole_MEMBER)
	any("Writers", msp.MSPRole_ADMIN, msp.MSPRole_CLIENT, msp.MSPRole_ORDERER)
	any("Endorsement", msp.MSPRole_PEER)
	return g
}

func (c *Chain) bft(ord *common.ConfigGroup) {
	all := &common.Orderers{}
	var who []*msp.MSPPrincipal
	for i, o := range c.Orgs {
		all.ConsenterMapping = append(all.ConsenterMapping, &common.Consenter{Id: uint32(i + 1), MspId: o.MSP, Identity: o.Orderer.Cert})
		who = append(who, &msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_IDENTITY, Principal: o.Orderer.Serialized})
	}
	value(ord, "Orderers", all)
	value(ord, "ConsensusType", &orderer.ConsensusType{Type: "BFT"})
	policy(ord, "BlockValidation", common.Policy_SIGNATURE, outOf(c.quorum(), who...))
}

func (c *Chain) quorum() int {
	n := len(c.Orgs)
	return (n + (n-1)/3 + 2) / 2
}

func group() *common.ConfigGroup {
	return &common.ConfigGroup{
		Groups: map[string]*common.ConfigGroup{}, Values: map[string]*common.ConfigValue{},
		Policies: map[string]*common.ConfigPolicy{}, ModPolicy: "Admins",
	}
}

func value(g *common.ConfigGroup, name string, m proto.Message) {
	g.Values[name] = &common.ConfigValue{Value: marshal(m), ModPolicy: "Admins"}
}

func policy(g *common.ConfigGroup, name string, kind common.Policy_PolicyType, m proto.Message) {
	g.Policies[name] = &common.ConfigPolicy{ModPolicy: "Admins", Policy: &common.Policy{Type: int32(kind), Value: marshal(m)}}
}

func implicit(g *common.ConfigGroup, name string, rule common.ImplicitMetaPolicy_Rule, of string) {
	policy(g, name, common.Policy_IMPLICIT_META, &common.ImplicitMetaPolicy{Rule: rule, SubPolicy: of})
}

func policies(g *common.ConfigGroup, rule common.ImplicitMetaPolicy_Rule) {
	implicit(g, "Readers", rule, "Readers")
	implicit(g, "Writers", rule, "Writers")
	implicit(g, "Admins", common.ImplicitMetaPolicy_MAJORITY, "Admins")
}

func role(mspID string, r msp.MSPRole_MSPRoleType) *msp.MSPPrincipal {
	return &msp.MSPPrincipal{PrincipalClassification: msp.MSPPrincipal_ROLE, Principal: marshal(&msp.MSPRole{MspIdentifier: mspID, Role: r})}
}

func outOf(n int, who ...*msp.MSPPrincipal) *common.SignaturePolicyEnvelope {
	rules := make([]*common.SignaturePolicy, len(who))
	for i := range who {
		rules[i] = &common.SignaturePolicy{Type: &common.SignaturePolicy_SignedBy{SignedBy: int32(i)}}
	}
	return &common.SignaturePolicyEnvelope{Identities: who, Rule: &common.SignaturePolicy{
		Type: &common.SignaturePolicy_NOutOf_{NOutOf: &common.SignaturePolicy_NOutOf{N: int32(n), Rules: rules}},
	}}
}

// configEnvelope is the one transaction of a configuration block.
func (c *Chain) configEnvelope(config *common.ConfigEnvelope, by *Party) []byte {
	nonce := c.nonce()
	header := &common.SignatureHeader{Nonce: nonce}
	if by != nil {
		header.Creator = by.Serialized
	}
	sum := sha256.Sum256(append(nonce, header.Creator...))
	payload := marshal(&common.Payload{
		Header: &common.Header{
			ChannelHeader: marshal(&common.ChannelHeader{
				Type: int32(common.HeaderType_CONFIG), ChannelId: ChannelName, TxId: hex.EncodeToString(sum[:]),
				Timestamp: timestamppb.New(c.Ledger.Now()),
			}),
			SignatureHeader: marshal(header),
		},
		Data: marshal(config),
	})
	env := &common.Envelope{Payload: payload}
	if by != nil {
		env.Signature = by.Sign(payload)
	}
	return marshal(env)
}

// Configure adds a block that changes the configuration, signed by those given of the
// organisations' administrators.
func (c *Chain) Configure(change func(root *common.ConfigGroup), signers ...*Org) {
	next := proto.CloneOf(c.config)
	change(next.ChannelGroup)
	update := marshal(&common.ConfigUpdate{ChannelId: ChannelName, ReadSet: c.config.ChannelGroup, WriteSet: next.ChannelGroup})
	signed := &common.ConfigUpdateEnvelope{ConfigUpdate: update}
	for _, o := range signers {
		head := marshal(&common.SignatureHeader{Creator: o.Admin.Serialized, Nonce: c.nonce()})
		signed.Signatures = append(signed.Signatures, &common.ConfigSignature{
			SignatureHeader: head, Signature: o.Admin.Sign(append(append([]byte{}, head...), update...)),
		})
	}
	asked := &common.Envelope{Payload: marshal(&common.Payload{
		Header: &common.Header{ChannelHeader: marshal(&common.ChannelHeader{Type: int32(common.HeaderType_CONFIG_UPDATE), ChannelId: ChannelName})},
		Data:   marshal(signed),
	})}
	next.Sequence++
	c.config = next
	c.Ledger.Commit() // the ledger's heights are the chain's
	c.append([][]byte{c.configEnvelope(&common.ConfigEnvelope{Config: next, LastUpdate: asked}, c.Orgs[0].Orderer)}, []byte{0}, nil, true)
}
