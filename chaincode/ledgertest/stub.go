package ledgertest

import (
	"crypto/sha256"
	"errors"
	"maps"
	"slices"

	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Channel is the name of the channel.
const Channel = "yitong"

const validationParameter = "VALIDATION_PARAMETER"

// stub is one simulation.
type stub struct {
	proposal Proposal
	state    *state
	calls    Calls
	done     bool

	reads     map[string]version
	ranges    []*kvrwset.RangeQueryInfo
	writes    map[string]*kvrwset.KVWrite
	policies  map[string][]byte
	paginated bool
	event     *peer.ChaincodeEvent
}

func newStub(p Proposal, s *state) *stub {
	return &stub{
		proposal: p, state: s,
		reads: map[string]version{}, writes: map[string]*kvrwset.KVWrite{}, policies: map[string][]byte{},
	}
}

// alive fails a chaincode that uses its stub after it has answered.
func (s *stub) alive() {
	if s.done {
		panic("ledgertest: the transaction is over")
	}
}

func (s *stub) GetArgs() [][]byte {
	args := make([][]byte, len(s.proposal.Args))
	for i, a := range s.proposal.Args {
		args[i] = []byte(a)
	}
	return args
}

func (s *stub) GetStringArgs() []string { return slices.Clone(s.proposal.Args) }

func (s *stub) GetFunctionAndParameters() (string, []string) {
	if len(s.proposal.Args) == 0 {
		return "", nil
	}
	return s.proposal.Args[0], slices.Clone(s.proposal.Args[1:])
}

func (s *stub) GetArgsSlice() ([]byte, error) {
	return slices.Concat(s.GetArgs()...), nil
}

func (s *stub) GetTxID() string             { return s.proposal.ID }
func (s *stub) GetChannelID() string        { return Channel }
func (s *stub) GetCreator() ([]byte, error) { return slices.Clone(s.proposal.Creator.Creator), nil }

func (s *stub) GetTransient() (map[string][]byte, error) {
	return maps.Clone(s.proposal.Transient), nil
}

func (s *stub) GetBinding() ([]byte, error) {
	sum := sha256.Sum256(append([]byte(s.proposal.ID), s.proposal.Creator.Creator...))
	return sum[:], nil
}

func (s *stub) GetDecorations() map[string][]byte { return nil }

func (s *stub) GetTxTimestamp() (*timestamppb.Timestamp, error) {
	return timestamppb.New(s.proposal.Timestamp), nil
}

func (s *stub) SetEvent(name string, payload []byte) error {
	if name == "" {
		return errors.New("event name can not be empty string")
	}
	s.event = &peer.ChaincodeEvent{EventName: name, Payload: slices.Clone(payload), TxId: s.proposal.ID}
	return nil
}

func (s *stub) GetState(key string) ([]byte, error) {
	s.alive()
	s.calls.GetState++
	return s.read(key), nil
}

func (s *stub) GetMultipleStates(keys ...string) ([][]byte, error) {
	s.alive()
	if len(keys) == 0 {
		return nil, nil
	}
	s.calls.GetMultipleStates++
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = s.read(k)
	}
	return values, nil
}

// read reads the snapshot, never the transaction's own writes.
func (s *stub) read(key string) []byte {
	e := s.state.entries[key]
	s.reads[key] = e.version
	return slices.Clone(e.value)
}

func (s *stub) PutState(key string, value []byte) error {
	s.calls.Put++
	return s.write(key, &kvrwset.KVWrite{Key: key, Value: slices.Clone(value), IsDelete: len(value) == 0})
}

func (s *stub) DelState(key string) error {
	s.calls.Delete++
	return s.write(key, &kvrwset.KVWrite{Key: key, IsDelete: true})
}

func (s *stub) write(key string, w *kvrwset.KVWrite) error {
	if err := s.writable(key); err != nil {
		return err
	}
	s.writes[key] = w
	return nil
}

func (s *stub) writable(key string) error {
	s.alive()
	if key == "" {
		return errors.New("key must not be an empty string")
	}
	if s.paginated {
		return errors.New("unsupported transaction. Transaction has already performed a paginated query. Writes are not allowed")
	}
	return nil
}

func (s *stub) SetStateValidationParameter(key string, ep []byte) error {
	s.calls.Policy++
	if err := s.writable(key); err != nil {
		return err
	}
	s.policies[key] = slices.Clone(ep)
	return nil
}

func (s *stub) GetStateValidationParameter(key string) ([]byte, error) {
	s.alive()
	s.calls.GetState++
	e := s.state.entries[key]
	s.reads[key] = e.version
	return slices.Clone(e.policy), nil
}

// A write batch changes when writes travel, not what they do.
func (s *stub) StartWriteBatch()        {}
func (s *stub) FinishWriteBatch() error { return nil }

// rwset is what the simulation has read and written, in Fabric's order: by key.
func (s *stub) rwset() *kvrwset.KVRWSet {
	set := &kvrwset.KVRWSet{RangeQueriesInfo: s.ranges}
	for _, k := range slices.Sorted(maps.Keys(s.reads)) {
		set.Reads = append(set.Reads, &kvrwset.KVRead{Key: k, Version: s.reads[k].proto()})
	}
	for _, k := range slices.Sorted(maps.Keys(s.writes)) {
		set.Writes = append(set.Writes, s.writes[k])
	}
	for _, k := range slices.Sorted(maps.Keys(s.policies)) {
		set.MetadataWrites = append(set.MetadataWrites, &kvrwset.KVMetadataWrite{
			Key: k, Entries: []*kvrwset.KVMetadataEntry{{Name: validationParameter, Value: s.policies[k]}},
		})
	}
	return set
}
