package leak_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"yitong/test/leak"
)

// The statistics find a leak that is there, and none where there is none.
func TestStatisticsTellALeakFromNone(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var telling, mute []leak.Sighting
	for i := range 400 {
		truth := fmt.Sprint(i % 4)
		group := fmt.Sprint(i / 20)
		telling = append(telling, leak.Sighting{Group: group, Truth: truth, Seen: float64(100 + 300*(i%4))})
		mute = append(mute, leak.Sighting{Group: group, Truth: truth, Seen: float64(1 + r.IntN(4))})
	}
	if got := leak.MutualInformation(telling); math.Abs(got-2) > 1e-9 {
		t.Errorf("a size for each of four classes tells %.3f bits, want 2", got)
	}
	if got := leak.MutualInformation(mute); got > 0.1 {
		t.Errorf("a size drawn at random tells %.3f bits", got)
	}
	if got := leak.MutualInformation(leak.Shuffled(telling, r)); got > 0.1 {
		t.Errorf("shuffled, it tells %.3f bits", got)
	}
	if got := leak.Guess(telling); got != 1 {
		t.Errorf("it is guessed right %.2f of the time", got)
	}
	if got := leak.Guess(mute); got > 0.5 {
		t.Errorf("what isn't told is guessed right %.2f of the time", got)
	}

	var left, close, far []float64
	for range 40 {
		at := r.Float64() * 1000
		left, close, far = append(left, at), append(close, at+0.01), append(far, r.Float64()*1000)
	}
	if got := leak.Matched(left, close); got < 38 {
		t.Errorf("of 40 pairs in step %d are matched", got)
	}
	if got := leak.Matched(left, far); got > 8 {
		t.Errorf("of 40 pairs out of step %d are matched", got)
	}
	if _, reached := leak.ByChance(left, close, leak.Matched(left, close), 500, r); reached > 0 {
		t.Errorf("chance reaches it %d times in 500", reached)
	}
	if mean, _ := leak.ByChance(left, far, 0, 500, r); mean > 3 {
		t.Errorf("chance matches %.1f of 40", mean)
	}
}
