package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"yitong/cmd/yitong/gatewaytest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"yitong": func() { os.Exit(run()) }})
}

// The scripts are the command's surface as its users meet it. What needs a
// consortium gets one of real gateways in this process.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("NO_COLOR", "1")
			e.Values[key{}] = &stage{t: e.T().(testing.TB)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "consortium": consortium, "lose-answer": loseAnswer, "stop-gateway": stopGateway, "set": set, "until": until,
		},
	})
}

type key struct{}

// stage is what one script plays on.
type stage struct {
	t          testing.TB
	consortium *gatewaytest.Consortium
}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(key{}).(*stage) }

// exits CODE ARGS... runs yitong and wants that exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec("yitong", args[1:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// consortium DIR starts one and writes its profiles.
func consortium(ts *testscript.TestScript, _ bool, args []string) {
	s := stageOf(ts)
	s.consortium = gatewaytest.Start(s.t, ts.MkAbs(args[0]))
}

// lose-answer has the next transaction commit without an answer.
func loseAnswer(ts *testscript.TestScript, _ bool, _ []string) { stageOf(ts).consortium.LoseAnswer() }

// stop-gateway MEMBER takes a gateway off the network.
func stopGateway(ts *testscript.TestScript, _ bool, args []string) {
	stageOf(ts).consortium.Stop(args[0])
}

// until TEXT ARGS... runs yitong again and again, until its output has the text: for what
// a gateway does by itself. It gives up after a minute.
func until(ts *testscript.TestScript, _ bool, args []string) {
	for deadline := time.Now().Add(time.Minute); ; {
		ts.Check(ts.Exec("yitong", args[1:]...))
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("there is no %q in the output", args[0])
		}
	}
}

// set NAME FILE REST... sets a variable to the file's text after the first REST
// and up to the next white space or quote.
func set(ts *testscript.TestScript, _ bool, args []string) {
	_, rest, found := strings.Cut(ts.ReadFile(args[1]), strings.Join(args[2:], " "))
	if !found {
		ts.Fatalf("%q is not in %s", args[2:], args[1])
	}
	end := strings.IndexAny(rest, " \t\n\",")
	ts.Setenv(args[0], rest[:end])
}

func TestCtrlCEndsAFollowedHistoryWithItsOwnExitCode(t *testing.T) {
	cmd := exec.Command("yitong", "audit", "history", "--follow", "--as", "regulator", "--dir", consortiumIn(t))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "registry:Found") { // it shows what there is, then waits
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	wantExit(t, cmd, 130)
}

func TestCtrlCEndsACommandThatWaitsForInput(t *testing.T) {
	cmd := exec.Command("yitong", "record", "submit", "-", "--as", "hospital-a", "--dir", consortiumIn(t))
	in, err := cmd.StdinPipe() // never closed: the command waits
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("{" + strings.Repeat(" ", 1<<20))); err != nil { // more than a pipe holds: it reads
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	wantExit(t, cmd, 130)
}

func consortiumIn(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	return dir
}

func wantExit(t *testing.T, cmd *exec.Cmd, want int) {
	t.Helper()
	err := cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != want {
		t.Errorf("%s: %v, want exit code %d", filepath.Base(cmd.Path), err, want)
	}
}
