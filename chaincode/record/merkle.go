package record

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
)

// The prefixes of RFC 6962 section 2.1: a leaf can't pass for a node, nor a node for a leaf.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// Leaves gives the parts' leaves in their order.
func Leaves(parts []Part) []Hash {
	leaves := make([]Hash, len(parts))
	for i, p := range parts {
		leaves[i] = p.Leaf()
	}
	return leaves
}

// Root is the Merkle tree hash (RFC 6962 section 2.1) over leaf hashes; of none, SHA-256 of nothing.
func Root(leaves []Hash) Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := split(n)
		return node(Root(leaves[:k]), Root(leaves[k:]))
	}
}

// Proof shows that a leaf is in a tree: the audit path of RFC 6962 section 2.1.1, from the leaf's
// sibling up.
type Proof struct {
	Index int    `json:"index"` // of the leaf, from 0
	Path  []Hash `json:"path"`
}

// Prove makes the proof for leaves[index]. It panics if index isn't one of leaves.
func Prove(leaves []Hash, index int) Proof {
	if index < 0 || index >= len(leaves) {
		panic(fmt.Sprintf("record: no leaf %d in %d", index, len(leaves)))
	}
	return Proof{Index: index, Path: path(leaves, index)}
}

func path(leaves []Hash, index int) []Hash {
	if len(leaves) == 1 {
		return []Hash{}
	}
	k := split(len(leaves))
	if index < k {
		return append(path(leaves[:k], index), Root(leaves[k:]))
	}
	return append(path(leaves[k:], index-k), Root(leaves[:k]))
}

// Verify reports whether leaf is at p.Index of the tree of size leaves whose root is root
// (RFC 9162 section 2.1.3.2).
func (p Proof) Verify(root, leaf Hash, size int) bool {
	if p.Index < 0 || p.Index >= size {
		return false
	}
	at, last, h := p.Index, size-1, leaf
	for _, sibling := range p.Path {
		if last == 0 {
			return false // longer than the tree is deep
		}
		if at&1 == 1 || at == last {
			h = node(sibling, h)
			for at&1 == 0 && at != 0 { // a lone right edge skips the levels where it has no sibling
				at, last = at>>1, last>>1
			}
		} else {
			h = node(h, sibling)
		}
		at, last = at>>1, last>>1
	}
	return last == 0 && h == root
}

// split is the largest power of two below n (n > 1).
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

func node(left, right Hash) Hash {
	var b [1 + 2*sha256.Size]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+sha256.Size:], right[:])
	return sha256.Sum256(b[:])
}
