package replay

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-contract-api-go/v2/contractapi"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// engine runs the contracts, one transaction at a time.
type engine struct {
	chaincode *contractapi.ContractChaincode
	now       record.Instant
}

func newEngine() (*engine, error) {
	e := &engine{}
	var err error
	e.chaincode, err = contract.New(func() record.Instant { return e.now })
	return e, err
}

// rerun is how the rules differ from what was endorsed. The zero rerun is that they don't.
type rerun struct {
	check  Check
	detail string
}

func (r rerun) same() bool { return r.check == "" }

// run simulates a transaction on the state before its block and compares what comes out
// with what the endorsers signed. deployed is the version in the chaincode's definition.
//
// The clock is the latest that an endorser can have shown who took part: the transaction's
// timestamp and the skew allowed. The rules use a clock to refuse only, and a later one
// refuses less, so an endorsement that honest members can have given is never called wrong
// for the time at which it was given.
func (e *engine) run(chain string, t *transaction, s state, deployed string) (r rerun) {
	defer func() {
		if p := recover(); p != nil {
			r = rerun{Rules, fmt.Sprintf("the rules can't be run on it: %v", p)}
		}
	}()
	e.now = record.At(t.timestamp) + registry.MaxSkew
	sim := &stub{
		tx: t, chain: chain, state: s,
		writes: map[string]*kvrwset.KVWrite{}, sets: map[string][]byte{}, reads: map[string]version{},
	}
	answer := e.chaincode.Invoke(sim)
	if answer.GetStatus() >= 400 {
		if no, ok := refusal.Parse(answer.GetMessage()); ok {
			return rerun{Rules, fmt.Sprintf("the rules refuse it: %s: %s", no.Code, no.Message)}
		}
		return rerun{Rules, "the rules refuse it: " + answer.GetMessage()}
	}
	expected, results, err := sim.action(answer, deployed)
	if err != nil {
		return rerun{Rules, err.Error()}
	}
	if bytes.Equal(expected, t.action) {
		return rerun{}
	}
	return differ(t, results, answer)
}

// action is what an honest endorser would have signed: Fabric's ChaincodeAction.
func (s *stub) action(answer *peer.Response, deployed string) (action []byte, set *kvrwset.KVRWSet, err error) {
	set = s.set()
	own, err := proto.Marshal(set)
	if err != nil {
		return nil, nil, err
	}
	// A peer looks the definition up in the same simulation: its sequence is read too.
	sequence := "namespaces/fields/" + s.tx.chaincode + "/Sequence"
	read := &kvrwset.KVRead{Key: sequence}
	if e := s.state.get(place{lifecycleSpace, sequence}); e != nil {
		read.Version = e.Version.proto()
	}
	defined, err := proto.Marshal(&kvrwset.KVRWSet{Reads: []*kvrwset.KVRead{read}})
	if err != nil {
		return nil, nil, err
	}
	spaces := []*rwset.NsReadWriteSet{{Namespace: lifecycleSpace, Rwset: defined}}
	if len(own) > 0 {
		spaces = append(spaces, &rwset.NsReadWriteSet{Namespace: s.tx.chaincode, Rwset: own})
	}
	if s.tx.chaincode < lifecycleSpace && len(spaces) == 2 {
		spaces[0], spaces[1] = spaces[1], spaces[0]
	}
	results, err := proto.Marshal(&rwset.TxReadWriteSet{DataModel: rwset.TxReadWriteSet_KV, NsRwset: spaces})
	if err != nil {
		return nil, nil, err
	}
	action, err = proto.Marshal(&peer.ChaincodeAction{
		Results: results, Response: &peer.Response{Status: answer.Status, Message: answer.Message, Payload: answer.Payload},
		ChaincodeId: &peer.ChaincodeID{Name: s.tx.chaincode, Version: deployed},
	})
	return action, set, err
}

// differ names the first difference.
func differ(t *transaction, rules *kvrwset.KVRWSet, answer *peer.Response) rerun {
	signed := &kvrwset.KVRWSet{}
	for _, n := range t.sets {
		if n.namespace == t.chaincode {
			signed = n.kv
		}
	}
	reads := func(s *kvrwset.KVRWSet) map[string]string {
		out := map[string]string{}
		for _, r := range s.Reads {
			out[r.Key] = fmt.Sprint(versionOf(r.Version))
		}
		return out
	}
	writes := func(s *kvrwset.KVRWSet) map[string]string {
		out := map[string]string{}
		for _, w := range s.Writes {
			out[w.Key] = fmt.Sprint(w.IsDelete, string(w.Value))
		}
		return out
	}
	policies := func(s *kvrwset.KVRWSet) map[string]string {
		out := map[string]string{}
		for _, w := range s.MetadataWrites {
			out[w.Key] = fmt.Sprint(w.Entries)
		}
		return out
	}
	for _, kind := range []struct {
		what string
		of   func(*kvrwset.KVRWSet) map[string]string
	}{{"value written", writes}, {"key-level policy", policies}, {"read", reads}} {
		if key, how, ok := difference(kind.of(signed), kind.of(rules)); ok {
			return rerun{ReadWriteSet, fmt.Sprintf("%s %s: %s", kind.what, how, printable(key))}
		}
	}
	action := &peer.ChaincodeAction{}
	if proto.Unmarshal(t.action, action) == nil && !bytes.Equal(action.GetResponse().GetPayload(), answer.Payload) {
		return rerun{Response, "the answer endorsed isn't the one that the rules give"}
	}
	return rerun{ReadWriteSet, "what was endorsed holds more than the rules give, or is encoded in another way"}
}

func difference(signed, rules map[string]string) (key, how string, ok bool) {
	for k, v := range rules {
		if s, there := signed[k]; !there {
			return k, "is missing", true
		} else if s != v {
			return k, "isn't the one that the rules give", true
		}
	}
	for k := range signed {
		if _, there := rules[k]; !there {
			return k, "doesn't follow from the rules", true
		}
	}
	return "", "", false
}

// printable writes a composite key with slashes.
func printable(key string) string {
	return strings.ReplaceAll(strings.Trim(key, "\x00"), "\x00", "/")
}
