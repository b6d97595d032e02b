package replaytest

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer/lifecycle"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/ledgertest"
)

// Parts is a transaction taken apart, for forgers.
type Parts struct {
	Header    *common.ChannelHeader
	Creator   *common.SignatureHeader
	Args      [][]byte
	Action    *peer.ChaincodeAction
	Sets      map[string]*kvrwset.KVRWSet // by namespace
	Endorsers []*Party
	Sender    *Party
	// Spoil, if given, changes the finished envelope; sign is not asked again.
	Spoil func(*common.Envelope)
}

// Level is how many conspire in a forgery: each level includes those before it.
type Level int

// The levels.
const (
	Thief     Level = iota // changes bytes, signs nothing
	Orderers               // and make block, link and signatures good again
	Sender                 // and signs the transaction again
	Endorsers              // and all endorse it again
)

// envelope puts a transaction together, signed by sender and endorsers.
func (p *Parts) envelope() []byte {
	head, by := marshal(p.Header), marshal(p.Creator)
	id := &peer.ChaincodeID{Name: p.Action.ChaincodeId.Name}
	proposal := marshal(&peer.ChaincodeProposalPayload{Input: marshal(&peer.ChaincodeInvocationSpec{
		ChaincodeSpec: &peer.ChaincodeSpec{ChaincodeId: id, Input: &peer.ChaincodeInput{Args: p.Args}},
	})})
	all := &rwset.TxReadWriteSet{DataModel: rwset.TxReadWriteSet_KV}
	var names []string
	for name := range p.Sets {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		all.NsRwset = append(all.NsRwset, &rwset.NsReadWriteSet{Namespace: name, Rwset: marshal(p.Sets[name])})
	}
	p.Action.Results = marshal(all)
	sum := sha256.New()
	sum.Write(head)
	sum.Write(by)
	sum.Write(proposal)
	response := marshal(&peer.ProposalResponsePayload{ProposalHash: sum.Sum(nil), Extension: marshal(p.Action)})
	action := &peer.ChaincodeEndorsedAction{ProposalResponsePayload: response}
	for _, e := range p.Endorsers {
		action.Endorsements = append(action.Endorsements, &peer.Endorsement{
			Endorser: e.Serialized, Signature: e.Sign(append(slices.Clone(response), e.Serialized...)),
		})
	}
	payload := marshal(&common.Payload{
		Header: &common.Header{ChannelHeader: head, SignatureHeader: by},
		Data: marshal(&peer.Transaction{Actions: []*peer.TransactionAction{{
			Header: by, Payload: marshal(&peer.ChaincodeActionPayload{ChaincodeProposalPayload: proposal, Action: action}),
		}}}),
	})
	env := &common.Envelope{Payload: payload, Signature: p.Sender.Sign(payload)}
	if p.Spoil != nil {
		p.Spoil(env)
	}
	return marshal(env)
}

// parts are those of a new transaction of a chaincode.
func (c *Chain) parts(sender *Party, chaincode, version string, at time.Time) *Parts {
	nonce := c.nonce()
	return &Parts{
		Header: &common.ChannelHeader{
			Type: int32(common.HeaderType_ENDORSER_TRANSACTION), ChannelId: ChannelName,
			TxId: TransactionID(nonce, sender.Serialized), Timestamp: timestamppb.New(at),
			Extension: marshal(&peer.ChaincodeHeaderExtension{ChaincodeId: &peer.ChaincodeID{Name: chaincode}}),
		},
		Creator: &common.SignatureHeader{Creator: sender.Serialized, Nonce: nonce},
		Action:  &peer.ChaincodeAction{ChaincodeId: &peer.ChaincodeID{Name: chaincode, Version: version}, Response: &peer.Response{Status: 200}},
		Sets:    map[string]*kvrwset.KVRWSet{}, Sender: sender,
	}
}

// TransactionID is Fabric's.
func TransactionID(nonce, creator []byte) string {
	sum := sha256.Sum256(append(slices.Clone(nonce), creator...))
	return hex.EncodeToString(sum[:])
}

// Pending is a transaction that endorsers have simulated and no block holds yet.
type Pending struct {
	*Parts
	Tx *ledgertest.Tx
}

// Propose has a member's gateway propose a call. It fails the test if the rules refuse it.
func (c *Chain) Propose(msp, function, argument string, endorsers ...string) *Pending {
	c.t.Helper()
	p, err := c.TryPropose(msp, function, argument, endorsers...)
	if err != nil {
		c.t.Fatalf("%s by %s: %v", function, msp, err)
	}
	return p
}

