package replay

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/google/renameio/v2"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay/channel"
)

// checkpointMagic begins a checkpoint; then come SHA-256 of the rest, and the rest.
const checkpointMagic = "yitong replay v1"

// ErrCheckpoint says that a checkpoint can't be gone on from. Without it the replay
// begins at the beginning.
var ErrCheckpoint = errors.New("the checkpoint can't be used")

// checkpoint is a replay's whole knowledge after some block. It is the reader's own file
// and is believed: who can write it needs no chain to deceive him.
type checkpoint struct {
	Genesis    [32]byte
	Chaincode  string
	Channel    string
	Next       uint64
	Hash       [32]byte
	LastConfig uint64
	Config     []byte // common.Config
	State      state
	IDs        []string
	Commit     []byte
	Newest     time.Time
	Report     *Report
}

// load goes on from the checkpoint, if there is one.
func (c *committer) load() error {
	if c.options.Checkpoint == "" {
		return nil
	}
	raw, err := os.ReadFile(c.options.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	head := len(checkpointMagic) + sha256.Size
	if len(raw) < head || string(raw[:len(checkpointMagic)]) != checkpointMagic {
		return fmt.Errorf("%w: it is no checkpoint", ErrCheckpoint)
	}
	if sum := sha256.Sum256(raw[head:]); !bytes.Equal(sum[:], raw[len(checkpointMagic):head]) {
		return fmt.Errorf("%w: it is damaged", ErrCheckpoint)
	}
	var k checkpoint
	if err := gob.NewDecoder(bytes.NewReader(raw[head:])).Decode(&k); err != nil {
		return fmt.Errorf("%w: %v", ErrCheckpoint, err)
	}
	if k.Genesis != c.options.Genesis || k.Chaincode != c.options.Chaincode {
		return fmt.Errorf("%w: it is of another chain", ErrCheckpoint)
	}
	var config common.Config
	if err := proto.Unmarshal(k.Config, &config); err != nil {
		return fmt.Errorf("%w: %v", ErrCheckpoint, err)
	}
	c.at = position{next: k.Next, hash: k.Hash, lastConfig: k.LastConfig}
	if c.at.config, err = channel.New(k.Channel, &config); err != nil {
		return fmt.Errorf("%w: %v", ErrCheckpoint, err)
	}
	c.state, c.commit, c.newest, c.report = k.State, k.Commit, k.Newest, k.Report
	for _, id := range k.IDs {
		c.ids[id] = struct{}{}
	}
	if c.state == nil { // gob leaves out what is empty
		c.state = state{}
	}
	for _, m := range []*map[string]int{&c.report.Codes, &c.report.Recomputed, &c.report.Unruled} {
		if *m == nil {
			*m = map[string]int{}
		}
	}
	return nil
}

// save writes where we are, all or nothing.
func (c *committer) save() error {
	c.saved = time.Now()
	if c.options.Checkpoint == "" || c.at.config == nil {
		return nil
	}
	config, err := proto.Marshal(c.at.config.Proto())
	if err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	k := checkpoint{
		Genesis: c.options.Genesis, Chaincode: c.options.Chaincode, Channel: c.at.config.Channel,
		Next: c.at.next, Hash: c.at.hash, LastConfig: c.at.lastConfig, Config: config,
		State: c.state, Commit: c.commit, Newest: c.newest, Report: c.report,
	}
	for id := range c.ids {
		k.IDs = append(k.IDs, id)
	}
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(k); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	sum := sha256.Sum256(body.Bytes())
	raw := bytes.Join([][]byte{[]byte(checkpointMagic), sum[:], body.Bytes()}, nil)
	if err := renameio.WriteFile(c.options.Checkpoint, raw, 0o600); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	return nil
}
