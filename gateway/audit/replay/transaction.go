package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay/channel"
)

// transaction is one envelope of a block, with everything worked out that needs no state.
type transaction struct {
	index     int
	id        string
	head      *common.ChannelHeader
	nonce     []byte
	config    *common.ConfigEnvelope // of a configuration
	timestamp time.Time
	creator   []byte
	who       *channel.Identity // creator
	endorsers []*channel.Identity

	chaincode string
	version   string
	args      [][]byte
	action    []byte // peer.ChaincodeAction as endorsed
	sets      []namespaceSet

	endorsed   bool                  // it is one of a chaincode, well-formed as far as what was endorsed
	code       peer.TxValidationCode // VALID until something is found against it
	reason     string                // for the code
	signatures int                   // verified
	again      rerun                 // what the rules say of it, once run
	unjudged   bool                  // the rules under which it was endorsed aren't this program's
}

// namespaceSet is what a transaction read and wrote of one namespace.
type namespaceSet struct {
	namespace   string
	kv          *kvrwset.KVRWSet
	collections []collectionSet
}

type collectionSet struct {
	name string
	set  *kvrwset.HashedRWSet
}

func (n namespaceSet) writes() bool {
	if len(n.kv.Writes) > 0 || len(n.kv.MetadataWrites) > 0 {
		return true
	}
	for _, c := range n.collections {
		if len(c.set.HashedWrites) > 0 || len(c.set.MetadataWrites) > 0 {
			return true
		}
	}
	return false
}

// fail notes why a peer must find the transaction invalid.
func (t *transaction) fail(code peer.TxValidationCode, format string, args ...any) {
	t.code, t.reason = code, fmt.Sprintf(format, args...)
}

// readTransaction follows Fabric's core/common/validation and the part of
// committer/txvalidator/v20 that needs no state, in the same order, and verifies every
// signature.
func readTransaction(c *channel.Config, index int, raw []byte) *transaction {
	t := &transaction{index: index, code: peer.TxValidationCode_VALID}
	env, payload := &common.Envelope{}, &common.Payload{}
	if err := proto.Unmarshal(raw, env); err != nil {
		t.fail(peer.TxValidationCode_INVALID_OTHER_REASON, "the envelope can't be read: %v", err)
		return t
	}
	if err := proto.Unmarshal(env.Payload, payload); err != nil {
		t.fail(peer.TxValidationCode_BAD_PAYLOAD, "the payload can't be read: %v", err)
		return t
	}
	kind, err := t.readHeader(payload.Header)
	if err != nil {
		t.fail(peer.TxValidationCode_BAD_COMMON_HEADER, "%v", err)
		return t
	}
	if err := t.checkCreator(c, env); err != nil {
		t.fail(peer.TxValidationCode_BAD_CREATOR_SIGNATURE, "%v", err)
		return t
	}
	switch kind {
	case common.HeaderType_CONFIG:
		t.config = &common.ConfigEnvelope{}
		if err := proto.Unmarshal(payload.Data, t.config); err != nil {
			t.fail(peer.TxValidationCode_INVALID_CONFIG_TRANSACTION, "the configuration can't be read: %v", err)
		}
	case common.HeaderType_ENDORSER_TRANSACTION:
		t.readEndorsed(c, payload)
	default:
		t.fail(peer.TxValidationCode_UNSUPPORTED_TX_PAYLOAD, "header type %d", kind)
	}
	return t
}

func (t *transaction) readHeader(h *common.Header) (common.HeaderType, error) {
	if h == nil {
		return 0, errors.New("there is no header")
	}
	head, signature := &common.ChannelHeader{}, &common.SignatureHeader{}
	if err := proto.Unmarshal(h.ChannelHeader, head); err != nil {
		return 0, fmt.Errorf("the channel header can't be read: %w", err)
	}
	t.id = head.TxId
	if head.Timestamp.IsValid() {
		t.timestamp = head.Timestamp.AsTime()
	}
	if err := proto.Unmarshal(h.SignatureHeader, signature); err != nil {
		return 0, fmt.Errorf("the signature header can't be read: %w", err)
	}
	t.head, t.nonce, t.creator = head, signature.Nonce, signature.Creator
	kind := common.HeaderType(head.Type)
	switch kind {
	case common.HeaderType_ENDORSER_TRANSACTION, common.HeaderType_CONFIG_UPDATE, common.HeaderType_CONFIG:
	default:
		return 0, fmt.Errorf("header type %d", head.Type)
	}
	if head.Epoch != 0 || len(signature.Nonce) == 0 || len(signature.Creator) == 0 {
		return 0, errors.New("the header has an epoch, no nonce or no creator")
	}
	return kind, nil
}

