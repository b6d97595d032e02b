package fabric

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/network/topology"
)

// orderTime is how long an ordering node is given to get a configuration into a block
// before the next one is asked: a node may lie, or be cut off from the others.
const orderTime = 15 * time.Second

// publish brings the channel's configuration to hold the member's revocation list (PEM), and
// returns once the member's own peer has it. What it holds already isn't sent again.
//
// The list is part of the member's MSP, which stands twice in the configuration, among the
// applications' and among the ordering organisations; Fabric wants both alike. Either may
// be changed by the member's own administrators (the group's policy Admins).
func (m *Member) publish(ctx context.Context, t *topology.Topology, list []byte) error {
	c, err := m.Connect(m.Admin())
	if err != nil {
		return err
	}
	defer c.Close()
	var last error
	for _, o := range m.ordering(t) {
		update, err := m.revocation(ctx, c, t.Channel, list)
		if err != nil {
			return err
		}
		if update == nil {
			return nil
		}
		if last = m.broadcast(ctx, t, o, update); last != nil {
			continue
		}
		if last = m.awaitList(ctx, c, t.Channel, list); last == nil {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	if last == nil {
		last = errors.New("the topology has no ordering node")
	}
	return fmt.Errorf("putting the revocation list of %s into the channel's configuration: %w", m.Name, last)
}

// ordering lists the ordering nodes, the member's own first.
func (m *Member) ordering(t *topology.Topology) []*topology.Orderer {
	var own, others []*topology.Orderer
	for i := range t.Orderers {
		if o := &t.Orderers[i]; o.Member == m.Name {
			own = append(own, o)
		} else {
			others = append(others, o)
		}
	}
	return append(own, others...)
}

func (m *Member) awaitList(ctx context.Context, c *Connection, channel string, list []byte) error {
	ctx, cancel := context.WithTimeoutCause(ctx, orderTime, fmt.Errorf("not in a block within %v", orderTime))
	defer cancel()
	return retry(ctx, "waiting for the configuration", func() error {
		update, err := m.revocation(ctx, c, channel, list)
		if err == nil && update != nil {
			err = errors.New("the member's peer doesn't have it yet")
		}
		return err
	})
}

// configuration is the channel's, as the connection's own peer has it.
func (c *Connection) configuration(ctx context.Context, channel string) (*common.ConfigGroup, error) {
	raw, err := c.GetNetwork(channel).GetContract("cscc").EvaluateWithContext(ctx, "GetChannelConfig",
		client.WithArguments(channel), client.WithEndorsingOrganizations(c.id.MspID()))
	if err != nil {
		return nil, fmt.Errorf("reading the channel's configuration: %w", explain(err))
	}
	config := &common.Config{}
	if err := proto.Unmarshal(raw, config); err != nil {
		return nil, fmt.Errorf("reading the channel's configuration: %w", err)
	}
	return config.ChannelGroup, nil
}

// revocation is the signed update that puts the list into the member's MSP; nil if the
// configuration holds it.
func (m *Member) revocation(ctx context.Context, c *Connection, channel string, list []byte) (*common.Envelope, error) {
	root, err := c.configuration(ctx, channel)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(list)
	if block == nil {
		return nil, errors.New("the revocation list is not PEM")
	}
	read, write, changed := bare(root), bare(root), false
	for _, part := range []string{"Application", "Orderer"} {
		within, ok := root.Groups[part]
		if !ok {
			continue
		}
		org, ok := within.Groups[m.MSP]
		if !ok {
			continue
		}
		value, err := withList(org.Values["MSP"], block.Bytes)
		if err != nil {
			return nil, err
		}
		read.Groups[part], write.Groups[part] = bare(within), bare(within)
		read.Groups[part].Groups[m.MSP], write.Groups[part].Groups[m.MSP] = bare(org), bare(org)
		if value != nil {
			write.Groups[part].Groups[m.MSP].Values["MSP"] = value
			changed = true
		}
	}
	if !changed {
		return nil, nil
	}
	update, err := proto.MarshalOptions{Deterministic: true}.Marshal(&common.ConfigUpdate{ChannelId: channel, ReadSet: read, WriteSet: write})
	if err != nil {
		return nil, err
	}
	return c.signUpdate(channel, update)
}

// bare is a group as an update names it that leaves it as it is: its version and no more.
func bare(g *common.ConfigGroup) *common.ConfigGroup {
	return &common.ConfigGroup{
		Version: g.Version, ModPolicy: g.ModPolicy, Groups: map[string]*common.ConfigGroup{},
		Values: map[string]*common.ConfigValue{}, Policies: map[string]*common.ConfigPolicy{},
	}
}

// withList is the MSP with this one revocation list, as its next version; nil if it is so.
func withList(value *common.ConfigValue, list []byte) (*common.ConfigValue, error) {
	outer, config := &msp.MSPConfig{}, &msp.FabricMSPConfig{}
	if err := proto.Unmarshal(value.GetValue(), outer); err != nil {
		return nil, fmt.Errorf("reading the member's MSP: %w", err)
	}
	if err := proto.Unmarshal(outer.Config, config); err != nil {
		return nil, fmt.Errorf("reading the member's MSP: %w", err)
	}
	if slices.EqualFunc(config.RevocationList, [][]byte{list}, bytes.Equal) {
		return nil, nil
	}
	config.RevocationList = [][]byte{list}
	var err error
	if outer.Config, err = (proto.MarshalOptions{Deterministic: true}).Marshal(config); err != nil {
		return nil, err
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(outer)
	return &common.ConfigValue{Version: value.GetVersion() + 1, ModPolicy: value.GetModPolicy(), Value: raw}, err
}

// signUpdate signs an update of the configuration, and the envelope that it goes in.
func (c *Connection) signUpdate(channel string, update []byte) (*common.Envelope, error) {
	header, err := c.marshalSignatureHeader()
	if err != nil {
		return nil, err
	}
	signature, err := c.signed(slices.Concat(header, update))
	if err != nil {
		return nil, err
	}
	data, err := proto.Marshal(&common.ConfigUpdateEnvelope{
		ConfigUpdate: update, Signatures: []*common.ConfigSignature{{SignatureHeader: header, Signature: signature}},
	})
	if err != nil {
		return nil, err
	}
	channelHeader, err := proto.Marshal(&common.ChannelHeader{
		Type: int32(common.HeaderType_CONFIG_UPDATE), ChannelId: channel, Timestamp: timestamppb.Now(),
	})
	if err != nil {
		return nil, err
	}
	if header, err = c.marshalSignatureHeader(); err != nil {
		return nil, err
	}
	payload, err := proto.Marshal(&common.Payload{Header: &common.Header{ChannelHeader: channelHeader, SignatureHeader: header}, Data: data})
	if err != nil {
		return nil, err
	}
	signature, err = c.signed(payload)
	return &common.Envelope{Payload: payload, Signature: signature}, err
}

// broadcast hands an envelope to an ordering node.
func (m *Member) broadcast(ctx context.Context, t *topology.Topology, o *topology.Orderer, env *common.Envelope) error {
	of, ok := t.Member(o.Member)
	if !ok {
		return fmt.Errorf("ordering node %s: no member %s", o.Name, o.Member)
	}
	config, err := m.Admin().TLSConfig(filepath.Join(m.TrustDir(), of.MSP+".pem"))
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient("passthrough:///"+o.Address(), grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithNoProxy())
	if err != nil {
		return fmt.Errorf("dialling ordering node %s: %w", o.Name, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	stream, err := orderer.NewAtomicBroadcastClient(conn).Broadcast(ctx)
	if err != nil {
		return fmt.Errorf("ordering node %s: %w", o.Name, err)
	}
	if err := stream.Send(env); err != nil {
		return fmt.Errorf("ordering node %s: %w", o.Name, err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return fmt.Errorf("ordering node %s: %w", o.Name, err)
	}
	if answer.Status != common.Status_SUCCESS {
		return fmt.Errorf("ordering node %s refuses it: %s: %s", o.Name, answer.Status, answer.Info)
	}
	return nil
}
