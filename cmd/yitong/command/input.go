package command

import (
	"context"
	"io"
)

// interruptible is a reader that gives up when ctx ends: a read of a terminal or
// a pipe waits for as long as nobody writes, and Ctrl-C must not.
type interruptible struct {
	ctx context.Context
	r   io.Reader
}

func (i interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	type result struct {
		bytes []byte
		err   error
	}
	done := make(chan result, 1)
	go func() {
		buf := make([]byte, len(p)) // p is the caller's again once we have given up
		n, err := i.r.Read(buf)
		done <- result{buf[:n], err}
	}()
	select {
	case r := <-done:
		return copy(p, r.bytes), r.err
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}