func (t *transaction) checkCreator(c *channel.Config, env *common.Envelope) error {
	who, err := c.Identity(t.creator)
	if err != nil {
		return err
	}
	t.who = who
	if who.Invalid != nil {
		return fmt.Errorf("the creator's certificate: %w", who.Invalid)
	}
	t.signatures++
	if !who.Verify(env.Payload, env.Signature) {
		return errors.New("the creator's signature isn't good")
	}
	return nil
}

// readEndorsed reads and checks what endorsers signed.
func (t *transaction) readEndorsed(c *channel.Config, payload *common.Payload) {
	if t.id != transactionID(t.nonce, t.creator) {
		t.fail(peer.TxValidationCode_BAD_PROPOSAL_TXID, "its id isn't the hash of nonce and creator")
		return
	}
	action, response, err := readAction(payload)
	if err != nil {
		t.fail(peer.TxValidationCode_INVALID_ENDORSER_TRANSACTION, "%v", err)
		return
	}
	t.endorsed = true
	t.verifyEndorsements(c, action.GetAction())
	t.readArguments(action.GetChaincodeProposalPayload())
	t.readResults(response)
}

// transactionID is Fabric's: the hash of nonce and creator.
func transactionID(nonce, creator []byte) string {
	sum := sha256.New()
	sum.Write(nonce)
	sum.Write(creator)
	return hex.EncodeToString(sum.Sum(nil))
}

// readAction takes out the one action and checks that what was endorsed is what was
// proposed (Fabric: validateEndorserTransaction).
func readAction(payload *common.Payload) (*peer.ChaincodeActionPayload, *peer.ProposalResponsePayload, error) {
	tx, inner := &peer.Transaction{}, &common.SignatureHeader{}
	action, response := &peer.ChaincodeActionPayload{}, &peer.ProposalResponsePayload{}
	if err := proto.Unmarshal(payload.Data, tx); err != nil {
		return nil, nil, fmt.Errorf("the transaction can't be read: %w", err)
	}
	if len(tx.Actions) != 1 {
		return nil, nil, fmt.Errorf("it has %d actions in place of one", len(tx.Actions))
	}
	one := tx.Actions[0]
	if err := proto.Unmarshal(one.GetHeader(), inner); err != nil || len(inner.Nonce) == 0 || len(inner.Creator) == 0 {
		return nil, nil, errors.New("its action has no good header")
	}
	if err := proto.Unmarshal(one.GetPayload(), action); err != nil {
		return nil, nil, fmt.Errorf("its action can't be read: %w", err)
	}
	if err := proto.Unmarshal(action.GetAction().GetProposalResponsePayload(), response); err != nil {
		return nil, nil, fmt.Errorf("what was endorsed can't be read: %w", err)
	}
	sum := sha256.New()
	sum.Write(payload.Header.ChannelHeader)
	sum.Write(one.Header)
	sum.Write(action.ChaincodeProposalPayload)
	if !bytes.Equal(sum.Sum(nil), response.ProposalHash) {
		return nil, nil, errors.New("what was endorsed isn't what was proposed")
	}
	return action, response, nil
}

func (t *transaction) verifyEndorsements(c *channel.Config, a *peer.ChaincodeEndorsedAction) {
	set := make([]channel.Signed, len(a.GetEndorsements()))
	for i, e := range a.GetEndorsements() {
		message := make([]byte, 0, len(a.ProposalResponsePayload)+len(e.GetEndorser()))
		message = append(append(message, a.ProposalResponsePayload...), e.GetEndorser()...)
		set[i] = channel.Signed{Identity: e.GetEndorser(), Message: message, Signature: e.GetSignature()}
	}
	t.signatures += len(set)
	t.endorsers, _ = c.Signers(set)
}

