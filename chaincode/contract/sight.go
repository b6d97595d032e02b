package contract

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/queryresult"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// sees refuses (not-entitled) a caller that is neither side of what lies between a
// custodian and a requester, nor a regulator.
func (c *call) sees(custodian, requester string) error {
	if c.msp == custodian || c.msp == requester || c.member().Kind == registry.Regulator {
		return nil
	}
	return refusal.New(registry.NotEntitled, "this lies between "+custodian+" and "+requester, "reading by either of them or a regulator")
}

// seesOrders refuses (not-entitled) a caller that is neither the holder that orders went
// to, nor a regulator.
func (c *call) seesOrders(holder string) error {
	if c.msp == holder || c.member().Kind == registry.Regulator {
		return nil
	}
	return refusal.New(registry.NotEntitled, "these are orders to "+holder, "reading by the holder or a regulator")
}

// list reads a page of what lies between custodians and requesters, as far as the caller
// may see it.
func (c *call) list(kind string, q ListQuery) (page, error) {
	for _, msp := range []string{q.Custodian, q.Requester} {
		if msp != "" {
			if err := registry.CheckMSP(msp); err != nil {
				return page{}, err
			}
		}
	}
	if err := c.fetch(); err != nil {
		return page{}, err
	}
	regulator := c.member().Kind == registry.Regulator
	if q.Custodian == "" && !regulator {
		if c.member().Kind != registry.Hospital {
			return page{}, refusal.New(refusal.Malformed, "the custodian is missing", "naming the custodian")
		}
		q.Custodian = c.msp
	}
	if q.Custodian == "" && q.Requester != "" {
		return page{}, refusal.New(refusal.Malformed, "a requester without a custodian", "naming the custodian too, or neither")
	}
	if c.msp != q.Custodian && !regulator {
		if q.Requester == "" {
			q.Requester = c.msp
		}
		if q.Requester != c.msp {
			return page{}, refusal.New(registry.NotEntitled, "these are another member's", "listing what is yours")
		}
	}
	var attributes []string
	if q.Custodian != "" {
		attributes = append(attributes, q.Custodian)
	}
	if q.Requester != "" {
		attributes = append(attributes, q.Requester)
	}
	return readPage(c.stub, kind, attributes, q.Bookmark, q.Size)
}

// document decodes an entry of a page.
func document[T any](e *queryresult.KV) (T, error) {
	var doc T
	if err := json.Unmarshal(e.Value, &doc); err != nil {
		return doc, fmt.Errorf("read page: decode %q: %w", e.Key, err)
	}
	return doc, nil
}