// TryPropose is Propose for calls that may be refused.
func (c *Chain) TryPropose(msp, function, argument string, endorsers ...string) (*Pending, error) {
	if len(endorsers) == 0 {
		endorsers = c.majority(msp)
	}
	parts := c.parts(c.Org(msp).Gateway, ChaincodeName, c.options.Version, c.Ledger.Now())
	parts.Args = [][]byte{[]byte(function), []byte(argument)}
	tx, err := c.Ledger.EndorseProposal(c.t.Context(), ledgertest.Proposal{
		ID: parts.Header.TxId, Creator: ledgertest.Identity{MSP: msp, Creator: parts.Sender.Serialized},
		Timestamp: c.Ledger.Now(), Args: []string{function, argument},
	}, endorsers[0])
	if err != nil {
		return nil, err
	}
	tx.Endorsers = endorsers
	for _, e := range endorsers {
		parts.Endorsers = append(parts.Endorsers, c.Org(e).Peer)
	}
	parts.Action.Response.Payload = tx.Response
	parts.Sets[ChaincodeName] = tx.RWSet
	parts.Sets["_lifecycle"] = &kvrwset.KVRWSet{Reads: []*kvrwset.KVRead{{
		Key: "namespaces/fields/" + ChaincodeName + "/Sequence", Version: &kvrwset.Version{BlockNum: 1},
	}}}
	return &Pending{parts, tx}, nil
}

// majority is three of the four, the sender's among them.
func (c *Chain) majority(msp string) []string {
	out := []string{msp}
	for _, o := range c.Orgs {
		if o.MSP != msp && len(out) < len(c.Orgs)/2+1 {
			out = append(out, o.MSP)
		}
	}
	return out
}

// Commit puts transactions into a block of their own; the ledger gives the verdicts.
func (c *Chain) Commit(pending ...*Pending) []peer.TxValidationCode {
	var txs []*ledgertest.Tx
	var data [][]byte
	for _, p := range pending {
		txs = append(txs, p.Tx)
		data = append(data, p.envelope())
	}
	codes := c.Ledger.Commit(txs...)
	var raw []byte
	var changes []change
	for i, tx := range txs {
		raw = append(raw, byte(codes[i]))
		if codes[i] != peer.TxValidationCode_VALID {
			continue
		}
		for _, w := range tx.RWSet.Writes {
			changes = append(changes, change{space: ChaincodeName, key: w.Key, value: w.Value, tx: uint64(i)})
		}
	}
	c.append(data, raw, changes, false)
	return codes
}

// define commits the chaincode's definition, as Fabric's life cycle does.
func (c *Chain) define() {
	admin := c.Orgs[0].Admin
	p := c.parts(admin, "_lifecycle", "syscc", c.Ledger.Now())
	p.Args = [][]byte{[]byte("CommitChaincodeDefinition")}
	text := func(m proto.Message) []byte {
		return marshal(&lifecycle.StateData{Type: &lifecycle.StateData_Bytes{Bytes: marshal(m)}})
	}
	const fields = "namespaces/fields/" + ChaincodeName + "/"
	set := &kvrwset.KVRWSet{
		Reads: []*kvrwset.KVRead{{Key: fields + "Sequence"}, {Key: "namespaces/metadata/" + ChaincodeName}},
		Writes: []*kvrwset.KVWrite{
			{Key: fields + "EndorsementInfo", Value: text(&lifecycle.ChaincodeEndorsementInfo{Version: c.options.Version, EndorsementPlugin: "escc"})},
			{Key: fields + "Sequence", Value: marshal(&lifecycle.StateData{Type: &lifecycle.StateData_Int64{Int64: 1}})},
			{Key: fields + "ValidationInfo", Value: text(&lifecycle.ChaincodeValidationInfo{
				ValidationPlugin: "vscc", ValidationParameter: marshal(&peer.ApplicationPolicy{
					Type: &peer.ApplicationPolicy_ChannelConfigPolicyReference{ChannelConfigPolicyReference: "/Channel/Application/Endorsement"},
				}),
			})},
			{Key: "namespaces/metadata/" + ChaincodeName, Value: marshal(&lifecycle.StateMetadata{
				Datatype: "ChaincodeDefinition", Fields: []string{"Sequence", "EndorsementInfo", "ValidationInfo", "Collections"},
			})},
		},
	}
	p.Sets["_lifecycle"] = set
	for _, o := range c.Orgs {
		p.Endorsers = append(p.Endorsers, o.Peer)
	}
	var changes []change
	for _, w := range set.Writes {
		changes = append(changes, change{space: "_lifecycle", key: w.Key, value: w.Value})
	}
	c.Ledger.Commit() // an empty block: the ledger's heights are the chain's
	c.append([][]byte{p.envelope()}, []byte{0}, changes, false)
}