// readArguments is lenient: a peer doesn't look at them, only the rules do.
func (t *transaction) readArguments(raw []byte) {
	proposal, spec := &peer.ChaincodeProposalPayload{}, &peer.ChaincodeInvocationSpec{}
	if proto.Unmarshal(raw, proposal) == nil && proto.Unmarshal(proposal.Input, spec) == nil {
		t.args = spec.GetChaincodeSpec().GetInput().GetArgs()
	}
}

// readResults follows the first half of plugindispatcher.Dispatch.
func (t *transaction) readResults(response *peer.ProposalResponsePayload) {
	extension, action := &peer.ChaincodeHeaderExtension{}, &peer.ChaincodeAction{}
	if err := proto.Unmarshal(t.head.Extension, extension); err != nil {
		t.fail(peer.TxValidationCode_BAD_HEADER_EXTENSION, "%v", err)
		return
	}
	t.action = response.Extension
	if err := proto.Unmarshal(t.action, action); err != nil {
		t.fail(peer.TxValidationCode_BAD_RESPONSE_PAYLOAD, "%v", err)
		return
	}
	if err := t.readSets(action.Results); err != nil {
		t.fail(peer.TxValidationCode_BAD_RWSET, "%v", err)
		return
	}
	if extension.ChaincodeId == nil || action.ChaincodeId == nil {
		t.fail(peer.TxValidationCode_INVALID_OTHER_REASON, "it names no chaincode")
		return
	}
	t.chaincode, t.version = extension.ChaincodeId.Name, action.ChaincodeId.Version
	if t.chaincode == "" || t.version == "" || t.chaincode != action.ChaincodeId.Name {
		t.fail(peer.TxValidationCode_INVALID_CHAINCODE, "it names its chaincode badly")
		return
	}
	if action.Events != nil {
		event := &peer.ChaincodeEvent{}
		if proto.Unmarshal(action.Events, event) != nil || event.ChaincodeId != t.chaincode {
			t.fail(peer.TxValidationCode_INVALID_OTHER_REASON, "its event is another chaincode's")
			return
		}
	}
	seen := map[string]bool{}
	for _, n := range t.sets {
		if seen[n.namespace] {
			t.fail(peer.TxValidationCode_ILLEGAL_WRITESET, "namespace %s is there twice", n.namespace)
			return
		}
		seen[n.namespace] = true
	}
}

func (t *transaction) readSets(raw []byte) error {
	all := &rwset.TxReadWriteSet{}
	if err := proto.Unmarshal(raw, all); err != nil {
		return err
	}
	for _, ns := range all.NsRwset {
		one := namespaceSet{namespace: ns.GetNamespace(), kv: &kvrwset.KVRWSet{}}
		if err := proto.Unmarshal(ns.GetRwset(), one.kv); err != nil {
			return err
		}
		for _, coll := range ns.GetCollectionHashedRwset() {
			set := &kvrwset.HashedRWSet{}
			if err := proto.Unmarshal(coll.GetHashedRwset(), set); err != nil {
				return err
			}
			one.collections = append(one.collections, collectionSet{coll.GetCollectionName(), set})
		}
		t.sets = append(t.sets, one)
	}
	return nil
}

// lookAt decodes a transaction without verifying it, nil if it isn't one of a chaincode.
func lookAt(index int, raw []byte) *transaction {
	t := &transaction{index: index}
	env, payload := &common.Envelope{}, &common.Payload{}
	if proto.Unmarshal(raw, env) != nil || proto.Unmarshal(env.Payload, payload) != nil {
		return nil
	}
	kind, err := t.readHeader(payload.Header)
	if err != nil || kind != common.HeaderType_ENDORSER_TRANSACTION {
		return nil
	}
	action, response, err := readAction(payload)
	if err != nil {
		return nil
	}
	t.readArguments(action.ChaincodeProposalPayload)
	t.readResults(response)
	return t
}
