// Package payload_test sends large studies through a real consortium, over connections that
// break, and measures what memory it takes.
package payload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/test/consortium"
	"yitong/test/patient"
)

func TestMain(m *testing.M) { consortium.Main(m) }

var (
	size  = flag.Int64("size", 96, "MiB of the study; 2048 is what memory is held against in earnest")
	bound = flag.Int64("bound", 128, "MiB of memory that no gateway may take more of for it")
)

// study is a DICOM file of any size, that is never anywhere as a whole: after the header come
// bytes made of their place.
type study struct {
	head []byte
	n    int64
	at   int64
}

func newStudy(n int64) *study {
	element := func(group, number uint16, vr, value string) []byte {
		b := binary.LittleEndian.AppendUint16(nil, group)
		b = append(binary.LittleEndian.AppendUint16(b, number), vr...)
		return append(binary.LittleEndian.AppendUint16(b, uint16(len(value))), value...)
	}
	head := append(make([]byte, 128), "DICM"...)
	head = append(head, element(2, 0x10, "UI", "1.2.840.10008.1.2.1\x00")...)
	head = append(head, element(8, 0x20, "DA", "20240301")...)
	return &study{head: append(head, element(8, 0x60, "CS", "CT")...), n: n}
}

func (s *study) Seek(to int64, whence int) (int64, error) {
	if whence != io.SeekStart {
		return 0, fmt.Errorf("only from the start")
	}
	s.at = to
	return to, nil
}

const block = 64 << 10

func (s *study) Read(b []byte) (int, error) {
	if s.at >= s.n {
		return 0, io.EOF
	}
	b = b[:min(int64(len(b)), s.n-s.at, block-s.at%block)]
	var made [block]byte
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], uint64(s.at/block))
	rand.NewChaCha8(seed).Read(made[:])
	if s.at < block {
		copy(made[:], s.head)
	}
	n := copy(b, made[s.at%block:])
	s.at += int64(n)
	return n, nil
}

func (s *study) digest() []byte {
	h := sha256.New()
	io.Copy(h, newStudy(s.n))
	return h.Sum(nil)
}

// forget has a process's peak begin anew (proc(5), clear_refs): at its start a gateway takes
// 64 MiB to open its key store, on purpose.
func forget(t *testing.T, pid int) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// peak is how much memory a process had at most, in MiB (VmHWM: what it maps of its program
// counts too).
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib >> 10
		}
	}
	t.Fatal("the process tells no peak")
	return 0
}

// cutter is a line to a gateway that breaks after so many bytes, again and again.
type cutter struct {
	net.Listener
	to    string
	every int64
	mu    sync.Mutex
	cuts  int
}

func newCutter(t *testing.T, to string, every int64) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{Listener: l, to: to, every: every}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(from)
		}
	}()
	t.Cleanup(func() { l.Close() })
	return c
}

func (c *cutter) pass(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", c.to)
	if err != nil {
		return
	}
	defer to.Close()
	ended := make(chan bool, 2)
	move := func(dst, src net.Conn) {
		n, _ := io.CopyN(dst, src, c.every)
		ended <- n == c.every
	}
	go move(to, from)
	go move(from, to)
	if <-ended {
		c.mu.Lock()
		c.cuts++
		c.mu.Unlock()
	}
}

func (c *cutter) broke() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

// through is a client whose line breaks.
func through(t *testing.T, c *consortium.Consortium, member string, every int64) (*client.Client, *cutter) {
	t.Helper()
	p, err := client.ReadProfile(c.Dir(), member)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := net.SplitHostPort(p.Gateway)
	if p.ServerName == "" {
		p.ServerName = host
	}
	line := newCutter(t, p.Gateway, every)
	p.Gateway = line.Addr().String()
	one, err := client.Dial(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close() })
	return one, line
}

func TestALargeStudyGoesThroughInLittleMemory(t *testing.T) {
	c := consortium.Start(t)
	n := *size << 20
	who := patient.Synthetic(t, 7)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	pids := map[string]int{}
	for _, s := range c.Processes("gateway-") {
		pids[s.Name] = s.PID
	}
	before := map[string]int64{}
	for name, pid := range pids {
		forget(t, pid)
		before[name] = peak(t, pid)
	}

	hospital, out := through(t, c, consortium.HospitalA, n/3)
	begin := time.Now()
	quiet := func(int64) {}
	header := &yitongv1.SubmitHeader{Id: client.NewID(), MediaType: "application/dicom", Patient: who.ID}
	answer, err := hospital.Upload(ctx, header, newStudy(n), n, quiet, quiet)
	if err != nil {
		t.Fatal(err)
	}
	submitted := time.Since(begin)
	part := answer.GetRecord().GetParts()[0]
	if part.GetContentSize() != n || part.GetDataClass() != "imaging" || out.broke() == 0 {
		t.Fatalf("the record has %v; the line broke %d times", part, out.broke())
	}
	c.Grant(t, who, consortium.ForPayment("imaging"))
	access := c.Ask(t, who, "imaging")
	insurer, in := through(t, c, consortium.Insurer, n/3)
	begin = time.Now()
	parts, summary, err := insurer.OpenKept(ctx, access.GetId(), consortium.HospitalA, func(int64, int64) {})
	if err != nil || len(parts) != 1 || summary.GetReceipt() == nil {
		t.Fatalf("opened %d parts, %v", len(parts), err)
	}
	opened := time.Since(begin)
	begin = time.Now()
	h := sha256.New()
	sum, err := insurer.Content(ctx, consortium.HospitalA, access.GetId(), parts[0], 0, h)
	read := time.Since(begin)
	if want := newStudy(n).digest(); err != nil || !bytes.Equal(h.Sum(nil), want) || !bytes.Equal(sum, want) {
		t.Errorf("what the insurer reads isn't what the hospital submitted: %v", err)
	}
	if in.broke() == 0 {
		t.Error("the insurer's line never broke: the test shows nothing")
	}
	for name, pid := range pids {
		took := peak(t, pid)
		t.Logf("%s: peak %d MiB, %d before", name, took, before[name])
		if took > *bound {
			t.Errorf("%s took %d MiB", name, took)
		}
	}
	rate := func(d time.Duration) string {
		return fmt.Sprintf("%s (%.0f MB/s)", d.Round(time.Millisecond), float64(n)/d.Seconds()/1e6)
	}
	t.Logf("%d MiB: uploaded, sealed and anchored in %s over %d cuts, released and kept in %s, read in %s over %d cuts", *size, rate(submitted), out.broke(), rate(opened), rate(read), in.broke())
}
