package fabric

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

const (
	// Release is the version of Fabric that a network runs.
	Release = "3.1.1"
	// module and moduleVersion name the source of Release: the module has no /v3
	// path, so its tags can't be asked for and the commit's pseudo-version is.
	module        = "github.com/hyperledger/fabric"
	moduleVersion = "v1.4.0-rc1.0.20250510200036-435a7f1a780a"
	commit        = "435a7f1"
	// fabricPackages is how many packages a build without any cache compiles.
	fabricPackages = 1000

	// BinariesVariable names the environment variable with a directory that
	// holds ready-built peer and orderer programs.
	BinariesVariable = "YITONG_FABRIC_BIN"
)

// Binaries are Fabric's two daemons and their sample configurations, as paths.
type Binaries struct {
	Peer, Orderer         string
	CoreYAML, OrdererYAML string
}

// Install finds Fabric's daemons or builds them, which takes about a minute on
// two cores and needs Go and the module proxy, once per user: they are kept
// below the user's cache directory. A directory named by YITONG_FABRIC_BIN is
// used instead.
//
// The source comes as a module, so Go checks it against the checksum database;
// its dependencies are those of Fabric's own go.sum. Two runs at a time don't
// collide, and one that is cut off leaves nothing half done.
func Install(ctx context.Context, report Report) (Binaries, error) {
	cache, err := cacheDir()
	if err != nil {
		return Binaries{}, err
	}
	in := installer{cache: cache, report: report}
	if dir := os.Getenv(BinariesVariable); dir != "" {
		return in.given(ctx, dir)
	}
	if b := in.cached(); b.complete() {
		return b, nil
	}
	unlock, err := in.lock(ctx)
	if err != nil {
		return Binaries{}, err
	}
	defer unlock()
	if err := in.config(ctx); err != nil {
		return Binaries{}, err
	}
	if err := in.build(ctx); err != nil {
		return Binaries{}, err
	}
	return in.cached(), nil
}

func cacheDir() (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no user cache directory for Fabric's programs (set XDG_CACHE_HOME, or %s to a directory with peer and orderer): %w", BinariesVariable, err)
	}
	return filepath.Join(user, "yitong", "fabric-"+Release), nil
}

type installer struct {
	cache  string
	report Report
}

func (in installer) cached() Binaries {
	return Binaries{
		Peer:        filepath.Join(in.cache, "bin", "peer"),
		Orderer:     filepath.Join(in.cache, "bin", "orderer"),
		CoreYAML:    filepath.Join(in.cache, "config", "core.yaml"),
		OrdererYAML: filepath.Join(in.cache, "config", "orderer.yaml"),
	}
}

func (b Binaries) complete() bool {
	return executable(b.Peer) && executable(b.Orderer) && exists(b.CoreYAML) && exists(b.OrdererYAML)
}

func exists(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// given uses the programs in dir, and the configurations beside them in the
// layout of Fabric's release archives (bin/ and config/), or those of the module.
func (in installer) given(ctx context.Context, dir string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, fmt.Errorf("%s: %w", BinariesVariable, err)
	}
	b := in.cached()
	b.Peer, b.Orderer = filepath.Join(dir, "peer"), filepath.Join(dir, "orderer")
	for _, program := range []string{b.Peer, b.Orderer} {
		if !executable(program) {
			return Binaries{}, fmt.Errorf("%s=%s: there is no program %s; put Fabric %s's peer and orderer there, or unset the variable to have them built", BinariesVariable, dir, filepath.Base(program), Release)
		}
	}
	version, err := exec.CommandContext(ctx, b.Peer, "version").CombinedOutput()
	if err != nil || !bytes.Contains(version, []byte("Version:")) {
		return Binaries{}, fmt.Errorf("%s=%s: `peer version` doesn't answer (%v): %s", BinariesVariable, dir, err, firstLine(version))
	}
	for _, beside := range []string{filepath.Join(dir, "..", "config"), filepath.Join(dir, "config")} {
		core, orderer := filepath.Join(beside, "core.yaml"), filepath.Join(beside, "orderer.yaml")
		if exists(core) && exists(orderer) {
			b.CoreYAML, b.OrdererYAML = core, orderer
			return b, nil
		}
	}
	if b.complete() {
		return b, nil
	}
	unlock, err := in.lock(ctx)
	if err != nil {
		return Binaries{}, err
	}
	defer unlock()
	return b, in.config(ctx)
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line
}

// lock keeps two installations apart. It clears what an aborted one left.
func (in installer) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(in.cache, 0o755); err != nil {
		return nil, fmt.Errorf("making the cache for Fabric's programs: %w", err)
	}
	l := flock.New(filepath.Join(in.cache, "lock"))
	locked, err := l.TryLock()
	if err == nil && !locked {
		in.report.say("another run is installing Fabric; waiting for it")
		_, err = l.TryLockContext(ctx, 200*time.Millisecond)
	}
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", in.cache, err)
	}
	left, _ := filepath.Glob(filepath.Join(in.cache, ".new-*"))
	for _, dir := range left {
		_ = os.RemoveAll(dir)
	}
	return func() { _ = l.Unlock() }, nil
}

