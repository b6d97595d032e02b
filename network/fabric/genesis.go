package fabric

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer/etcdraft"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer/smartbft"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/network/topology"
)

// admins is who may change a part of the configuration: the group's own.
const admins = "Admins"

// material is what the first block needs of each member and ordering node, PEM.
type material struct {
	members  map[string]memberCerts  // by member name
	orderers map[string]ordererCerts // by ordering node name
}

type memberCerts struct{ ca, tlsCA []byte }

type ordererCerts struct{ identity, tls []byte }

// genesis makes the channel's first block: who the members are, who orders, and
// which policies hold (Fabric: configtxgen). Groups and values are maps of
// protobuf, marshalled deterministically.
func genesis(t *topology.Topology, m material) (*common.Block, error) {
	b := &blockBuilder{t: t, m: m}
	channel := b.channel()
	if b.err != nil {
		return nil, fmt.Errorf("making the channel's first block: %w", b.err)
	}
	return b.block(channel)
}

// blockBuilder keeps the first error, so that building reads top to bottom.
type blockBuilder struct {
	t   *topology.Topology
	m   material
	err error
}

func (b *blockBuilder) marshal(m proto.Message) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil && b.err == nil {
		b.err = err
	}
	return raw
}

func (b *blockBuilder) channel() *common.ConfigGroup {
	g := group()
	b.implicit(g, "Readers", common.ImplicitMetaPolicy_ANY, "Readers")
	b.implicit(g, "Writers", common.ImplicitMetaPolicy_ANY, "Writers")
	b.implicit(g, admins, common.ImplicitMetaPolicy_MAJORITY, admins)
	b.value(g, "HashingAlgorithm", &common.HashingAlgorithm{Name: "SHA256"})
	b.value(g, "BlockDataHashingStructure", &common.BlockDataHashingStructure{Width: 1<<32 - 1})
	b.value(g, "Capabilities", capabilities("V3_0"))
	g.Groups["Orderer"] = b.ordering()
	g.Groups["Application"] = b.application()
	return g
}

func (b *blockBuilder) ordering() *common.ConfigGroup {
	g := group()
	b.implicit(g, "Readers", common.ImplicitMetaPolicy_ANY, "Readers")
	b.implicit(g, "Writers", common.ImplicitMetaPolicy_ANY, "Writers")
	b.implicit(g, admins, common.ImplicitMetaPolicy_MAJORITY, admins)
	b.value(g, "BatchSize", &orderer.BatchSize{
		MaxMessageCount:   b.t.Batch.Messages,
		AbsoluteMaxBytes:  uint32(b.t.Batch.Absolute),
		PreferredMaxBytes: uint32(b.t.Batch.Preferred),
	})
	b.value(g, "BatchTimeout", &orderer.BatchTimeout{Timeout: b.t.Batch.Timeout.String()})
	b.value(g, "ChannelRestrictions", &orderer.ChannelRestrictions{})
	b.value(g, "Capabilities", capabilities("V2_0"))
	if b.t.Consensus == topology.BFT {
		b.smartBFT(g)
	} else {
		b.raft(g)
	}
	endpoints := map[string][]string{}
	for i := range b.t.Orderers {
		o := &b.t.Orderers[i]
		endpoints[o.Member] = append(endpoints[o.Member], o.Address())
	}
	for i := range b.t.Members {
		member := &b.t.Members[i]
		if len(endpoints[member.Name]) == 0 {
			continue
		}
		org := b.organisation(member)
		b.signature(org, "Readers", 1, principal(member.MSP, msp.MSPRole_MEMBER))
		b.signature(org, "Writers", 1, principal(member.MSP, msp.MSPRole_MEMBER))
		b.value(org, "Endpoints", &common.OrdererAddresses{Addresses: endpoints[member.Name]})
		g.Groups[member.MSP] = org
	}
	return g
}

func (b *blockBuilder) application() *common.ConfigGroup {
	g := group()
	b.implicit(g, "Readers", common.ImplicitMetaPolicy_ANY, "Readers")
	b.implicit(g, "Writers", common.ImplicitMetaPolicy_ANY, "Writers")
	b.implicit(g, admins, common.ImplicitMetaPolicy_MAJORITY, admins)
	b.implicit(g, "LifecycleEndorsement", common.ImplicitMetaPolicy_MAJORITY, "Endorsement")
	b.endorsement(g)
	b.value(g, "Capabilities", capabilities("V2_5"))
	for i := range b.t.Members {
		member := &b.t.Members[i]
		org := b.organisation(member)
		b.signature(org, "Readers", 1, principal(member.MSP, msp.MSPRole_ADMIN), principal(member.MSP, msp.MSPRole_PEER), principal(member.MSP, msp.MSPRole_CLIENT))
		b.signature(org, "Writers", 1, principal(member.MSP, msp.MSPRole_ADMIN), principal(member.MSP, msp.MSPRole_CLIENT))
		b.signature(org, "Endorsement", 1, principal(member.MSP, msp.MSPRole_PEER))
		b.value(org, "AnchorPeers", &peer.AnchorPeers{AnchorPeers: []*peer.AnchorPeer{{Host: member.Host, Port: int32(member.Ports.Peer)}}})
		g.Groups[member.MSP] = org
	}
	return g
}

