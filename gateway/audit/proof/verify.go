package proof

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/gateway/audit/replay"
)

// Result is what a proof shows.
type Result struct {
	Channel string `json:"channel"`
	Genesis string `json:"genesis"` // digest that it stands on, hex

	Access  access.Access   `json:"access"`  // the request with its decision
	Release *access.Release `json:"release"` // nil if there is none in the proof
	Receipt *access.Receipt `json:"receipt"`
	// Consents are the versions that the decision rests on, as they were granted, amended
	// or withdrawn.
	Consents []contract.ConsentVersion `json:"consents"`

	// Transactions are all that were verified, in the chain's order.
	Transactions []Shown `json:"transactions"`
	Blocks       []Block `json:"blocks"`
}

// Shown is a verified transaction.
type Shown struct {
	replay.Transaction
	// Confirmed says that the endorsers of a later transaction of the proof signed that
	// they read what this one wrote: the members' peers had found it valid. Without, that
	// is the word of the peer whose blocks these are.
	Confirmed bool `json:"confirmed"`
}

// Block is a verified block.
type Block struct {
	Number  uint64   `json:"number"`
	Hash    string   `json:"hash"`    // hex
	Signers []string `json:"signers"` // MSP ids of the ordering nodes; none for block 0, which is trusted
}

// Verify checks a proof against the digest of the consortium's first block. The error says
// what is wrong; then nothing is shown. A file that isn't a proof is ErrFormat.
func Verify(r io.Reader, genesis [32]byte) (*Result, error) {
	index, blocks, err := read(r)
	if err != nil {
		return nil, err
	}
	e, err := replay.NewExcerpt(genesis, index.Chaincode)
	if err != nil {
		return nil, err
	}
	out := &Result{Genesis: hex.EncodeToString(genesis[:])}
	wanted := map[uint64][]int{}
	for _, p := range index.Places {
		wanted[p.Block] = append(wanted[p.Block], p.Index)
	}
	done := 0
	for _, raw := range blocks {
		number, err := replay.NumberOf(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrFormat, err)
		}
		head, found, err := e.Block(raw, wanted[number])
		if err != nil {
			return nil, err
		}
		done += len(found)
		out.Blocks = append(out.Blocks, Block{Number: head.Number, Hash: hex.EncodeToString(head.Hash[:]), Signers: head.Signers})
		for _, t := range found {
			out.Transactions = append(out.Transactions, Shown{Transaction: t})
		}
	}
	if done != len(index.Places) {
		return nil, fmt.Errorf("%w: %d of %d transactions are in its blocks", ErrFormat, done, len(index.Places))
	}
	if out.Channel = e.Channel(); out.Channel != index.Channel {
		return nil, fmt.Errorf("%w: it says that it is of channel %q", ErrFormat, index.Channel)
	}
	out.confirm()
	return out, out.interpret(index)
}

// confirm marks the transactions that later ones have read from.
func (r *Result) confirm() {
	read := map[Place]bool{}
	for _, t := range r.Transactions {
		for _, k := range t.Reads {
			if k.Exists {
				read[Place{k.Block, int(k.Tx)}] = true
			}
		}
	}
	for i, t := range r.Transactions {
		r.Transactions[i].Confirmed = read[Place{t.Block, t.Index}]
	}
}

// interpret reads the access and what belongs to it out of what was written.
func (r *Result) interpret(index Index) error {
	written := map[string][]byte{}
	for _, t := range r.Transactions {
		if t.Chaincode != index.Chaincode {
			continue
		}
		for _, w := range t.Writes {
			if w.Namespace == index.Chaincode {
				written[w.Key] = w.Value
			}
		}
	}
	step := func(kind string, into any) (bool, error) {
		raw, ok := written[composite(kind, index.Custodian, index.Requester, index.Access)]
		if !ok {
			return false, nil
		}
		return true, json.Unmarshal(raw, into)
	}
	if ok, err := step("access", &r.Access); err != nil || !ok {
		return errors.Join(fmt.Errorf("%w: it doesn't hold the access that it is of", ErrFormat), err)
	}
	var release access.Release
	if ok, err := step("release", &release); err != nil {
		return err
	} else if ok {
		r.Release = &release
	}
	var receipt access.Receipt
	if ok, err := step("receipt", &receipt); err != nil {
		return err
	} else if ok {
		r.Receipt = &receipt
	}
	for _, b := range r.Access.Decision.Basis {
		var c contract.ConsentVersion
		raw, ok := written[composite("consent", index.Custodian, index.Requester, r.Access.Handle, b.ID, strconv.Itoa(b.Version))]
		if !ok {
			return fmt.Errorf("%w: version %d of consent %s, on which the decision rests, is missing", ErrFormat, b.Version, b.ID)
		}
		if err := json.Unmarshal(raw, &c); err != nil {
			return err
		}
		r.Consents = append(r.Consents, c)
	}
	return nil
}
