package record_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// testdata/leaves.json was computed from the encoding's specification by a program that shares
// nothing with this package.
func TestLeavesAreThoseOfTheVectors(t *testing.T) {
	doc, err := os.ReadFile("testdata/leaves.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Part           record.Part `json:"part"`
		Encoding       string      `json:"encoding"`
		Leaf           record.Hash `json:"leaf"`
		RootOfAllSoFar record.Hash `json:"rootOfAllSoFar"`
	}
	if err := json.Unmarshal(doc, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	var leaves []record.Hash
	for _, v := range vectors {
		if diff := cmp.Diff(v.Encoding, hex.EncodeToString(v.Part.Encode())); diff != "" {
			t.Errorf("part %d: encoding (-want +got)\n%s", v.Part.Index, diff)
		}
		if got := v.Part.Leaf(); got != v.Leaf {
			t.Errorf("part %d: leaf is %v, want %v", v.Part.Index, got, v.Leaf)
		}
		leaves = append(leaves, v.Part.Leaf())
		if got := record.Root(leaves); got != v.RootOfAllSoFar {
			t.Errorf("root of %d is %v, want %v", len(leaves), got, v.RootOfAllSoFar)
		}
	}
}

func TestEveryFieldOfAPartIsInItsLeaf(t *testing.T) {
	base := record.Part{
		Index: 1, Class: record.Laboratory, MediaType: "application/fhir+json", Labels: record.LabelsOf(record.HIV), Period: record.Period{Start: 10, End: 20},
		SealedSize: 100, SealedDigest: record.Hash{1}, KeyCommitment: record.Hash{2}, Salt: record.Salt{3},
	}
	seen := map[record.Hash]string{base.Leaf(): "the part itself"}
	for name, change := range map[string]func(*record.Part){
		"index":          func(p *record.Part) { p.Index = 2 },
		"class":          func(p *record.Part) { p.Class = record.Imaging },
		"media type":     func(p *record.Part) { p.MediaType = "application/pdf" },
		"another label":  func(p *record.Part) { p.Labels = record.LabelsOf(record.STD) },
		"one label more": func(p *record.Part) { p.Labels = p.Labels.With(record.STD) },
		"no label":       func(p *record.Part) { p.Labels = 0 },
		"period start":   func(p *record.Part) { p.Period.Start = 11 },
		"period end":     func(p *record.Part) { p.Period.End = 21 },
		"period shifted": func(p *record.Part) { p.Period = record.Period{End: 10} },
		"sealed size":    func(p *record.Part) { p.SealedSize = 101 },
		"sealed digest":  func(p *record.Part) { p.SealedDigest[31] = 1 },
		"key commitment": func(p *record.Part) { p.KeyCommitment[31] = 1 },
		"salt":           func(p *record.Part) { p.Salt[15] = 1 },
		"digest for key": func(p *record.Part) { p.SealedDigest, p.KeyCommitment = p.KeyCommitment, p.SealedDigest },
	} {
		p := base
		change(&p)
		if other, ok := seen[p.Leaf()]; ok {
			t.Errorf("changing %s gives the leaf of %s", name, other)
		}
		seen[p.Leaf()] = name
	}
}

func TestPartSurvivesItsJSON(t *testing.T) {
	for _, want := range []record.Part{
		{Class: record.Other, SealedSize: 1},
		{
			Index: 1, Class: record.Laboratory, MediaType: "application/fhir+json", Labels: record.LabelsOf(record.HIV, record.R), Period: record.Period{Start: 10, End: 20},
			SealedSize: 100, SealedDigest: record.Hash{1}, KeyCommitment: record.Hash{2}, Salt: record.Salt{3},
		},
	} {
		doc, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got record.Part
		if err := json.Unmarshal(doc, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAPartIsChecked(t *testing.T) {
	good := record.Part{
		Index: 1, Class: record.Laboratory, MediaType: "application/fhir+json", SealedSize: 100,
		SealedDigest: record.Hash{1}, KeyCommitment: record.Hash{2}, Salt: record.Salt{3},
	}
	wantCode(t, good.Validate(), "")
	for name, change := range map[string]func(*record.Part){
		"a negative index":      func(p *record.Part) { p.Index = -1 },
		"an index too high":     func(p *record.Part) { p.Index = record.MaxParts },
		"no class":              func(p *record.Part) { p.Class = 0 },
		"an unknown label":      func(p *record.Part) { p.Labels = 1 },
		"an endless media type": func(p *record.Part) { p.MediaType = strings.Repeat("x", 1<<16) },
		"a media type of bytes": func(p *record.Part) { p.MediaType = "a\x00b" },
		"a period backwards":    func(p *record.Part) { p.Period = record.Period{Start: 2, End: 1} },
		"no bytes":              func(p *record.Part) { p.SealedSize = 0 },
		"no digest":             func(p *record.Part) { p.SealedDigest = record.Hash{} },
		"no key commitment":     func(p *record.Part) { p.KeyCommitment = record.Hash{} },
		"no salt":               func(p *record.Part) { p.Salt = record.Salt{} },
	} {
		t.Run(name, func(t *testing.T) {
			p := good
			change(&p)
			wantCode(t, p.Validate(), refusal.Malformed)
		})
	}
}
