package ledger

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// decodeEnvelope decodes a transaction as it stands in a block. Whoever may write
// to the channel may put bytes there that are no transaction, so it never fails:
// it goes as far as it can and says in Malformed where it stopped.
func decodeEnvelope(raw []byte) Transaction {
	var t Transaction
	if err := t.decode(raw); err != nil {
		t.Malformed = err.Error()
	}
	return t
}

func (t *Transaction) decode(raw []byte) error {
	env, payload := &common.Envelope{}, &common.Payload{}
	if err := unmarshal("envelope", raw, env); err != nil {
		return err
	}
	if err := unmarshal("payload", env.GetPayload(), payload); err != nil {
		return err
	}
	kind, err := t.decodeHeader(payload.GetHeader())
	if err != nil {
		return err
	}
	switch kind {
	case common.HeaderType_CONFIG:
		t.Config = true
		return nil
	case common.HeaderType_ENDORSER_TRANSACTION:
		return t.decodeTransaction(payload.GetData())
	}
	return fmt.Errorf("header type %d is neither a transaction nor a configuration", kind)
}

func (t *Transaction) decodeHeader(h *common.Header) (common.HeaderType, error) {
	channel, signature, extension := &common.ChannelHeader{}, &common.SignatureHeader{}, &peer.ChaincodeHeaderExtension{}
	if err := unmarshal("channel header", h.GetChannelHeader(), channel); err != nil {
		return 0, err
	}
	t.ID = channel.GetTxId()
	if ts := channel.GetTimestamp(); ts.IsValid() {
		t.Timestamp = ts.AsTime()
	}
	if err := unmarshal("signature header", h.GetSignatureHeader(), signature); err != nil {
		return 0, err
	}
	creator, err := decodeIdentity(signature.GetCreator())
	if err != nil {
		return 0, err
	}
	t.Creator = creator
	kind := common.HeaderType(channel.GetType())
	if kind != common.HeaderType_ENDORSER_TRANSACTION {
		return kind, nil
	}
	// The chaincode is the header's: endorsers run what it names, whatever the
	// invocation further down may say.
	if err := unmarshal("header extension", channel.GetExtension(), extension); err != nil {
		return 0, err
	}
	t.Chaincode = extension.GetChaincodeId().GetName()
	return kind, nil
}

func (t *Transaction) decodeTransaction(raw []byte) error {
	tx, action := &peer.Transaction{}, &peer.ChaincodeActionPayload{}
	if err := unmarshal("transaction", raw, tx); err != nil {
		return err
	}
	if n := len(tx.GetActions()); n != 1 {
		return fmt.Errorf("transaction has %d actions in place of one", n)
	}
	if err := unmarshal("action", tx.GetActions()[0].GetPayload(), action); err != nil {
		return err
	}
	if err := t.decodeInvocation(action.GetChaincodeProposalPayload()); err != nil {
		return err
	}
	for _, e := range action.GetAction().GetEndorsements() {
		// Its certificate isn't looked at: parsing those of three endorsers would
		// cost more than the rest of the transaction.
		id := &msp.SerializedIdentity{}
		if err := unmarshal("identity", e.GetEndorser(), id); err != nil {
			return err
		}
		t.Endorsers = append(t.Endorsers, id.GetMspid())
	}
	return t.decodeResults(action.GetAction().GetProposalResponsePayload())
}

func (t *Transaction) decodeInvocation(raw []byte) error {
	proposal, spec := &peer.ChaincodeProposalPayload{}, &peer.ChaincodeInvocationSpec{}
	if err := unmarshal("proposal", raw, proposal); err != nil {
		return err
	}
	if err := unmarshal("invocation", proposal.GetInput(), spec); err != nil {
		return err
	}
	args := spec.GetChaincodeSpec().GetInput().GetArgs()
	if len(args) > 0 {
		t.Function = string(args[0])
	}
	if len(args) > 1 {
		t.Argument = args[1]
	}
	return nil
}

func (t *Transaction) decodeResults(raw []byte) error {
	response, action, results := &peer.ProposalResponsePayload{}, &peer.ChaincodeAction{}, &rwset.TxReadWriteSet{}
	if err := unmarshal("proposal response", raw, response); err != nil {
		return err
	}
	if err := unmarshal("chaincode action", response.GetExtension(), action); err != nil {
		return err
	}
	if err := unmarshal("results", action.GetResults(), results); err != nil {
		return err
	}
	for _, ns := range results.GetNsRwset() {
		set := &kvrwset.KVRWSet{}
		if err := unmarshal("read-write set", ns.GetRwset(), set); err != nil {
			return err
		}
		for _, w := range set.GetWrites() {
			t.Writes = append(t.Writes, newWrite(ns.GetNamespace(), w))
		}
	}
	return nil
}

func newWrite(namespace string, w *kvrwset.KVWrite) Write {
	out := Write{Namespace: namespace, Key: w.GetKey(), Delete: w.GetIsDelete()}
	if !out.Delete {
		out.Value = w.GetValue()
	}
	out.ObjectType, out.Attributes = splitCompositeKey(out.Key)
	return out
}

// splitCompositeKey undoes the shim's CreateCompositeKey: U+0000, then the object
// type and each attribute closed by U+0000. Any other key has no object type.
func splitCompositeKey(key string) (string, []string) {
	inner, ok := strings.CutPrefix(key, "\x00")
	if !ok {
		return "", nil
	}
	inner, ok = strings.CutSuffix(inner, "\x00")
	if !ok {
		return "", nil
	}
	parts := strings.Split(inner, "\x00")
	return parts[0], parts[1:]
}

func decodeIdentity(raw []byte) (Identity, error) {
	id := &msp.SerializedIdentity{}
	if err := unmarshal("identity", raw, id); err != nil {
		return Identity{}, err
	}
	out := Identity{MSP: id.GetMspid()}
	block, _ := pem.Decode(id.GetIdBytes())
	if block == nil {
		return out, nil
	}
	if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
		out.Name = cert.Subject.CommonName
	}
	return out, nil
}

func unmarshal(what string, raw []byte, m proto.Message) error {
	if err := proto.Unmarshal(raw, m); err != nil {
		return fmt.Errorf("%s is not what it should be: %w", what, err)
	}
	return nil
}