// config copies the sample configurations out of the module.
func (in installer) config(ctx context.Context) error {
	b := in.cached()
	if exists(b.CoreYAML) && exists(b.OrdererYAML) {
		return nil
	}
	source, err := in.download(ctx)
	if err != nil {
		return err
	}
	return in.replace("config", func(dir string) error {
		for _, name := range []string{"core.yaml", "orderer.yaml"} {
			content, err := os.ReadFile(filepath.Join(source, "sampleconfig", name))
			if err != nil {
				return fmt.Errorf("reading Fabric's sample configuration: %w", err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				return fmt.Errorf("keeping Fabric's sample configuration: %w", err)
			}
		}
		return nil
	})
}

// replace fills a new directory and puts it in place of the named one at once.
func (in installer) replace(name string, fill func(dir string) error) error {
	dir, err := os.MkdirTemp(in.cache, ".new-"+name+"-")
	if err != nil {
		return fmt.Errorf("preparing %s: %w", name, err)
	}
	defer os.RemoveAll(dir)
	if err := fill(dir); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	final := filepath.Join(in.cache, name)
	if err := os.RemoveAll(final); err != nil {
		return fmt.Errorf("replacing %s: %w", final, err)
	}
	return os.Rename(dir, final)
}

// download has Go fetch and verify Fabric's source and returns its directory.
func (in installer) download(ctx context.Context) (string, error) {
	began := time.Now()
	scratch, err := os.MkdirTemp("", "yitong-fabric-")
	if err != nil {
		return "", fmt.Errorf("downloading Fabric: %w", err)
	}
	defer os.RemoveAll(scratch)
	if err := os.WriteFile(filepath.Join(scratch, "go.mod"), []byte("module scratch\n\ngo 1.24\n"), 0o644); err != nil {
		return "", fmt.Errorf("downloading Fabric: %w", err)
	}
	cmd, err := goCommand(ctx, scratch, "mod", "download", "-json", module+"@"+moduleVersion)
	if err != nil {
		return "", err
	}
	in.report.say("downloading the source of Fabric " + Release)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	runErr := cmd.Run()
	var answer struct{ Dir, Error string }
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil && runErr == nil {
		return "", fmt.Errorf("downloading Fabric: reading go's answer: %w", err)
	}
	if runErr != nil || answer.Dir == "" {
		return "", fmt.Errorf("downloading %s@%s: %w: %s%s; check GOPROXY and the network, or set %s", module, moduleVersion, errOr(runErr, "no directory"), answer.Error, firstLine(complaint.Bytes()), BinariesVariable)
	}
	in.report.done("downloaded the source of Fabric "+Release, began)
	return answer.Dir, nil
}

func errOr(err error, otherwise string) error {
	if err != nil {
		return err
	}
	return errors.New(otherwise)
}

// build compiles in the module's directory, which is read-only: the output and
// Go's own caches lie elsewhere, and Fabric's go.mod and go.sum are in force.
func (in installer) build(ctx context.Context) error {
	b := in.cached()
	if executable(b.Peer) && executable(b.Orderer) {
		return nil
	}
	source, err := in.download(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	err = in.replace("bin", func(dir string) error {
		metadata := module + "/common/metadata"
		cmd, err := goCommand(ctx, source, "build", "-v", "-trimpath",
			"-ldflags", "-s -w -X "+metadata+".Version=v"+Release+" -X "+metadata+".CommitSHA="+commit,
			"-o", dir+string(filepath.Separator), "./cmd/peer", "./cmd/orderer")
		if err != nil {
			return err
		}
		in.report.say("compiling Fabric's peer and orderer (once; one to five minutes)")
		return in.compile(cmd)
	})
	if err != nil {
		return err
	}
	in.report.done("compiled Fabric's peer and orderer", began)
	return nil
}

// compile runs `go build -v`, which names each package that it compiles.
func (in installer) compile(cmd *exec.Cmd) error {
	r, w := io.Pipe()
	cmd.Stderr = w
	other := make(chan string, 1)
	go func() {
		var complaints strings.Builder
		packages, told := 0, time.Now()
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			line := lines.Text()
			if strings.ContainsAny(line, " \t") && !strings.HasPrefix(line, "go: downloading ") {
				if complaints.Len() < 4<<10 {
					complaints.WriteString("\n  " + line)
				}
				continue
			}
			doing := "downloading Fabric's dependencies: " + strings.TrimPrefix(line, "go: downloading ")
			if !strings.HasPrefix(line, "go: ") {
				packages++
				doing = fmt.Sprintf("compiling Fabric: %d packages so far, of about %d", packages, fabricPackages)
			}
			if time.Since(told) > 3*time.Second {
				told = time.Now()
				in.report.say(doing)
			}
		}
		_, _ = io.Copy(io.Discard, r)
		other <- complaints.String()
	}()
	err := cmd.Run()
	w.Close()
	complaints := <-other
	if err != nil {
		return fmt.Errorf("compiling Fabric: %w%s", err, complaints)
	}
	return nil
}

// goCommand is Go as a user would run it, save that a workspace or vendor
// setting meant for the user's own module doesn't reach Fabric's.
func goCommand(ctx context.Context, dir string, args ...string) (*exec.Cmd, error) {
	program, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("building Fabric needs Go in PATH (https://go.dev/dl), or %s set to a directory with its peer and orderer: %w", BinariesVariable, err)
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	// Fabric needs cgo only for PKCS #11, which is behind a build tag: without
	// it no C compiler is needed and the programs are static.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0", "PWD="+dir)
	return cmd, nil
}
