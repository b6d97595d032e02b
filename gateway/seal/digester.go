package seal

import (
	"crypto/sha256"
	"sync"
)

// buffer holds one segment.
type buffer [segmentSize]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// wipe clears a buffer that may hold plaintext before others see it.
func wipe(b *buffer) {
	clear(b[:])
	buffers.Put(b)
}

// digester computes the SHA-256 of what passes by on a goroutine of its own:
// hashing costs more than sealing, so the two overlap. The buffers it is given
// go back to the pool when they are hashed. Its queue bounds the memory. A nil
// digester hashes nothing.
type digester struct {
	queue chan chunk
	done  chan [32]byte
}

type chunk struct {
	buf *buffer
	n   int
}

func newDigester() *digester {
	d := &digester{queue: make(chan chunk, 4), done: make(chan [32]byte, 1)}
	go func() {
		h := sha256.New()
		for c := range d.queue {
			h.Write(c.buf[:c.n])
			buffers.Put(c.buf)
		}
		d.done <- [32]byte(h.Sum(nil))
	}()
	return d
}

// header adds the few bytes before the first segment.
func (d *digester) header(b []byte) {
	if d == nil {
		return
	}
	buf := buffers.Get().(*buffer)
	d.add(buf, copy(buf[:], b))
}

// add takes the buffer over.
func (d *digester) add(buf *buffer, n int) {
	if d == nil {
		buffers.Put(buf)
		return
	}
	d.queue <- chunk{buf, n}
}

// sum waits for the goroutine's end; to be called exactly once.
func (d *digester) sum() [32]byte {
	close(d.queue)
	return <-d.done
}
