package keys_test

import (
	"fmt"
	"testing"

	"yitong/gateway/keys"
)

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{0, 10_000} {
		b.Run(fmt.Sprintf("%d entries", n), func(b *testing.B) {
			s, path := create(b)
			fill(b, s, n)
			s.Close()
			for b.Loop() {
				s, err := keys.Open(path, pass)
				if err != nil {
					b.Fatal(err)
				}
				s.Close()
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s, _ := create(b)
	fill(b, s, 10_000)
	for b.Loop() {
		if _, err := s.Get("part", "r77"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut is one durable transaction: mostly the disk's fsync.
func BenchmarkPut(b *testing.B) {
	s, _ := create(b)
	for b.Loop() {
		if err := s.Put("part", "r", make([]byte, 32)); err != nil {
			b.Fatal(err)
		}
	}
}

func fill(b *testing.B, s *keys.Store, n int) {
	err := s.Update(func(tx *keys.Tx) error {
		for i := range n {
			if err := tx.Put("part", fmt.Sprintf("r%d", i), make([]byte, 32)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkScrub is what destroying one key costs beside deleting it (BenchmarkDelete), in a store of
// many.
func BenchmarkScrub(b *testing.B) { benchmarkEnd(b, (*keys.Store).Scrub) }

func BenchmarkDelete(b *testing.B) { benchmarkEnd(b, func(*keys.Store) error { return nil }) }

func benchmarkEnd(b *testing.B, end func(*keys.Store) error) {
	s, _ := create(b)
	fill(b, s, 20_000)
	for i := 0; b.Loop(); i++ {
		if err := s.Delete("part", fmt.Sprintf("r%d", i)); err != nil {
			b.Fatal(err)
		}
		if err := end(s); err != nil {
			b.Fatal(err)
		}
	}
}
