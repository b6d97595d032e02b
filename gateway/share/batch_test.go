package share

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bus is a batcher's flush that takes a second and notes what went together and when.
type bus struct {
	mu    sync.Mutex
	began time.Time
	trips []trip
}

type trip struct {
	at    time.Duration
	items int
}

func (b *bus) flush(_ context.Context, items []int) []outcome[int] {
	b.mu.Lock()
	b.trips = append(b.trips, trip{time.Since(b.began), len(items)})
	b.mu.Unlock()
	time.Sleep(time.Second)
	results := make([]outcome[int], len(items))
	for i, item := range items {
		results[i].value = -item
	}
	return results
}

func TestABatchLeavesWhenTheOneBeforeItIsBackAndNeverLaterThanItMay(t *testing.T) {
	const idle, max = 20 * time.Millisecond, 4
	for name, c := range map[string]struct {
		busy  time.Duration
		calls map[time.Duration]int // when -> how many callers
		want  []trip
	}{
		"alone, it waits for others for the idle time": {
			time.Minute, map[time.Duration]int{0: 1}, []trip{{idle, 1}}},
		"those that come within the idle time share": {
			time.Minute, map[time.Duration]int{0: 1, 10 * time.Millisecond: 2}, []trip{{idle, 3}}},
		"those that come while one is under way go together when it is back": {
			time.Minute, map[time.Duration]int{0: 1, 100 * time.Millisecond: 1, 500 * time.Millisecond: 1},
			[]trip{{idle, 1}, {time.Second + idle, 2}}},
		"but none waits longer than the busy time": {
			200 * time.Millisecond, map[time.Duration]int{0: 1, 100 * time.Millisecond: 1, 250 * time.Millisecond: 1, 400 * time.Millisecond: 1},
			[]trip{{idle, 1}, {300 * time.Millisecond, 2}, {600 * time.Millisecond, 1}}},
		"a full one leaves at once": {
			time.Minute, map[time.Duration]int{0: 1, 100 * time.Millisecond: max + 1},
			[]trip{{idle, 1}, {100 * time.Millisecond, max}, {1100 * time.Millisecond, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bus{began: time.Now()}
				batches := newBatcher(t.Context(), max, idle, c.busy, b.flush)
				var callers sync.WaitGroup
				next := 0
				for when, n := range c.calls {
					for range n {
						next++
						item := next
						callers.Go(func() {
							time.Sleep(when)
							if got, err := batches.do(t.Context(), item); got != -item || err != nil {
								t.Errorf("%d was answered %d, %v", item, got, err)
							}
						})
					}
				}
				callers.Wait()
				batches.close()
				if !slices.Equal(b.trips, c.want) {
					t.Errorf("left %v, want %v", b.trips, c.want)
				}
			})
		})
	}
}
