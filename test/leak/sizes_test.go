package leak_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"yitong/gateway/seal"
	"yitong/test/leak"
	"yitong/test/patient"
)

// What a storage provider or a listener on the wire learns of a part's data class from its sealed size:
// reported, and less than the content's length would tell. docs/threat-model.md has the figures.
func TestSealedSizesTellLittleOfTheDataClass(t *testing.T) {
	patients := patient.Synthea(t, 100)
	if len(patients) == 0 {
		for seed := range uint64(40) {
			patients = append(patients, patient.Synthetic(t, seed))
		}
	}
	var plain, padded []leak.Sighting
	var before, after int64
	for _, p := range patients {
		drafts, err := seal.Split(p.Bundle)
		if err != nil {
			t.Fatal(err)
		}
		for i, d := range drafts {
			s, err := seal.Seal(io.Discard, bytes.NewReader(d.Content), seal.NewKey(), seal.AD{Part: i, Class: d.Class})
			if err != nil {
				t.Fatal(err)
			}
			plain = append(plain, leak.Sighting{Group: p.Name, Seen: float64(len(d.Content)), Truth: d.Class.String()})
			padded = append(padded, leak.Sighting{Group: p.Name, Seen: float64(s.Size), Truth: d.Class.String()})
			before, after = before+int64(len(d.Content)), after+s.Size
		}
	}
	t.Logf("%d patients, %d parts; padding and sealing take %.1f %% more bytes", len(patients), len(plain), 100*(float64(after)/float64(before)-1))
	a, b := report(t, "content", plain), report(t, "sealed", padded)
	if b.sizes >= a.sizes || b.alone >= a.alone || b.right > a.right {
		t.Error("padding doesn't make the sizes tell less")
	}
}

type told struct {
	sizes, alone int     // distinct sizes, and sizes that one part alone has
	right        float64 // share of right guesses
}

func report(t *testing.T, what string, list []leak.Sighting) told {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 8))
	var sizes, truths []string
	counts, classes := map[string]int{}, map[string]int{}
	for _, s := range list {
		size := fmt.Sprint(s.Seen)
		sizes, truths = append(sizes, size), append(truths, s.Truth)
		counts[size]++
		classes[s.Truth]++
	}
	got := told{sizes: len(counts), right: leak.Guess(list)}
	for _, n := range counts {
		if n == 1 {
			got.alone++
		}
	}
	commonest := 0
	for _, n := range classes {
		commonest = max(commonest, n)
	}
	const rounds = 50
	chance := 0.0
	for range rounds {
		chance += leak.MutualInformation(leak.Shuffled(list, r)) / rounds
	}
	// Where most sizes are of one part alone, chance tells as much as the sizes do: there the guess is the
	// better measure.
	t.Logf("%-8s %3d sizes, %3d of them of one part alone, entropy %.2f bits; of the class's %.2f bits they tell %.2f, shuffled ones %.2f; the class is guessed right %2.0f %% of the time, the commonest would be %2.0f %%",
		what, got.sizes, got.alone, leak.Entropy(sizes), leak.Entropy(truths), leak.MutualInformation(list), chance, 100*got.right, 100*float64(commonest)/float64(len(list)))
	return got
}

// The anchors' sizes are on the ledger, for all members to see.
func TestAnchoredSizesTellLittleOfTheRecord(t *testing.T) {
	patients := patient.Synthea(t, 100)
	for seed := range uint64(40) {
		patients = append(patients, patient.Synthetic(t, seed))
	}
	var parts []int
	var exact, anchored []int64
	for _, p := range patients {
		drafts, err := seal.Split(p.Bundle)
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		for i, d := range drafts {
			s, err := seal.Seal(io.Discard, bytes.NewReader(d.Content), seal.NewKey(), seal.AD{Part: i, Class: d.Class})
			if err != nil {
				t.Fatal(err)
			}
			sum += s.Size
		}
		power := int64(1)
		for power < sum {
			power *= 2
		}
		parts, exact, anchored = append(parts, len(drafts)), append(exact, sum), append(anchored, power)
	}
	distinct := func(list []int64) int { slices.Sort(list); return len(slices.Compact(slices.Clone(list))) }
	t.Logf("%d records: the sums of sealed sizes are %d (%.2f bits), rounded as they are anchored %d (%.2f bits); the numbers of parts, which are anchored as they are, %.2f bits",
		len(patients), distinct(exact), leak.Entropy(exact), distinct(anchored), leak.Entropy(anchored), leak.Entropy(parts))
	if distinct(anchored)*2 > distinct(exact) {
		t.Error("rounding doesn't make the sizes tell less")
	}
}
