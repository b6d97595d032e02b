package contract

import (
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"

	"yitong/chaincode/refusal"
)

// page is one page of the keys under a prefix. Only functions that don't write may ask
// for one: paginated queries are not run again at commit.
type page struct {
	entries  []*queryresult.KV
	bookmark string // of the next page; "" if there is none
}

// readPage reads a page of the keys of a kind whose first attributes are given. A bookmark
// is the rest of a key after that prefix, so none can lead out of it.
func readPage(stub shim.ChaincodeStubInterface, kind string, attributes []string, bookmark string, size int) (page, error) {
	limit, err := pageSize(size)
	if err != nil {
		return page{}, err
	}
	prefix := key(kind, attributes...)
	start := ""
	if bookmark != "" {
		rest, err := base64.RawURLEncoding.DecodeString(bookmark)
		if err != nil || len(rest) == 0 || len(rest) > 512 || !utf8.Valid(rest) {
			return page{}, refusal.New(refusal.Malformed, "that is not a bookmark", "the bookmark of the page before, unchanged")
		}
		start = prefix + string(rest)
	}
	entries, next, err := stub.GetStateByPartialCompositeKeyWithPagination(kind, attributes, int32(limit), start)
	if err != nil {
		return page{}, fmt.Errorf("read page: %w", err)
	}
	defer entries.Close() //nolint:errcheck // nothing was written
	var p page
	for entries.HasNext() {
		kv, err := entries.Next()
		if err != nil {
			return page{}, fmt.Errorf("read page: %w", err)
		}
		p.entries = append(p.entries, kv)
	}
	if rest, ok := strings.CutPrefix(next.GetBookmark(), prefix); ok && rest != "" {
		p.bookmark = base64.RawURLEncoding.EncodeToString([]byte(rest))
	}
	return p, nil
}

// pageSize refuses (too-large, malformed) a size that no page has.
func pageSize(size int) (int, error) {
	switch {
	case size == 0:
		return DefaultPage, nil
	case size < 0:
		return 0, refusal.New(refusal.Malformed, "a page of that size can't be", fmt.Sprintf("1 to %d entries", MaxPage))
	case size > MaxPage:
		return 0, refusal.New(refusal.TooLarge, fmt.Sprintf("a page of %d entries", size), fmt.Sprintf("1 to %d entries", MaxPage))
	}
	return size, nil
}
