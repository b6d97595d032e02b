package record_test

import (
	"crypto/sha256"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"pgregory.net/rapid"

	"yitong/chaincode/record"
)

func leavesOf(n int) []record.Hash {
	leaves := make([]record.Hash, n)
	for i := range leaves {
		leaves[i] = sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	}
	return leaves
}

// rootElsewhere is the root as transparency-dev/merkle has it.
func rootElsewhere(t interface{ Fatal(...any) }, leaves []record.Hash) []byte {
	if len(leaves) == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, l := range leaves {
		if err := r.Append(l[:], nil); err != nil {
			t.Fatal(err)
		}
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func raw(path []record.Hash) [][]byte {
	out := make([][]byte, len(path))
	for i := range path {
		out[i] = path[i][:]
	}
	return out
}

func TestEveryTreeUpTo130LeavesIsRFC6962s(t *testing.T) {
	for n := range 131 {
		leaves := leavesOf(n)
		root := record.Root(leaves)
		if diff := cmp.Diff(rootElsewhere(t, leaves), root[:]); diff != "" {
			t.Fatalf("root of %d leaves: %s", n, diff)
		}
		for i := range leaves {
			p := record.Prove(leaves, i)
			if !p.Verify(root, leaves[i], n) {
				t.Errorf("own proof of %d in %d doesn't verify", i, n)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), uint64(n), leaves[i][:], raw(p.Path), root[:]); err != nil {
				t.Errorf("proof of %d in %d: %v", i, n, err)
			}
		}
	}
}

func TestVerifyAgreesWithTransparencyDevOnAnything(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 300).Draw(t, "size")
		leaves := leavesOf(n)
		root := record.Root(leaves)
		i := rapid.IntRange(0, n-1).Draw(t, "index")
		p, leaf, size := record.Prove(leaves, i), leaves[i], n
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			switch rapid.IntRange(0, 6).Draw(t, "change") {
			case 0:
				p.Index = rapid.IntRange(0, 400).Draw(t, "other index")
			case 1:
				size = rapid.IntRange(0, 400).Draw(t, "other size")
			case 2:
				leaf = leaves[rapid.IntRange(0, n-1).Draw(t, "other leaf")]
			case 3:
				p.Path = append(p.Path, leaf)
			case 4:
				p.Path = p.Path[:rapid.IntRange(0, len(p.Path)).Draw(t, "shorter")]
			case 5:
				if len(p.Path) > 0 {
					p.Path[rapid.IntRange(0, len(p.Path)-1).Draw(t, "node")][0] ^= 1
				}
			case 6:
				root[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
			}
		}
		err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(p.Index), uint64(size), leaf[:], raw(p.Path), root[:])
		got := p.Verify(root, leaf, size)
		if got != (err == nil) {
			t.Fatalf("verifies: %v; transparency-dev says %v", got, err)
		}
		if got {
			accepted++
		}
	})
	if accepted == 0 {
		t.Error("nothing was ever accepted: the property was tested on nothing")
	}
}

func TestVerifyRefusesNonsense(t *testing.T) {
	leaves := leavesOf(5)
	root, p := record.Root(leaves), record.Prove(leaves, 2)
	for name, ok := range map[string]bool{
		"a negative index":        record.Proof{Index: -1, Path: p.Path}.Verify(root, leaves[2], 5),
		"an index past the end":   record.Proof{Index: 5, Path: p.Path}.Verify(root, leaves[2], 5),
		"an empty tree":           record.Proof{}.Verify(root, root, 0),
		"no path for a big tree":  record.Proof{}.Verify(root, root, 1<<62),
		"a node passed as a leaf": record.Proof{Index: 0, Path: record.Prove(leaves, 0).Path[1:]}.Verify(root, record.Root(leaves[:2]), 5),
	} {
		if ok {
			t.Errorf("%s is accepted", name)
		}
	}
}

func BenchmarkRoot(b *testing.B) {
	leaves := leavesOf(record.MaxParts)
	for b.Loop() {
		record.Root(leaves)
	}
}
