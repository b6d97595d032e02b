package screen

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// patience is how much content passes, in bytes, before a bar appears: what is
// done at once needs none.
const patience = 8 << 20

// Progress counts what passes, bytes as a rule, and, on a terminal, shows how far it
// is. It is an io.Writer to be put beside the real one.
type Progress struct {
	s     *Screen
	what  string
	unit  string // of what is counted; "" is bytes
	total int64  // 0: not known
	done  int64
	drawn time.Time
	width int
}

// Progress begins a bar; total is in bytes, 0 when nobody knows.
func (s *Screen) Progress(what string, total int64) *Progress {
	return &Progress{s: s, what: what, total: total}
}

// Counting begins a bar of things, named in the plural: blocks.
func (s *Screen) Counting(what, things string) *Progress {
	return &Progress{s: s, what: what, unit: things}
}

// Write counts p.
func (p *Progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if p.s.terminalErr && !p.s.JSON && (p.unit != "" || p.done > patience) && time.Since(p.drawn) > 100*time.Millisecond {
		p.drawn = time.Now()
		p.draw()
	}
	return len(b), nil
}

// At says how far it is.
func (p *Progress) At(done int64) {
	p.done = done
	_, _ = p.Write(nil)
}

// Of says how far it is, and of how much.
func (p *Progress) Of(done, total int64) {
	p.total = total
	p.At(done)
}

// Reader is r with what is read from it counted.
func (p *Progress) Reader(r io.Reader) io.Reader { return io.TeeReader(r, p) }

// Close takes the bar away. It may be called again.
func (p *Progress) Close() {
	if p.width > 0 {
		fmt.Fprintf(p.s.Err, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

func (p *Progress) draw() {
	const cells = 30
	amount := func(n int64) string {
		if p.unit != "" {
			return fmt.Sprint(n)
		}
		return Bytes(n)
	}
	line := p.what + " " + amount(p.done)
	if p.total > 0 {
		full := int(min(p.done, p.total) * cells / p.total)
		line = fmt.Sprintf("%s [%s%s] %s of %s", p.what, strings.Repeat("=", full), strings.Repeat(" ", cells-full), amount(p.done), amount(p.total))
	}
	if p.unit != "" {
		line += " " + p.unit
	}
	p.width = max(p.width, len(line))
	fmt.Fprintf(p.s.Err, "\r%-*s", p.width, line)
}

// Bytes writes a size for a person, in powers of 1024.
func Bytes(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, unit := float64(n)/(1<<10), 0
	for v >= 1024 && unit < 4 {
		v, unit = v/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[unit])
}
