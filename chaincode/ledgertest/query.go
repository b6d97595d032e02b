package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	firstSimpleKey = "\x01"       // simple keys lie after all composite ones
	afterComposite = "\U0010ffff" // sorts after whatever follows a composite prefix
)

func (s *stub) GetStateByRange(start, end string) (shim.StateQueryIteratorInterface, error) {
	start, err := simpleRange(start, end)
	if err != nil {
		return nil, err
	}
	return s.scan(start, end), nil
}

func (s *stub) GetStateByPartialCompositeKey(objectType string, keys []string) (shim.StateQueryIteratorInterface, error) {
	prefix, err := s.CreateCompositeKey(objectType, keys)
	if err != nil {
		return nil, err
	}
	return s.scan(prefix, prefix+afterComposite), nil
}

func (s *stub) GetStateByRangeWithPagination(start, end string, size int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	start, err := simpleRange(start, end)
	if err != nil {
		return nil, nil, err
	}
	return s.page(start, end, size, bookmark)
}

func (s *stub) GetStateByPartialCompositeKeyWithPagination(objectType string, keys []string, size int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	prefix, err := s.CreateCompositeKey(objectType, keys)
	if err != nil {
		return nil, nil, err
	}
	return s.page(prefix, prefix+afterComposite, size, bookmark)
}

func (s *stub) GetAllStatesCompositeKeyWithPagination(size int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	return s.page("\x00", "\x00"+afterComposite, size, bookmark)
}

// scan reads a whole range and records it, so that commit can see phantoms.
func (s *stub) scan(start, end string) *results {
	s.alive()
	s.calls.Range++
	keys := s.state.between(start, end)
	info := &kvrwset.RangeQueryInfo{StartKey: start, EndKey: end, ItrExhausted: true}
	s.record(info, keys)
	return &results{stub: s, kvs: s.values(keys)}
}

// page reads at most size keys. The bookmark is the key that the next page starts with,
// "" if there is none.
func (s *stub) page(start, end string, size int32, bookmark string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	s.alive()
	s.calls.Paginated++
	if size <= 0 {
		return nil, nil, fmt.Errorf("invalid page size %d", size)
	}
	if len(s.writes)+len(s.policies) > 0 {
		return nil, nil, errors.New("unsupported transaction. Paginated queries are supported only in a read-only transaction")
	}
	s.paginated = true
	if bookmark != "" {
		start = bookmark
	}
	keys := s.state.between(start, end)
	next := ""
	if len(keys) > int(size) {
		keys, next = keys[:size], keys[size]
	}
	info := &kvrwset.RangeQueryInfo{StartKey: start, EndKey: end, ItrExhausted: true}
	if next != "" {
		info.EndKey, info.ItrExhausted = keys[len(keys)-1], false
	}
	s.record(info, keys)
	return &results{stub: s, kvs: s.values(keys)},
		&peer.QueryResponseMetadata{FetchedRecordsCount: int32(len(keys)), Bookmark: next}, nil
}

func (s *stub) record(info *kvrwset.RangeQueryInfo, keys []string) {
	reads := &kvrwset.QueryReads{}
	for _, k := range keys {
		reads.KvReads = append(reads.KvReads, &kvrwset.KVRead{Key: k, Version: s.state.entries[k].version.proto()})
	}
	info.ReadsInfo = &kvrwset.RangeQueryInfo_RawReads{RawReads: reads}
	s.ranges = append(s.ranges, info)
}

func (s *stub) values(keys []string) []*queryresult.KV {
	kvs := make([]*queryresult.KV, len(keys))
	for i, k := range keys {
		kvs[i] = &queryresult.KV{Key: k, Value: slices.Clone(s.state.entries[k].value)}
	}
	return kvs
}

func (s *stub) GetHistoryForKey(key string) (shim.HistoryQueryIteratorInterface, error) {
	s.alive()
	s.calls.History++
	var mods []*queryresult.KeyModification
	for _, m := range slices.Backward(s.state.history[key]) {
		mods = append(mods, &queryresult.KeyModification{
			TxId: m.tx.ID, Value: slices.Clone(m.value), IsDelete: m.deleted, Timestamp: timestamppb.New(m.tx.Timestamp),
		})
	}
	return &history{stub: s, mods: mods}, nil
}

func (s *stub) CreateCompositeKey(objectType string, attributes []string) (string, error) {
	return shim.CreateCompositeKey(objectType, attributes)
}

func (s *stub) SplitCompositeKey(key string) (string, []string, error) {
	parts := strings.Split(strings.TrimSuffix(strings.TrimPrefix(key, "\x00"), "\x00"), "\x00")
	return parts[0], parts[1:], nil
}

func simpleRange(start, end string) (string, error) {
	if start == "" {
		start = firstSimpleKey
	}
	for _, k := range []string{start, end} {
		if !utf8.ValidString(k) || strings.HasPrefix(k, "\x00") {
			return "", fmt.Errorf("first character of the key [%q] contains a null character which is not allowed", k)
		}
	}
	return start, nil
}

// results iterates over a range.
type results struct {
	stub *stub
	kvs  []*queryresult.KV
}

func (r *results) HasNext() bool { return len(r.kvs) > 0 }
func (r *results) Close() error  { return nil }
func (r *results) Next() (*queryresult.KV, error) {
	r.stub.alive()
	if len(r.kvs) == 0 {
		return nil, errors.New("no such key")
	}
	kv := r.kvs[0]
	r.kvs = r.kvs[1:]
	return kv, nil
}

// history iterates over a key's modifications, newest first.
type history struct {
	stub *stub
	mods []*queryresult.KeyModification
}

func (h *history) HasNext() bool { return len(h.mods) > 0 }
func (h *history) Close() error  { return nil }
func (h *history) Next() (*queryresult.KeyModification, error) {
	h.stub.alive()
	if len(h.mods) == 0 {
		return nil, errors.New("no such key")
	}
	m := h.mods[0]
	h.mods = h.mods[1:]
	return m, nil
}
