package replay

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay/channel"
)

// ErrCheckpoint says that a checkpoint can't be gone on from. Without it the replay
// begins at the beginning.
var ErrCheckpoint = errors.New("the checkpoint can't be used")

// Store keeps a replay's whole knowledge after some block (package checkpoint has it in a
// file). It is the reader's own and is believed: who can write it needs no chain to deceive
// him. It must tell damage.
type Store interface {
	// Load hands over every key with its value, and returns the head that was saved with
	// them; nil if nothing was. Error: ErrCheckpoint.
	Load(each func(key, value []byte) error) (head []byte, err error)
	// Save puts a head in place of the last, with what has changed since, all or nothing. A
	// nil value takes its key away.
	Save(head []byte, changed iter.Seq2[[]byte, []byte]) error
}

// head is what is small and saved whole; keys of the state and ids are saved as they come.
type head struct {
	Genesis    [32]byte
	Chaincode  string
	Channel    string
	Next       uint64
	Hash       [32]byte
	LastConfig uint64
	Config     []byte // common.Config
	Commit     []byte
	Newest     time.Time
	Report     *Report
}

// The first byte of a key in a Store says what is under it.
const (
	keptID    = 'i' // id of a transaction, with no value
	keptState = 's' // length of the space, the space, the key; with an entry
)

// load goes on from the checkpoint, if there is one.
func (c *committer) load() error {
	if c.options.Checkpoint == nil {
		return nil
	}
	raw, err := c.options.Checkpoint.Load(func(key, value []byte) error {
		if len(key) == 0 {
			return fmt.Errorf("%w: a key without meaning", ErrCheckpoint)
		}
		if key[0] == keptID {
			c.ids[string(key[1:])] = struct{}{}
			return nil
		}
		size, n := binary.Uvarint(key[1:])
		if key[0] != keptState || n <= 0 || size > uint64(len(key)-1-n) {
			return fmt.Errorf("%w: a key without meaning", ErrCheckpoint)
		}
		at := place{string(key[1+n : 1+n+int(size)]), string(key[1+n+int(size):])}
		e, err := decodeEntry(value)
		if err != nil {
			return err
		}
		if c.state[at.space] == nil {
			c.state[at.space] = map[string]*entry{}
		}
		c.state[at.space][at.key] = e
		return nil
	})
	if err != nil || raw == nil {
		return err
	}
	var k head
	if err := gob.NewDecoder(bytes.NewReader(raw)).Decode(&k); err != nil {
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
	c.commit, c.newest, c.report = k.Commit, k.Newest, k.Report
	c.report.From, c.report.Compared, c.before = k.Next, 0, k.Report.Transactions
	for _, m := range []*map[string]int{&c.report.Codes, &c.report.Recomputed, &c.report.Unruled} {
		if *m == nil { // gob leaves out what is empty
			*m = map[string]int{}
		}
	}
	return nil
}

// save writes where we are, and what has changed since that was last done.
func (c *committer) save() error {
	c.saved = time.Now()
	if c.options.Checkpoint == nil || c.at.config == nil {
		return nil
	}
	config, err := proto.Marshal(c.at.config.Proto())
	if err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	var raw bytes.Buffer
	if err := gob.NewEncoder(&raw).Encode(head{
		Genesis: c.options.Genesis, Chaincode: c.options.Chaincode, Channel: c.at.config.Channel,
		Next: c.at.next, Hash: c.at.hash, LastConfig: c.at.lastConfig, Config: config,
		Commit: c.commit, Newest: c.newest, Report: c.report,
	}); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	if err := c.options.Checkpoint.Save(raw.Bytes(), c.unsaved()); err != nil {
		return fmt.Errorf("writing the checkpoint: %w", err)
	}
	c.freshKeys, c.freshIDs = map[place]struct{}{}, nil
	return nil
}

// unsaved are the changes since the last checkpoint.
func (c *committer) unsaved() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for _, id := range c.freshIDs {
			if !yield(append([]byte{keptID}, id...), []byte{}) {
				return
			}
		}
		for p := range c.freshKeys {
			key := binary.AppendUvarint([]byte{keptState}, uint64(len(p.space)))
			key = append(append(key, p.space...), p.key...)
			var value []byte
			if e := c.state.get(p); e != nil {
				value = e.encode()
			}
			if !yield(key, value) {
				return
			}
		}
	}
}

// encode writes an entry: the version's block and transaction (0 and one more than it, none
// as 0), then the policy with its length plus one (0 if it is nil), then the value.
func (e *entry) encode() []byte {
	out := binary.AppendUvarint(nil, e.Version.Block)
	if e.Version.Set {
		out = binary.AppendUvarint(out, e.Version.Tx+1)
	} else {
		out = append(out, 0)
	}
	if e.Policy == nil {
		out = append(out, 0)
	} else {
		out = append(binary.AppendUvarint(out, uint64(len(e.Policy))+1), e.Policy...)
	}
	return append(out, e.Value...)
}

func decodeEntry(raw []byte) (*entry, error) {
	broken := fmt.Errorf("%w: an entry without meaning", ErrCheckpoint)
	var numbers [3]uint64
	for i := range numbers {
		v, n := binary.Uvarint(raw)
		if n <= 0 {
			return nil, broken
		}
		numbers[i], raw = v, raw[n:]
	}
	e := &entry{Version: version{Block: numbers[0]}}
	if numbers[1] > 0 {
		e.Version.Tx, e.Version.Set = numbers[1]-1, true
	}
	if numbers[2] > 0 {
		size := numbers[2] - 1
		if size > uint64(len(raw)) {
			return nil, broken
		}
		e.Policy, raw = append([]byte{}, raw[:size]...), raw[size:]
	}
	e.Value = append([]byte{}, raw...)
	return e, nil
}
