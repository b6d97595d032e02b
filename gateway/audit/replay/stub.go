package replay

import (
	"errors"
	"maps"
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// stub is what the chaincode sees of a peer: one transaction simulated on the rebuilt
// state. It has what Yitong's contracts use; any other call ends the simulation (the
// embedded interface is nil), and rerun says so.
type stub struct {
	shim.ChaincodeStubInterface

	tx     *transaction
	chain  string
	state  state
	writes map[string]*kvrwset.KVWrite
	sets   map[string][]byte // key-level policies
	reads  map[string]version
	ranges []*kvrwset.RangeQueryInfo
}

func (s *stub) GetArgs() [][]byte { return s.tx.args }

func (s *stub) GetStringArgs() []string {
	args := make([]string, len(s.tx.args))
	for i, a := range s.tx.args {
		args[i] = string(a)
	}
	return args
}

func (s *stub) GetFunctionAndParameters() (string, []string) {
	args := s.GetStringArgs()
	if len(args) == 0 {
		return "", nil
	}
	return args[0], args[1:]
}

func (s *stub) GetTxID() string             { return s.tx.id }
func (s *stub) GetChannelID() string        { return s.chain }
func (s *stub) GetCreator() ([]byte, error) { return s.tx.creator, nil }

func (s *stub) GetTxTimestamp() (*timestamppb.Timestamp, error) {
	return timestamppb.New(s.tx.timestamp), nil
}

func (s *stub) GetState(key string) ([]byte, error) { return s.read(key), nil }

func (s *stub) GetMultipleStates(keys ...string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i] = s.read(k)
	}
	return values, nil
}

// read reads the state before the block, never the transaction's own writes. That is the
// state it was endorsed on as far as it matters: nothing that it read has changed, or it
// would not be valid.
func (s *stub) read(key string) []byte {
	e := s.state.get(place{s.tx.chaincode, key})
	if e == nil {
		s.reads[key] = version{}
		return nil
	}
	s.reads[key] = e.Version
	return slices.Clone(e.Value)
}

func (s *stub) PutState(key string, value []byte) error {
	if key == "" {
		return errors.New("key must not be an empty string")
	}
	s.writes[key] = &kvrwset.KVWrite{Key: key, Value: value, IsDelete: len(value) == 0}
	return nil
}

func (s *stub) DelState(key string) error {
	s.writes[key] = &kvrwset.KVWrite{Key: key, IsDelete: true}
	return nil
}

func (s *stub) SetStateValidationParameter(key string, policy []byte) error {
	s.sets[key] = policy
	return nil
}

func (s *stub) StartWriteBatch()        {}
func (s *stub) FinishWriteBatch() error { return nil }

func (s *stub) CreateCompositeKey(kind string, attributes []string) (string, error) {
	return shim.CreateCompositeKey(kind, attributes)
}

// GetStateByPartialCompositeKeyWithPagination reads a page as a peer does: at most size
// keys, and a bookmark that is the next page's first key.
func (s *stub) GetStateByPartialCompositeKeyWithPagination(kind string, attributes []string, size int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	start, err := shim.CreateCompositeKey(kind, attributes)
	if err != nil {
		return nil, nil, err
	}
	end := start + "\U0010ffff"
	if bookmark != "" {
		start = bookmark
	}
	keys, next := between(s.state, newUpdates(), s.tx.chaincode, start, end, false), ""
	if len(keys) > int(size) {
		keys, next = keys[:size], keys[size]
	}
	info := &kvrwset.RangeQueryInfo{StartKey: start, EndKey: end, ItrExhausted: true}
	if next != "" {
		info.EndKey, info.ItrExhausted = keys[len(keys)-1], false
	}
	raw, p := &kvrwset.QueryReads{}, &page{}
	for _, k := range keys {
		e := s.state.get(place{s.tx.chaincode, k})
		raw.KvReads = append(raw.KvReads, &kvrwset.KVRead{Key: k, Version: e.Version.proto()})
		p.left = append(p.left, &queryresult.KV{Namespace: s.tx.chaincode, Key: k, Value: slices.Clone(e.Value)})
	}
	info.ReadsInfo = &kvrwset.RangeQueryInfo_RawReads{RawReads: raw}
	s.ranges = append(s.ranges, info)
	return p, &peer.QueryResponseMetadata{FetchedRecordsCount: int32(len(keys)), Bookmark: next}, nil
}

// page iterates over the keys of one page.
type page struct{ left []*queryresult.KV }

func (p *page) HasNext() bool { return len(p.left) > 0 }
func (p *page) Close() error  { return nil }
func (p *page) Next() (*queryresult.KV, error) {
	if len(p.left) == 0 {
		return nil, errors.New("no such key")
	}
	kv := p.left[0]
	p.left = p.left[1:]
	return kv, nil
}

// set is what the simulation has read and written, in Fabric's order: by key.
func (s *stub) set() *kvrwset.KVRWSet {
	set := &kvrwset.KVRWSet{RangeQueriesInfo: s.ranges}
	for _, k := range slices.Sorted(maps.Keys(s.reads)) {
		set.Reads = append(set.Reads, &kvrwset.KVRead{Key: k, Version: s.reads[k].proto()})
	}
	for _, k := range slices.Sorted(maps.Keys(s.writes)) {
		set.Writes = append(set.Writes, s.writes[k])
	}
	for _, k := range slices.Sorted(maps.Keys(s.sets)) {
		set.MetadataWrites = append(set.MetadataWrites, &kvrwset.KVMetadataWrite{
			Key: k, Entries: []*kvrwset.KVMetadataEntry{{Name: validationParameter, Value: s.sets[k]}},
		})
	}
	return set
}
