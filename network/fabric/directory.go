package fabric

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"yitong/network/topology"
)

// InUse is a directory that another process has open.
type InUse struct {
	Dir string
	PID string // as the holder wrote it; may be empty
}

func (e *InUse) Error() string {
	who := "another process"
	if e.PID != "" {
		who = "process " + e.PID
	}
	return fmt.Sprintf("directory %s is in use by %s; stop it, or use another directory", e.Dir, who)
}

const lockFile = "lock"

// claim makes the directory, or makes sure that it is one of ours: we would
// write, and RemoveAll would delete, in whatever the user named.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the network's directory: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the network's directory: %w", err)
	}
	if len(entries) > 0 && !there(filepath.Join(dir, lockFile)) {
		return fmt.Errorf("directory %s isn't empty and holds no network; name an empty or new one", dir)
	}
	return nil
}

func there(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

// lockDir takes the directory for this process until Unlock or its end, however
// it ends. The file holds the pid, for the message others get.
func lockDir(dir string) (*flock.Flock, error) {
	name := filepath.Join(dir, lockFile)
	l := flock.New(name, flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	if !ok {
		pid, _ := os.ReadFile(name)
		return nil, &InUse{Dir: dir, PID: strings.TrimSpace(string(pid))}
	}
	if err := os.WriteFile(name, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600); err != nil {
		_ = l.Unlock()
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	return l, nil
}

// settle reads the network in dir, or creates one.
//
// Creation happens in DIR/.new; its members/ and genesis.block are moved in
// place and topology.yaml is written last, so a directory without it holds at
// most leftovers of a creation, and no process ever ran in it.
func settle(dir string, want *topology.Topology) (t *topology.Topology, resumed bool, err error) {
	file := filepath.Join(dir, "topology.yaml")
	if there(file) {
		t, err = resume(file, want)
		return t, true, err
	}
	ran, err := filepath.Glob(filepath.Join(dir, "members", "*", "*", "data"))
	if err != nil || len(ran) > 0 {
		return nil, false, fmt.Errorf("directory %s holds ledgers but no topology.yaml; put the file back, or remove the directory", dir)
	}
	if want == nil {
		want = topology.Default()
	}
	for _, left := range []string{".new", "members", "genesis.block", "chaincodes.json"} {
		if err := os.RemoveAll(filepath.Join(dir, left)); err != nil {
			return nil, false, fmt.Errorf("clearing an unfinished creation: %w", err)
		}
	}
	aside := filepath.Join(dir, ".new")
	if err := create(aside, want); err != nil {
		return nil, false, err
	}
	for _, name := range []string{"members", "genesis.block"} {
		if err := os.Rename(filepath.Join(aside, name), filepath.Join(dir, name)); err != nil {
			return nil, false, fmt.Errorf("creating network: %w", err)
		}
	}
	if err := os.RemoveAll(aside); err != nil {
		return nil, false, fmt.Errorf("creating network: %w", err)
	}
	b, err := want.YAML()
	if err != nil {
		return nil, false, err
	}
	if err := renameio.WriteFile(file, b, 0o644); err != nil {
		return nil, false, fmt.Errorf("creating network: %w", err)
	}
	copied := *want
	return &copied, false, nil
}

// Changed is a topology that differs from the one the network was made of.
type Changed struct {
	Dir         string
	Differences []string
}

func (e *Changed) Error() string {
	return fmt.Sprintf("the network in %s was made of another topology:\n  %s\nuse that one, or another directory", e.Dir, strings.Join(e.Differences, "\n  "))
}

func resume(file string, want *topology.Topology) (*topology.Topology, error) {
	have, err := topology.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if want == nil {
		return have, nil
	}
	// The log level is the only thing that isn't in the ledger's first block or
	// in the members' certificates.
	level := want.LogLevel
	have.LogLevel = level
	differences, err := topology.Differences(have, want)
	if err != nil {
		return nil, err
	}
	if len(differences) > 0 {
		return nil, &Changed{Dir: filepath.Dir(file), Differences: differences}
	}
	return have, nil
}

// linkBuilder copies the program into the directory, because the one that runs
// may be gone tomorrow (go run), and links the builder's three names to it.
func (n *Network) linkBuilder() error {
	copied := n.Executable()
	if err := copyExecutable(n.options.Executable, copied); err != nil {
		return fmt.Errorf("copying %s: %w", n.options.Executable, err)
	}
	bin := filepath.Join(n.dir, "builder", "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		return fmt.Errorf("making chaincode builder: %w", err)
	}
	for _, name := range []string{"detect", "build", "release"} {
		link := filepath.Join(bin, name)
		if err := renameio.Symlink(filepath.Join("..", "..", "bin", filepath.Base(copied)), link); err != nil {
			return fmt.Errorf("making chaincode builder: %w", err)
		}
	}
	return nil
}

// Executable is the copy of Options.Executable inside the directory.
func (n *Network) Executable() string {
	return filepath.Join(n.dir, "bin", filepath.Base(n.options.Executable))
}

func copyExecutable(from, to string) (err error) {
	a, err := os.Stat(from)
	if err != nil {
		return err
	}
	if b, err := os.Stat(to); err == nil && os.SameFile(a, b) {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	out, err := renameio.NewPendingFile(to, renameio.WithPermissions(fs.FileMode(0o755)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Cleanup()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.CloseAtomicallyReplace()
}
