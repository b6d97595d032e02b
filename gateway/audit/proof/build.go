package proof

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/channel"
)

// Source is where blocks are found.
type Source interface {
	// All yields the encoded blocks from block 0 to the newest.
	All(ctx context.Context) iter.Seq2[[]byte, error]
	// Block is one of them.
	Block(ctx context.Context, number uint64) ([]byte, error)
}

// ErrNoAccess says that no valid transaction of the chain is a request of that id.
var ErrNoAccess = errors.New("the chain has no such access")

// Build makes the proof of an access, by the id of its request. It verifies what it made.
// Errors: ErrNoAccess, those of the source, and of Verify.
func Build(ctx context.Context, from Source, genesis [32]byte, chaincode, access string) ([]byte, error) {
	b := &builder{from: from, chaincode: chaincode, access: access, blocks: map[uint64][]byte{}, places: map[Place]bool{}}
	if err := b.scan(ctx); err != nil {
		return nil, err
	}
	if len(b.work) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoAccess, access)
	}
	if err := b.close(ctx); err != nil {
		return nil, err
	}
	raw, err := b.file()
	if err != nil {
		return nil, err
	}
	if _, err := Verify(bytes.NewReader(raw), genesis); err != nil {
		return nil, fmt.Errorf("the chain doesn't prove the access: %w", err)
	}
	return raw, nil
}

type builder struct {
	from              Source
	chaincode, access string
	custodian         string
	requester         string
	blocks            map[uint64][]byte
	configs           []uint64
	places            map[Place]bool
	work              []Place
}

// scan looks for the request and what came of it, and for the configurations.
func (b *builder) scan(ctx context.Context) error {
	for raw, err := range b.from.All(ctx) {
		if err != nil {
			return fmt.Errorf("reading the chain: %w", err)
		}
		number, config, valid, err := replay.Look(raw)
		if err != nil {
			return fmt.Errorf("reading the chain: %w", err)
		}
		if config {
			b.configs = append(b.configs, number)
			b.blocks[number] = raw
		}
		for _, t := range valid {
			if b.concerns(t) {
				b.need(Place{t.Block, t.Index})
				b.blocks[number] = raw
			}
		}
	}
	return nil
}

// concerns says whether a transaction writes the access, its release or its receipt.
func (b *builder) concerns(t replay.Transaction) bool {
	for _, w := range t.Writes {
		kind, attributes := keyOf(w.Key)
		if t.Chaincode != b.chaincode || w.Namespace != b.chaincode || len(attributes) != 3 || attributes[2] != b.access {
			continue
		}
		if kind == "access" {
			b.custodian, b.requester = attributes[0], attributes[1]
		}
		if (kind == "access" || kind == "release" || kind == "receipt") && attributes[0] == b.custodian && attributes[1] == b.requester {
			return true
		}
	}
	return false
}

func (b *builder) need(p Place) {
	if !b.places[p] {
		b.places[p] = true
		b.work = append(b.work, p)
	}
}

// close adds whatever was read, until nothing is missing.
func (b *builder) close(ctx context.Context) error {
	for len(b.work) > 0 {
		p := b.work[0]
		b.work = b.work[1:]
		raw, ok := b.blocks[p.Block]
		if !ok {
			var err error
			if raw, err = b.from.Block(ctx, p.Block); err != nil {
				return fmt.Errorf("reading block %d: %w", p.Block, err)
			}
			b.blocks[p.Block] = raw
		}
		_, _, valid, err := replay.Look(raw)
		if err != nil {
			return fmt.Errorf("reading block %d: %w", p.Block, err)
		}
		i := slices.IndexFunc(valid, func(t replay.Transaction) bool { return t.Index == p.Index })
		if i < 0 {
			return fmt.Errorf("transaction %d of block %d was read from and isn't valid", p.Index, p.Block)
		}
		for _, r := range valid[i].Reads {
			if r.Exists {
				b.need(Place{r.Block, int(r.Tx)})
			}
		}
	}
	return nil
}

func (b *builder) file() ([]byte, error) {
	index := Index{Chaincode: b.chaincode, Access: b.access, Custodian: b.custodian, Requester: b.requester}
	index.Places = slices.SortedFunc(maps.Keys(b.places), func(a, z Place) int {
		return cmp.Or(cmp.Compare(a.Block, z.Block), cmp.Compare(a.Index, z.Index))
	})
	last := index.Places[len(index.Places)-1].Block
	var blocks [][]byte
	for _, number := range slices.Sorted(maps.Keys(b.blocks)) {
		if number <= last {
			blocks = append(blocks, b.blocks[number])
		}
	}
	var err error
	if index.Channel, err = channelOf(blocks[0]); err != nil {
		return nil, err
	}
	return write(index, blocks)
}

// channelOf is the channel that a first block makes.
func channelOf(raw []byte) (string, error) {
	var b common.Block
	if err := proto.Unmarshal(raw, &b); err != nil {
		return "", err
	}
	config, err := channel.Genesis(b.Header, b.GetData().GetData())
	if err != nil {
		return "", err
	}
	return config.Channel, nil
}

// keyOf takes a composite key apart (shim.CreateCompositeKey).
func keyOf(key string) (kind string, attributes []string) {
	parts := bytes.Split(bytes.Trim([]byte(key), "\x00"), []byte{0})
	for i, p := range parts {
		if i == 0 {
			kind = string(p)
		} else {
			attributes = append(attributes, string(p))
		}
	}
	return kind, attributes
}

// composite puts one together.
func composite(kind string, attributes ...string) string {
	key, err := shim.CreateCompositeKey(kind, attributes)
	if err != nil {
		return "" // no key of a ledger is that
	}
	return key
}
