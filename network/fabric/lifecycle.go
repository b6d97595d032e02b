package fabric

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer/lifecycle"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"yitong/network/topology"

	gatewaypb "github.com/hyperledger/fabric-protos-go-apiv2/gateway"
)

// definition is what the members agree on about one chaincode.
type definition struct {
	name, version string
	sequence      int64
	validation    []byte // peer.ApplicationPolicy
	packageID     string
	content       []byte
}

// validation writes a chaincode's endorsement policy; empty is the channel's.
func (n *Network) validation(policy string) ([]byte, error) {
	p := &peer.ApplicationPolicy{Type: &peer.ApplicationPolicy_ChannelConfigPolicyReference{
		ChannelConfigPolicyReference: "/Channel/Application/Endorsement",
	}}
	if policy != "" {
		parsed, err := topology.ParsePolicy(policy, n.topology.MSPs())
		if err != nil {
			return nil, err
		}
		p.Type = &peer.ApplicationPolicy_SignaturePolicy{SignaturePolicy: signaturePolicy(parsed)}
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(p)
}

// agree brings the chaincode's definition on the ledger, unless it is there: all
// members install and approve at the same time, then one commits for all. Each
// step asks the ledger first, so it can be repeated after any crash.
func (n *Network) agree(ctx context.Context, d *definition) error {
	committed, err := n.committed(ctx, d.name)
	if err != nil {
		return err
	}
	d.sequence = 1
	if committed != nil {
		if committed.Version == d.version && string(committed.ValidationParameter) == string(d.validation) {
			return nil
		}
		d.sequence = committed.Sequence + 1
	}
	all, each := errgroup.WithContext(ctx)
	for i := range n.members {
		m := n.members[i]
		all.Go(func() error {
			if err := n.install(each, m, d); err != nil {
				return err
			}
			return n.approve(each, m, d)
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	return n.commit(ctx, d)
}

// committed is the definition on the ledger as the first member that answers
// sees it; nil when there is none.
func (n *Network) committed(ctx context.Context, name string) (*lifecycle.QueryChaincodeDefinitionResult, error) {
	var found *lifecycle.QueryChaincodeDefinitionResult
	err := retry(ctx, "asking the ledger for chaincode "+name, func() error {
		var last error
		for _, m := range n.members {
			result, err := n.definitionAt(ctx, m, name)
			if err == nil {
				found = result
				return nil
			}
			last = err
		}
		return last
	})
	return found, err
}

func (n *Network) definitionAt(ctx context.Context, m *Member, name string) (*lifecycle.QueryChaincodeDefinitionResult, error) {
	raw, err := n.lifecycle(ctx, m, "QueryChaincodeDefinition", &lifecycle.QueryChaincodeDefinitionArgs{Name: name})
	if err != nil {
		if strings.Contains(explain(err).Error(), "is not defined") {
			return nil, nil
		}
		return nil, explain(err)
	}
	result := new(lifecycle.QueryChaincodeDefinitionResult)
	return result, proto.Unmarshal(raw, result)
}

// lifecycle evaluates a function of Fabric's life cycle at the member's peer.
func (n *Network) lifecycle(ctx context.Context, m *Member, function string, args proto.Message) ([]byte, error) {
	c, err := n.admin(m)
	if err != nil {
		return nil, final(err)
	}
	raw, err := proto.Marshal(args)
	if err != nil {
		return nil, final(err)
	}
	return c.GetNetwork(n.topology.Channel).GetContract("_lifecycle").EvaluateWithContext(ctx, function,
		client.WithBytesArguments(raw), client.WithEndorsingOrganizations(m.MSP))
}

func (n *Network) install(ctx context.Context, m *Member, d *definition) error {
	c, err := n.admin(m)
	if err != nil {
		return err
	}
	raw, err := proto.Marshal(&lifecycle.InstallChaincodeArgs{ChaincodeInstallPackage: d.content})
	if err != nil {
		return fmt.Errorf("installing chaincode %s: %w", d.name, err)
	}
	return retry(ctx, "installing chaincode "+d.name+" at "+m.Name, func() error {
		_, err := c.systemCall(ctx, common.HeaderType_ENDORSER_TRANSACTION, "_lifecycle", "InstallChaincode", raw)
		switch {
		case err == nil || strings.Contains(err.Error(), "already successfully installed"):
			return nil
		case strings.Contains(err.Error(), "could not build chaincode"):
			return final(err)
		}
		return err
	})
}

func (n *Network) approve(ctx context.Context, m *Member, d *definition) error {
	args := &lifecycle.ApproveChaincodeDefinitionForMyOrgArgs{
		Name: d.name, Version: d.version, Sequence: d.sequence,
		EndorsementPlugin: "escc", ValidationPlugin: "vscc", ValidationParameter: d.validation,
		Source: &lifecycle.ChaincodeSource{Type: &lifecycle.ChaincodeSource_LocalPackage{
			LocalPackage: &lifecycle.ChaincodeSource_Local{PackageId: d.packageID},
		}},
	}
	return retry(ctx, "approving chaincode "+d.name+" for "+m.Name, func() error {
		err := n.submit(ctx, m, "ApproveChaincodeDefinitionForMyOrg", args, m.MSP)
		// A repeated approval is refused with these words.
		if err != nil && strings.Contains(err.Error(), "with unchanged content") {
			return nil
		}
		return err
	})
}

func (n *Network) commit(ctx context.Context, d *definition) error {
	args := &lifecycle.CommitChaincodeDefinitionArgs{
		Name: d.name, Version: d.version, Sequence: d.sequence,
		EndorsementPlugin: "escc", ValidationPlugin: "vscc", ValidationParameter: d.validation,
	}
	first := n.members[0]
	return retry(ctx, "committing chaincode "+d.name, func() error {
		err := n.submit(ctx, first, "CommitChaincodeDefinition", args, n.topology.MSPs()...)
		if err == nil {
			return nil
		}
		// The answer may have been lost after the transaction was committed.
		if now, asked := n.definitionAt(ctx, first, d.name); asked == nil && now != nil && now.Sequence >= d.sequence {
			return nil
		}
		return err
	})
}

// submit has a life-cycle transaction endorsed by the organisations, ordered
// and committed at the member's peer.
func (n *Network) submit(ctx context.Context, m *Member, function string, args proto.Message, endorsers ...string) error {
	c, err := n.admin(m)
	if err != nil {
		return final(err)
	}
	raw, err := proto.Marshal(args)
	if err != nil {
		return final(err)
	}
	_, err = c.GetNetwork(n.topology.Channel).GetContract("_lifecycle").SubmitWithContext(ctx, function,
		client.WithBytesArguments(raw), client.WithEndorsingOrganizations(endorsers...))
	return explain(err)
}

// explain adds the peers' own words, which gRPC carries beside the message.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var words []string
	for e := err; e != nil; e = errors.Unwrap(e) {
		s, ok := e.(interface{ GRPCStatus() *status.Status })
		if !ok {
			continue
		}
		for _, d := range s.GRPCStatus().Details() {
			if detail, ok := d.(*gatewaypb.ErrorDetail); ok {
				words = append(words, detail.MspId+": "+detail.Message)
			}
		}
		break
	}
	if len(words) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(words, "; "))
}