// Open takes a transaction of a block apart. Its sender and endorsers are those of the
// chain whose certificates it carries.
func (c *Chain) Open(block, index int) *Parts {
	env, payload, tx := &common.Envelope{}, &common.Payload{}, &peer.Transaction{}
	action, response := &peer.ChaincodeActionPayload{}, &peer.ProposalResponsePayload{}
	p := &Parts{
		Header: &common.ChannelHeader{}, Creator: &common.SignatureHeader{}, Action: &peer.ChaincodeAction{}, Sets: map[string]*kvrwset.KVRWSet{},
	}
	c.read(c.Blocks[block].Data.Data[index], env)
	c.read(env.Payload, payload)
	c.read(payload.Header.ChannelHeader, p.Header)
	c.read(payload.Header.SignatureHeader, p.Creator)
	c.read(payload.Data, tx)
	c.read(tx.Actions[0].Payload, action)
	c.read(action.Action.ProposalResponsePayload, response)
	c.read(response.Extension, p.Action)
	proposal, spec, all := &peer.ChaincodeProposalPayload{}, &peer.ChaincodeInvocationSpec{}, &rwset.TxReadWriteSet{}
	c.read(action.ChaincodeProposalPayload, proposal)
	c.read(proposal.Input, spec)
	p.Args = spec.ChaincodeSpec.Input.Args
	c.read(p.Action.Results, all)
	for _, ns := range all.NsRwset {
		p.Sets[ns.Namespace] = &kvrwset.KVRWSet{}
		c.read(ns.Rwset, p.Sets[ns.Namespace])
	}
	for _, o := range c.Orgs {
		for _, who := range []*Party{o.Gateway, o.Admin, o.Peer} {
			if string(who.Serialized) == string(p.Creator.Creator) {
				p.Sender = who
			}
			for _, e := range action.Action.Endorsements {
				if string(who.Serialized) == string(e.Endorser) {
					p.Endorsers = append(p.Endorsers, who)
				}
			}
		}
	}
	return p
}

func (c *Chain) read(raw []byte, m proto.Message) {
	c.t.Helper()
	if err := proto.Unmarshal(raw, m); err != nil {
		c.t.Fatal(err)
	}
}

// Forge changes a transaction and makes good again what those of the level can. Below
// Endorsers the endorsements stay as they were, below Sender his signature too.
func (c *Chain) Forge(block, index int, level Level, change func(*Parts)) {
	c.t.Helper()
	before := &common.Envelope{}
	c.read(c.Blocks[block].Data.Data[index], before)
	p := c.Open(block, index)
	change(p)
	forged := &common.Envelope{}
	c.read(p.envelope(), forged)
	if level < Endorsers {
		forged.Payload = withEndorsements(c, forged.Payload, before.Payload)
	}
	if level >= Sender {
		forged.Signature = p.Sender.Sign(forged.Payload)
	} else {
		forged.Signature = before.Signature
	}
	if p.Spoil != nil {
		p.Spoil(forged)
	}
	c.Blocks[block].Data.Data[index] = marshal(forged)
	if level >= Orderers {
		c.Reseal(block)
	}
}

// withEndorsements is a payload with the endorsements of another.
func withEndorsements(c *Chain, forged, before []byte) []byte {
	open := func(raw []byte) (*common.Payload, *peer.Transaction, *peer.ChaincodeActionPayload) {
		payload, tx, action := &common.Payload{}, &peer.Transaction{}, &peer.ChaincodeActionPayload{}
		c.read(raw, payload)
		c.read(payload.Data, tx)
		c.read(tx.Actions[0].Payload, action)
		return payload, tx, action
	}
	payload, tx, action := open(forged)
	_, _, old := open(before)
	action.Action.Endorsements = old.Action.Endorsements
	tx.Actions[0].Payload = marshal(action)
	payload.Data = marshal(tx)
	return marshal(payload)
}