// endorsement is the channel's policy, which every chaincode without its own
// follows. The three words stay true when members come and go.
func (b *blockBuilder) endorsement(g *common.ConfigGroup) {
	rules := map[string]common.ImplicitMetaPolicy_Rule{
		topology.Majority: common.ImplicitMetaPolicy_MAJORITY,
		topology.Any:      common.ImplicitMetaPolicy_ANY,
		topology.All:      common.ImplicitMetaPolicy_ALL,
	}
	if rule, ok := rules[b.t.Endorsement]; ok {
		b.implicit(g, "Endorsement", rule, "Endorsement")
		return
	}
	p, err := topology.ParsePolicy(b.t.Endorsement, b.t.MSPs())
	if err != nil && b.err == nil {
		b.err = err
	}
	b.policy(g, "Endorsement", common.Policy_SIGNATURE, signaturePolicy(p))
}

// organisation is the part that a member has in common in both groups.
func (b *blockBuilder) organisation(m *topology.Member) *common.ConfigGroup {
	g := group()
	certs := b.m.members[m.Name]
	ou := func(name string) *msp.FabricOUIdentifier {
		return &msp.FabricOUIdentifier{Certificate: certs.ca, OrganizationalUnitIdentifier: name}
	}
	b.value(g, "MSP", &msp.MSPConfig{Config: b.marshal(&msp.FabricMSPConfig{
		Name:         m.MSP,
		RootCerts:    [][]byte{certs.ca},
		TlsRootCerts: [][]byte{certs.tlsCA},
		CryptoConfig: &msp.FabricCryptoConfig{SignatureHashFamily: "SHA2", IdentityIdentifierHashFunction: "SHA256"},
		FabricNodeOus: &msp.FabricNodeOUs{
			Enable:             true,
			ClientOuIdentifier: ou("client"), PeerOuIdentifier: ou("peer"),
			AdminOuIdentifier: ou("admin"), OrdererOuIdentifier: ou("orderer"),
		},
	})})
	b.signature(g, admins, 1, principal(m.MSP, msp.MSPRole_ADMIN))
	return g
}

// smartBFT shortens the library's timers, with which the crash of a leader
// stalls the ledger for a minute; with these for about four seconds.
func (b *blockBuilder) smartBFT(g *common.ConfigGroup) {
	consenters := make([]*common.Consenter, len(b.t.Orderers))
	for i := range b.t.Orderers {
		o := &b.t.Orderers[i]
		certs := b.m.orderers[o.Name]
		consenters[i] = &common.Consenter{
			Id: uint32(i + 1), Host: o.Host, Port: uint32(o.Ports.Orderer), MspId: b.mspOf(o),
			Identity: certs.identity, ClientTlsCert: certs.tls, ServerTlsCert: certs.tls,
		}
	}
	b.value(g, "Orderers", &common.Orderers{ConsenterMapping: consenters})
	b.value(g, "ConsensusType", &orderer.ConsensusType{Type: "BFT", Metadata: b.marshal(&smartbft.Options{
		RequestBatchMaxCount:      uint64(b.t.Batch.Messages),
		RequestBatchMaxBytes:      uint64(b.t.Batch.Absolute),
		RequestBatchMaxInterval:   b.t.Batch.Timeout.String(),
		IncomingMessageBufferSize: 200,
		RequestPoolSize:           100_000,
		RequestForwardTimeout:     "2s",
		RequestComplainTimeout:    "4s",
		RequestAutoRemoveTimeout:  "3m0s",
		RequestMaxBytes:           uint64(b.t.Batch.Absolute),
		ViewChangeResendInterval:  "1s",
		ViewChangeTimeout:         "5s",
		LeaderHeartbeatTimeout:    "5s",
		LeaderHeartbeatCount:      10,
		CollectTimeout:            "500ms",
		SyncOnStart:               false,
		SpeedUpViewChange:         false,
		LeaderRotation:            smartbft.Options_ROTATION_OFF,
		DecisionsPerLeader:        0,
	})})
	// A block is valid with a quorum of the ordering nodes' own signatures, not
	// those of any member of their organisations.
	n := len(consenters)
	faulty := (n - 1) / 3
	quorum := (n + faulty + 2) / 2 // ceil((n+f+1)/2), as Fabric computes it
	identities := make([]*msp.MSPPrincipal, n)
	for i, c := range consenters {
		identities[i] = &msp.MSPPrincipal{
			PrincipalClassification: msp.MSPPrincipal_IDENTITY,
			Principal:               b.marshal(&msp.SerializedIdentity{Mspid: c.MspId, IdBytes: c.Identity}),
		}
	}
	b.policy(g, "BlockValidation", common.Policy_SIGNATURE, outOf(quorum, identities...))
}

