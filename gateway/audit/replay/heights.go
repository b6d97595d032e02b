package replay

import "encoding/hex"

// Height is what another member has stated and signed: that its peer has the block of
// that number with that hash. Whoever hands it in has verified the signature.
type Height struct {
	Member string // MSP id
	Block  uint64
	Hash   [32]byte
}

// remember keeps the hash of a block that somebody speaks of.
func (c *committer) remember(b *block) {
	for _, h := range c.options.Heights {
		if h.Block == b.number {
			c.hashes[b.number] = b.hash
		}
	}
}

// compareHeights holds the chain against what others have seen of it.
func (c *committer) compareHeights() {
	for _, h := range c.options.Heights {
		d := Divergence{Block: h.Block, Index: -1}
		hash, seen := c.hashes[h.Block]
		switch {
		case h.Block >= c.at.next:
			d.Check, d.Detail = Hidden, h.Member+" has signed that it has this block, and the chain ends before it"
		case seen && hash != h.Hash:
			d.Check, d.Detail = Fork, h.Member+" has signed that its block of this number is another, "+hex.EncodeToString(h.Hash[:])
		default:
			continue
		}
		c.report.diverge(d)
	}
}
