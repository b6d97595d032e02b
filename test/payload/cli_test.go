package payload_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"yitong/cmd/yitong/client"
	"yitong/test/consortium"
	"yitong/test/patient"
)

// gate is a line to a gateway that passes so many bytes one way, and then holds them back.
type gate struct {
	net.Listener
	to   string
	held chan struct{} // closed, once, when it holds something back
	once sync.Once
	lift chan struct{} // closed when it is to pass everything

	mu     sync.Mutex
	budget [2]int64 // bytes that may pass: to the gateway, and from it
	passed [2]int64
	conns  []net.Conn
}

const (
	up = iota
	down
)

// passesAll is a budget that is never used up.
const passesAll = 1 << 60

func (g *gate) accept() {
	for {
		from, err := g.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", g.to)
		if err != nil {
			from.Close()
			continue
		}
		g.mu.Lock()
		g.conns = append(g.conns, from, to)
		g.mu.Unlock()
		go g.pass(to, from, up)
		go g.pass(from, to, down)
	}
}

func (g *gate) pass(dst, src net.Conn, way int) {
	defer dst.Close()
	defer src.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if err != nil {
			return
		}
		g.mu.Lock()
		g.budget[way] -= int64(n)
		g.passed[way] += int64(n)
		over := g.budget[way] < 0
		g.mu.Unlock()
		if over {
			g.once.Do(func() { close(g.held) })
			<-g.lift
		}
		if _, err := dst.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (g *gate) open() {
	g.mu.Lock()
	g.budget = [2]int64{passesAll, passesAll}
	g.mu.Unlock()
	close(g.lift)
}

func (g *gate) count(way int) int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passed[way]
}

// cut ends all connections; what is held back never arrives.
func (g *gate) cut() {
	g.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		c.Close()
	}
}

// desk is where somebody of a member types commands.
type desk struct {
	t       *testing.T
	c       *consortium.Consortium
	program string
	work    string
}

// run is a command that runs.
type run struct {
	*gate
	cmd  *exec.Cmd
	said bytes.Buffer
}

// start starts a command of a member's, over a line that passes so much.
func (d desk) start(member string, budget [2]int64, args ...string) *run {
	d.t.Helper()
	p, err := client.ReadProfile(d.c.Dir(), member)
	if err != nil {
		d.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.t.Fatal(err)
	}
	r := &run{gate: &gate{Listener: l, to: p.Gateway, held: make(chan struct{}), lift: make(chan struct{}), budget: budget}}
	go r.accept()
	d.t.Cleanup(r.cut)
	if p.ServerName == "" {
		p.ServerName, _, _ = net.SplitHostPort(p.Gateway)
	}
	p.Gateway = l.Addr().String()
	if err := client.WriteProfile(d.work, p); err != nil {
		d.t.Fatal(err)
	}
	r.cmd = exec.CommandContext(d.t.Context(), d.program, append(args, "--as", member, "--dir", d.work)...)
	r.cmd.Dir = d.work
	r.cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(d.work, "cache"), "YITONG_USER=")
	r.cmd.Stdout, r.cmd.Stderr = &r.said, &r.said
	if err := r.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	return r
}

// ends waits for the command's end, wants the exit code (-1 of one that was killed), and holds
// the memory that it took at most against the bound.
func (d desk) ends(r *run, exit int) string {
	d.t.Helper()
	var failed *exec.ExitError
	if err := r.cmd.Wait(); err != nil && !errors.As(err, &failed) {
		d.t.Fatal(err)
	}
	r.cut()
	if got := r.cmd.ProcessState.ExitCode(); got != exit {
		d.t.Fatalf("%q: exit code %d, not %d\n%s", r.cmd.Args[1:], got, exit, &r.said)
	}
	took := r.cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10 // KiB on Linux
	d.t.Logf("yitong %s: peak %d MiB, %d MiB to the gateway, %d MiB from it", strings.Join(r.cmd.Args[1:3], " "), took, r.count(up)>>20, r.count(down)>>20)
	if took > *bound {
		d.t.Errorf("the command took %d MiB", took)
	}
	return r.said.String()
}

// wait waits until the line holds something back.
func (d desk) wait(r *run) {
	d.t.Helper()
	select {
	case <-r.held:
	case <-time.After(5 * time.Minute):
		r.cmd.Process.Kill()
		r.cmd.Wait()
		d.t.Fatalf("%q never sent that much\n%s", r.cmd.Args[1:], &r.said)
	}
}

// kill ends a member's gateway as a power cut would; its supervisor starts it again.
func (d desk) kill(member string) {
	d.t.Helper()
	before := d.c.Processes("gateway-" + member)
	if len(before) != 1 {
		d.t.Fatalf("%d gateways of %s", len(before), member)
	}
	if err := syscall.Kill(before[0].PID, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if now := d.c.Processes("gateway-" + member); len(now) == 1 && now[0].PID != before[0].PID && now[0].PID != 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatal("the gateway isn't started again")
		}
	}
}

