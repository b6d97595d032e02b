package proof_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	protobuf "google.golang.org/protobuf/proto"

	"yitong/gateway/audit/proof"
	"yitong/gateway/audit/proof/prooftest"
	"yitong/gateway/audit/replay"
)

// part is where a part of a file lies, its length left out.
type part struct{ at, size int }

func partsOf(raw []byte) (out []part) {
	for at := 16; ; {
		n := int(binary.BigEndian.Uint32(raw[at:]))
		if n == 0 {
			return out
		}
		out = append(out, part{at + 4, n})
		at += 4 + n
	}
}

// vectorsOf makes the vectors anew from a proof.
func vectorsOf(t *testing.T, raw []byte, genesis string) []prooftest.Vector {
	parts := partsOf(raw)
	last := parts[len(parts)-1]
	var b common.Block
	if err := protobuf.Unmarshal(raw[last.at:last.at+last.size], &b); err != nil {
		t.Fatal(err)
	}
	// where finds bytes of the last block in the file.
	where := func(what []byte) int {
		i := bytes.LastIndex(raw[:last.at+last.size], what)
		if i < last.at {
			t.Fatal("not in the last block")
		}
		return i
	}
	unwrap := func(slot common.BlockMetadataIndex) *common.Metadata {
		var m common.Metadata
		if err := protobuf.Unmarshal(b.Metadata.Metadata[slot], &m); err != nil {
			t.Fatal(err)
		}
		return &m
	}
	flip := func(at int) []prooftest.Edit {
		return []prooftest.Edit{{At: at, Remove: 1, Insert: []byte{raw[at] ^ 1}}}
	}
	drop := func(n int) []prooftest.Edit {
		return []prooftest.Edit{{At: parts[n].at - 4, Remove: 4 + parts[n].size}}
	}
	other := []byte(genesis)
	other[0] ^= 1
	signature := where(unwrap(common.BlockMetadataIndex_SIGNATURES).Signatures[0].Signature)
	commit := where(unwrap(common.BlockMetadataIndex_COMMIT_HASH).Value)
	return []prooftest.Vector{
		{Name: "as it was made", Holds: true},
		{Name: "against another consortium's digest", Genesis: string(other), Check: replay.Genesis},
		{Name: "no file at all", Edits: []prooftest.Edit{{At: 0, Remove: len(raw)}}, Check: proof.Form},
		{Name: "cut in the middle", Edits: []prooftest.Edit{{At: len(raw) / 2, Remove: len(raw) - len(raw)/2}}, Check: proof.Form},
		{Name: "with a byte more", Edits: []prooftest.Edit{{At: len(raw), Insert: []byte{0}}}, Check: proof.Form},
		{Name: "damaged: one bit", Edits: flip(last.at + last.size/2), Check: proof.Form},
		{Name: "forged: a transaction", Edits: flip(where(b.Data.Data[0]) + len(b.Data.Data[0])/2), Reseal: true, Check: replay.DataHash},
		{Name: "forged: the link to the block before", Edits: flip(where(b.Header.PreviousHash)), Reseal: true, Check: replay.OrdererSign},
		{Name: "forged: an ordering node's signature", Edits: flip(signature + 40), Reseal: true, Check: replay.OrdererSign},
		{Name: "forged: the first block", Edits: flip(parts[1].at + 8), Reseal: true, Check: replay.DataHash},
		{Name: "left out: the first block", Edits: drop(1), Reseal: true, Check: replay.Genesis},
		{Name: "left out: the last block", Edits: drop(len(parts) - 1), Reseal: true, Check: proof.Form},
		{Name: "changed without consequence: the prover's peer's own commit hash", Edits: flip(commit), Reseal: true, Holds: true},
	}
}

// The vectors of docs/formats/proof.md, spoilt ones included.
func TestTheVectorsAreJudgedAsWritten(t *testing.T) {
	if *update {
		raw, err := os.ReadFile("testdata/receipt.proof")
		if err != nil {
			t.Fatal(err)
		}
		stated, err := os.ReadFile("testdata/receipt.json")
		if err != nil {
			t.Fatal(err)
		}
		var shown proof.Result
		if err := json.Unmarshal(stated, &shown); err != nil {
			t.Fatal(err)
		}
		all := vectorsOf(t, raw, shown.Genesis)
		for i := range all {
			if all[i].Genesis == "" {
				all[i].Genesis = shown.Genesis
			}
		}
		out, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/vectors.json", append(out, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	base, all, err := prooftest.Read("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			digest, err := hex.DecodeString(v.Genesis)
			if err != nil || len(digest) != 32 {
				t.Fatal("the vector's digest is not one")
			}
			got := proof.Judge(bytes.NewReader(v.File(base)), [32]byte(digest))
			if got.Holds != v.Holds || got.Check != v.Check {
				t.Errorf("holds: %v, check %q (%s); want %v, %q; if the proof beside it is new, run with -update", got.Holds, got.Check, got.Finding, v.Holds, v.Check)
			}
		})
	}
}