func (b *blockBuilder) raft(g *common.ConfigGroup) {
	consenters := make([]*etcdraft.Consenter, len(b.t.Orderers))
	for i := range b.t.Orderers {
		o := &b.t.Orderers[i]
		tls := b.m.orderers[o.Name].tls
		consenters[i] = &etcdraft.Consenter{Host: o.Host, Port: uint32(o.Ports.Orderer), ClientTlsCert: tls, ServerTlsCert: tls}
	}
	b.value(g, "ConsensusType", &orderer.ConsensusType{Type: "etcdraft", Metadata: b.marshal(&etcdraft.ConfigMetadata{
		Consenters: consenters,
		Options: &etcdraft.Options{
			TickInterval: "100ms", ElectionTick: 10, HeartbeatTick: 1,
			MaxInflightBlocks: 5, SnapshotIntervalSize: 16 << 20,
		},
	})})
	b.implicit(g, "BlockValidation", common.ImplicitMetaPolicy_ANY, "Writers")
}

func (b *blockBuilder) mspOf(o *topology.Orderer) string {
	m, ok := b.t.Member(o.Member)
	if !ok {
		if b.err == nil {
			b.err = fmt.Errorf("ordering node %s: no member %s", o.Name, o.Member)
		}
		return ""
	}
	return m.MSP
}

func group() *common.ConfigGroup {
	return &common.ConfigGroup{
		Groups: map[string]*common.ConfigGroup{}, Values: map[string]*common.ConfigValue{},
		Policies: map[string]*common.ConfigPolicy{}, ModPolicy: admins,
	}
}

func (b *blockBuilder) value(g *common.ConfigGroup, key string, m proto.Message) {
	g.Values[key] = &common.ConfigValue{Value: b.marshal(m), ModPolicy: admins}
}

func (b *blockBuilder) policy(g *common.ConfigGroup, name string, kind common.Policy_PolicyType, m proto.Message) {
	g.Policies[name] = &common.ConfigPolicy{ModPolicy: admins, Policy: &common.Policy{Type: int32(kind), Value: b.marshal(m)}}
}

func (b *blockBuilder) implicit(g *common.ConfigGroup, name string, rule common.ImplicitMetaPolicy_Rule, of string) {
	b.policy(g, name, common.Policy_IMPLICIT_META, &common.ImplicitMetaPolicy{Rule: rule, SubPolicy: of})
}

func (b *blockBuilder) signature(g *common.ConfigGroup, name string, need int, who ...*msp.MSPPrincipal) {
	b.policy(g, name, common.Policy_SIGNATURE, outOf(need, who...))
}

func capabilities(name string) *common.Capabilities {
	return &common.Capabilities{Capabilities: map[string]*common.Capability{name: {}}}
}

// block wraps the configuration in block 0, whose creator and signature are
// empty: every ordering node and peer is handed it by its own administrator.
func (b *blockBuilder) block(channel *common.ConfigGroup) (*common.Block, error) {
	nonce := make([]byte, 24)
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("choosing a nonce: %w", err)
	}
	sum := sha256.Sum256(nonce)
	header := &common.ChannelHeader{
		Type: int32(common.HeaderType_CONFIG), Version: 1, ChannelId: b.t.Channel,
		Timestamp: &timestamppb.Timestamp{Seconds: time.Now().Unix()}, TxId: fmt.Sprintf("%x", sum),
	}
	payload := b.marshal(&common.Payload{
		Header: &common.Header{ChannelHeader: b.marshal(header), SignatureHeader: b.marshal(&common.SignatureHeader{Nonce: nonce})},
		Data:   b.marshal(&common.ConfigEnvelope{Config: &common.Config{ChannelGroup: channel}}),
	})
	data := &common.BlockData{Data: [][]byte{b.marshal(&common.Envelope{Payload: payload})}}
	hash := sha256.Sum256(data.Data[0])
	metadata := make([][]byte, len(common.BlockMetadataIndex_name))
	//lint:ignore SA1019 Fabric's own tools still write it, beside its successor below
	metadata[common.BlockMetadataIndex_LAST_CONFIG] = b.marshal(&common.Metadata{Value: b.marshal(&common.LastConfig{Index: 0})})
	metadata[common.BlockMetadataIndex_SIGNATURES] = b.marshal(&common.Metadata{
		Value: b.marshal(&common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: 0}}),
	})
	if b.err != nil {
		return nil, b.err
	}
	return &common.Block{
		Header:   &common.BlockHeader{Number: 0, DataHash: hash[:]},
		Data:     data,
		Metadata: &common.BlockMetadata{Metadata: metadata},
	}, nil
}