// left lists what is in a folder in the clear and isn't kept.
func left(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, ".opening-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// The commands of a PACS engineer: a folder with a study is submitted, and opened elsewhere. Each
// command is interrupted, killed, and its gateway is killed; the same command again goes on
// where it was, in little memory, and leaves nothing in the clear but what it was asked for.
func TestCommandsOnAStudyGoOnWhereTheyWere(t *testing.T) {
	c := consortium.Start(t)
	d := desk{t: t, c: c, program: filepath.Join(t.TempDir(), "yitong"), work: t.TempDir()}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", d.program, "yitong/cmd/yitong").CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	total := max(*size, 192) << 20
	folder := filepath.Join(d.work, "DOE^JOHN")
	if err := os.MkdirAll(filepath.Join(folder, "SE1"), 0o700); err != nil {
		t.Fatal(err)
	}
	slices := []string{filepath.Join(folder, "SE1", "IM1"), filepath.Join(folder, "SE1", "IM2")}
	for i, name := range append(slices, filepath.Join(folder, "README")) {
		f, err := os.Create(name)
		if err == nil && i < len(slices) {
			_, err = io.Copy(f, newStudy(total/2+int64(i)))
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	who := patient.Synthetic(t, 8)
	submit := []string{"record", "submit", folder, "--patient", who.ID.GetSystem() + "|" + who.ID.GetValue()}
	const step = 80 << 20 // more than a segment

	first := d.start(consortium.HospitalA, [2]int64{step, passesAll}, submit...)
	d.wait(first)
	if err := first.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if said := d.ends(first, 130); !strings.Contains(said, "--id ") || !strings.Contains(said, "README") {
		t.Errorf("an interrupted upload says %s", said)
	}
	second := d.start(consortium.HospitalA, [2]int64{step / 8, passesAll}, submit...)
	d.wait(second)
	second.cmd.Process.Kill()
	d.ends(second, -1)
	third := d.start(consortium.HospitalA, [2]int64{step / 8, passesAll}, submit...)
	d.wait(third)
	d.kill(consortium.HospitalA)
	third.open()
	if said := d.ends(third, 0); !strings.Contains(said, "imaging") || !strings.Contains(said, "anchored") {
		t.Errorf("the last one says %s", said)
	}
	// With TLS and what was on its way when the gateway was killed.
	if sent := third.count(up); sent > total-step/2 {
		t.Errorf("the third command sent %d bytes of %d: it began anew", sent, total)
	}

	// Once more, under another id and undisturbed: what its gateway takes to split it.
	gateway := c.Processes("gateway-" + consortium.HospitalA)[0].PID
	forget(t, gateway)
	d.ends(d.start(consortium.HospitalA, [2]int64{passesAll, passesAll}, append(submit, "--id", client.NewID())...), 0)
	if took := peak(t, gateway); took > *bound {
		t.Errorf("the gateway took %d MiB", took)
	} else {
		t.Logf("the gateway's peak is %d MiB", took)
	}

	c.Grant(t, who, consortium.ForPayment("imaging"))
	access := c.Ask(t, who, "imaging")
	out := filepath.Join(d.work, "opened")
	opens := []string{"access", "open", access.GetId(), "--custodian", consortium.HospitalA, "--out", out}
	first = d.start(consortium.Insurer, [2]int64{passesAll, step}, opens...)
	d.wait(first)
	if len(left(t, out)) == 0 {
		t.Fatal("nothing is written when it is interrupted: the test shows nothing")
	}
	if err := first.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if said := d.ends(first, 130); !strings.Contains(said, "the same command can be run again") {
		t.Errorf("an interrupted opening says %s", said)
	}
	if found := left(t, out); len(found) != 0 {
		t.Errorf("after Ctrl-C %q lies there in the clear", found)
	}
	second = d.start(consortium.Insurer, [2]int64{passesAll, step}, opens...)
	d.wait(second)
	second.cmd.Process.Kill()
	d.ends(second, -1)
	if len(left(t, out)) == 0 {
		t.Fatal("the killed command has left nothing: the test shows nothing")
	}
	third = d.start(consortium.Insurer, [2]int64{passesAll, step / 8}, opens...)
	d.wait(third)
	d.kill(consortium.Insurer)
	third.open()
	d.ends(third, 0)
	if got := third.count(down); got > 2*total-step/2 {
		t.Errorf("the third command read %d bytes of %d: it began anew", got, 2*total)
	}
	if found := left(t, out); len(found) != 0 {
		t.Errorf("in the end %q lies there in the clear", found)
	}
	files, err := filepath.Glob(filepath.Join(out, "*.tar"))
	if err != nil || len(files) != 2 { // a part of each of the two records
		t.Fatalf("opened are %q, %v", files, err)
	}
	for _, file := range files {
		if err := holds(file, slices); err != nil {
			t.Error(err)
		}
	}
}

// holds compares the files of a tar with files.
func holds(archive string, want []string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	r := tar.NewReader(f)
	for _, name := range want {
		if _, err := r.Next(); err != nil {
			return err
		}
		other, err := os.Open(name)
		if err != nil {
			return err
		}
		err = same(r, other)
		if other.Close(); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(name), err)
		}
	}
	if _, err := r.Next(); err != io.EOF {
		return fmt.Errorf("there is more in the tar: %v", err)
	}
	return nil
}

func same(a, b io.Reader) error {
	one, other := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, aerr := io.ReadFull(a, one)
		m, berr := io.ReadFull(b, other)
		if !bytes.Equal(one[:n], other[:m]) {
			return errors.New("it isn't what was submitted")
		}
		if errors.Is(aerr, io.EOF) || errors.Is(aerr, io.ErrUnexpectedEOF) {
			if !errors.Is(berr, aerr) {
				return errors.New("one ends before the other")
			}
			return nil
		}
		if err := errors.Join(aerr, berr); err != nil {
			return err
		}
	}
}
