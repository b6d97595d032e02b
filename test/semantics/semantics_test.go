// Package semantics_test holds the in-process ledger (chaincode/ledgertest) to
// what Fabric does: its table of cases, which the in-process ledger passes, is run
// here against real peers.
package semantics_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/hyperledger/fabric-gateway/pkg/client"
	"github.com/hyperledger/fabric-gateway/pkg/identity"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/ledgertest"
	"yitong/gateway/ledger"
	"yitong/network/fabric"
	"yitong/network/topology"
	"yitong/test/consortium"
)

func TestMain(m *testing.M) { consortium.Main(m) }

const probe = "probe"

func TestPeersPassTheCasesOfTheInProcessLedger(t *testing.T) {
	if testing.Short() {
		t.Skip("this test runs a real network: leave out -short")
	}
	ledgertest.RunCases(t, start(t), "")
}

// network is a real channel with the probe on it.
type network struct {
	*fabric.Network
	admin     *fabric.Connection
	sign      identity.Sign
	broadcast orderer.AtomicBroadcast_BroadcastClient
	peers     []*ledger.Ledger
}

// start runs a network of four members and one ordering node: one, so that what it
// is sent in a row stands in one block in that order.
func start(t *testing.T) *network {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	t.Cleanup(cancel)
	binaries, err := consortium.Binaries(ctx)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	top := topology.Default()
	top.Consensus, top.Orderers = topology.Raft, top.Orderers[:1]
	top.Batch.Timeout = 100 * time.Millisecond
	if err := top.FreePorts(); err != nil {
		t.Fatal(err)
	}
	n := &network{}
	n.Network, err = fabric.Open(t.TempDir(), top, fabric.Options{
		Binaries: binaries, Executable: self,
		Chaincodes: []fabric.Chaincode{{Name: probe, Version: "1", Probe: "run", Command: func(*fabric.Member) fabric.Command {
			return fabric.Command{Path: n.Executable(), Args: []string{consortium.ServeProbe}}
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	for _, m := range n.Network.Members() {
		l, err := consortium.Dial(n.Network, m, probe)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		n.peers = append(n.peers, l)
	}
	n.connect(t, ctx)
	return n
}

// connect prepares the first member's client: its peer, its key, and a stream of
// its own to the ordering node.
func (n *network) connect(t *testing.T, ctx context.Context) {
	t.Helper()
	m := n.Network.Members()[0]
	id := m.Gateway()
	var err error
	if n.admin, err = m.Connect(id); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.admin.Close() })
	raw, err := os.ReadFile(id.Key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := identity.PrivateKeyFromPEM(raw)
	if err != nil {
		t.Fatal(err)
	}
	if n.sign, err = identity.NewPrivateKeySign(key); err != nil {
		t.Fatal(err)
	}
	config, err := id.TLSConfig(m.TLSCA())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient("passthrough:///"+n.Topology().Orderers[0].Address(), grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if n.broadcast, err = orderer.NewAtomicBroadcastClient(conn).Broadcast(ctx); err != nil {
		t.Fatal(err)
	}
}

// Members implements ledgertest.Network.
func (n *network) Members() []string { return n.Topology().MSPs() }

// endorsed is an envelope, signed and not sent.
type endorsed struct {
	id       string
	envelope *common.Envelope
	answer   []byte
}

// Answer implements ledgertest.Endorsed.
func (e endorsed) Answer() []byte { return e.answer }

// Endorse implements ledgertest.Network; who is always the first member.
func (n *network) Endorse(ctx context.Context, who string, endorsers []string, script string) (ledgertest.Endorsed, error) {
	if who != n.Members()[0] {
		return nil, fmt.Errorf("no client of %s", who)
	}
	p, err := n.admin.GetNetwork(n.Topology().Channel).GetContract(probe).
		NewProposal("run", client.WithArguments(script), client.WithEndorsingOrganizations(endorsers...))
	if err != nil {
		return nil, err
	}
	tx, err := p.EndorseWithContext(ctx)
	if err != nil {
		return nil, told(err)
	}
	raw, err := tx.Bytes()
	if err != nil {
		return nil, err
	}
	var prepared gateway.PreparedTransaction
	if err := proto.Unmarshal(raw, &prepared); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(prepared.Envelope.Payload)
	if prepared.Envelope.Signature, err = n.sign(digest[:]); err != nil {
		return nil, err
	}
	return endorsed{p.TransactionID(), prepared.Envelope, tx.Result()}, nil
}

// told adds what the endorsers said, which gRPC carries beside the message.
func told(err error) error {
	var e *client.EndorseError
	if !errors.As(err, &e) {
		return err
	}
	for _, d := range e.GRPCStatus().Details() {
		if detail, ok := d.(*gateway.ErrorDetail); ok {
			err = fmt.Errorf("%w; %s: %s", err, detail.MspId, detail.Message)
		}
	}
	return err
}

// Commit implements ledgertest.Network. It returns when every peer has the block.
func (n *network) Commit(ctx context.Context, txs ...ledgertest.Endorsed) ([]peer.TxValidationCode, error) {
	height, err := n.peers[0].Height(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(txs))
	for i, tx := range txs {
		e, ok := tx.(endorsed)
		if !ok {
			return nil, fmt.Errorf("commit: %T is another network's", tx)
		}
		ids[i] = e.id
		if err := n.broadcast.Send(e.envelope); err != nil {
			return nil, err
		}
	}
	for range txs {
		answer, err := n.broadcast.Recv()
		if err != nil {
			return nil, err
		}
		if answer.Status != common.Status_SUCCESS {
			return nil, fmt.Errorf("the ordering node answers %s: %s", answer.Status, answer.Info)
		}
	}
	var codes []peer.TxValidationCode
	for _, at := range n.peers {
		if codes, err = block(ctx, at, height, ids); err != nil {
			return nil, err
		}
	}
	return codes, nil
}

// block waits for the block at a height and returns its validation codes. It must
// hold exactly these transactions, in this order.
func block(ctx context.Context, at *ledger.Ledger, height uint64, ids []string) ([]peer.TxValidationCode, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for b, err := range at.Blocks(ctx, height) {
		if err != nil {
			return nil, err
		}
		var got []string
		var codes []peer.TxValidationCode
		for _, tx := range b.Transactions {
			got, codes = append(got, tx.ID), append(codes, tx.Code)
		}
		if !slices.Equal(got, ids) {
			return nil, fmt.Errorf("block %d holds %d transactions, not the %d that were sent, or in another order", b.Number, len(got), len(ids))
		}
		return codes, nil
	}
	return nil, errors.New("the blocks ended")
}
