package leak

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
)

// Sighting is something that an observer sees of one part of a record: a size, say, of a part whose
// class it would like to know.
type Sighting struct {
	Group string  // whose record it is of; a guess never looks at others of the group
	Seen  float64 // above zero
	Truth string
}

// Entropy is Shannon's, in bits, of how often each value stands in the list.
func Entropy[T comparable](list []T) float64 {
	counts := map[T]int{}
	for _, v := range list {
		counts[v]++
	}
	numbers := make([]int, 0, len(counts)) // in order, so that the sum is the same each time
	for _, n := range counts {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	h := 0.0
	for _, n := range numbers {
		p := float64(n) / float64(len(list))
		h -= p * math.Log2(p)
	}
	return h
}

// MutualInformation is how many bits of the truth what is seen tells, over a sample. A small sample
// tells more than there is: compare it with the same sample shuffled.
func MutualInformation(list []Sighting) float64 {
	type pair struct {
		seen  float64
		truth string
	}
	var seen []float64
	var truth []string
	var both []pair
	for _, s := range list {
		seen, truth, both = append(seen, s.Seen), append(truth, s.Truth), append(both, pair{s.Seen, s.Truth})
	}
	return Entropy(seen) + Entropy(truth) - Entropy(both)
}

// Shuffled deals the truths out anew: what is seen then tells nothing of them.
func Shuffled(list []Sighting, r *rand.Rand) []Sighting {
	out := slices.Clone(list)
	r.Shuffle(len(out), func(i, j int) { out[i].Truth, out[j].Truth = out[j].Truth, out[i].Truth })
	return out
}

// Guess is how often an observer who has seen the truth of all other groups guesses right: the
// commonest truth among the five sightings nearest in ratio, and those as near as the fifth.
func Guess(list []Sighting) float64 {
	type other struct {
		distance float64
		truth    string
	}
	right := 0
	for _, s := range list {
		var others []other
		for _, o := range list {
			if o.Group != s.Group {
				others = append(others, other{math.Abs(math.Log(o.Seen / s.Seen)), o.Truth})
			}
		}
		slices.SortFunc(others, func(a, b other) int {
			return cmp.Or(cmp.Compare(a.distance, b.distance), cmp.Compare(a.truth, b.truth))
		})
		votes := map[string]int{}
		best := ""
		for i, o := range others {
			if i >= 5 && o.distance > others[4].distance {
				break
			}
			votes[o.truth]++
			if n := votes[o.truth] - votes[best]; n > 0 || n == 0 && o.truth < best {
				best = o.truth
			}
		}
		if best == s.Truth {
			right++
		}
	}
	return float64(right) / float64(len(list))
}

// Matched is how many of the left an observer matches to the right by the nearest time: left[i] and
// right[i] belong together.
func Matched(left, right []float64) int {
	n := 0
	for i, t := range left {
		nearest := 0
		for j := range right {
			if math.Abs(right[j]-t) < math.Abs(right[nearest]-t) {
				nearest = j
			}
		}
		if nearest == i {
			n++
		}
	}
	return n
}

// ByChance is what Matched comes to when nothing belongs together: the mean over so many shuffles,
// and how many of them came to at least least.
func ByChance(left, right []float64, least, shuffles int, r *rand.Rand) (mean float64, reached int) {
	right = slices.Clone(right)
	for range shuffles {
		r.Shuffle(len(right), func(i, j int) { right[i], right[j] = right[j], right[i] })
		n := Matched(left, right)
		mean += float64(n) / float64(shuffles)
		if n >= least {
			reached++
		}
	}
	return mean, reached
}
