package replay

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"

	"yitong/chaincode/record"
	"yitong/chaincode/registry"
)

// remember keeps the hash of a block that somebody speaks of.
func (c *committer) remember(b *block) {
	for _, h := range c.options.Heights {
		if h.Last() == b.number {
			c.hashes[b.number] = b.hash
		}
	}
}

// compareHeights holds the chain against what others have signed of it. Their keys are
// those that the registry has at the end of the chain, replaced ones for their time.
func (c *committer) compareHeights() {
	if c.at.config == nil {
		return
	}
	for _, h := range c.options.Heights {
		d := Divergence{Block: h.Last(), Index: -1}
		hash, seen := c.hashes[h.Last()]
		key, known := c.signingKey(h.Member, h.Key)
		switch {
		case h.Channel != c.at.config.Channel || !known || !key.ValidAt(record.At(h.At)) || !h.Verify(ed25519.PublicKey(key.Public)):
			d.Check, d.Detail = Statement, fmt.Sprintf("a statement in the name of %s isn't signed by the key that the registry has of it", h.Member)
		case h.Last() >= c.at.next:
			d.Check, d.Detail = Hidden, h.Member+" has signed that it has this block, and the chain ends before it"
		case seen && hash != h.Hash:
			d.Check, d.Detail = Fork, h.Member+" has signed that its block of this number is another, "+hex.EncodeToString(h.Hash[:])
		default:
			continue
		}
		c.report.diverge(d)
	}
}

// signingKey is the key of this id that the registry has of a member.
func (c *committer) signingKey(msp, id string) (key registry.Key, ok bool) {
	name, err := shim.CreateCompositeKey("keys", []string{msp})
	if err != nil {
		return registry.Key{}, false
	}
	var keys registry.Keys
	if e := c.state.get(place{c.options.Chaincode, name}); e != nil && json.Unmarshal(e.Value, &keys) == nil {
		return keys.SigningKey(id)
	}
	return registry.Key{}, false
}
