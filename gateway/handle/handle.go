// Package handle derives a patient's handle: the pseudonym under which the ledger has the
// patient in one relationship of a custodian and a requester.
//
//	party                                            each evaluator
//	Blind(key, identifiers) ── blinded elements ──▶
//	                                                 PrivateKey.Evaluate(relation)
//	Blinding.Finalise       ◀── evaluation, proof ──
//	Combine(relation, every evaluator's output) = <epoch>-<64 hex digits>
//
// Each output is that of the partially oblivious PRF of RFC 9497 (mode POPRF, suite
// ristretto255-SHA512) over the normalised identifier, under the evaluator's key, with
// the relation as its public input. The handle is HKDF-SHA-256 over the outputs of all
// evaluators of the epoch.
//
// # Threats it answers
//
// A member with the whole ledger and a list of everybody's identifiers: without the
// evaluators' keys it can't compute a handle, and an evaluator evaluates for the two
// parties of a relationship alone. A curious evaluator: it sees blinded elements, which
// are random to it, and never an identifier, an output or a handle. A stolen evaluator's
// key: it opens nothing while one other evaluator's isn't stolen too. An evaluator that
// uses another key for some callers, to know them again: its proof (DLEQ) is checked
// against the key on the ledger, and nothing is derived from what fails it. Somebody who
// knows a patient in two relationships: the handles of the two have nothing in common.
//
// Pure: no clock, no input or output; randomness is the system's.
package handle

import (
	"cmp"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"

	"yitong/chaincode/access"
)

var suite = oprf.SuiteRistretto255

// Sizes in bytes, and the most elements in one evaluation.
const (
	PublicKeySize  = 32
	PrivateKeySize = 32
	ElementSize    = 32
	ProofSize      = 64
	MaxBatch       = 64
)

// Relation is who a handle is between and when: the public input of every evaluation.
type Relation struct {
	Channel   string // of the ledger
	Custodian string // MSP id
	Requester string // MSP id
	Epoch     int
}

// bytes is the one encoding of a relation: a label and the fields, each after its length
// in two bytes, big-endian, and the epoch in four.
func (r Relation) bytes() ([]byte, error) {
	var b []byte
	for _, field := range []string{"yitong handle v2", r.Channel, r.Custodian, r.Requester} {
		if field == "" || len(field) > 255 {
			return nil, errors.New("a relation's channel and members have 1 to 255 bytes each")
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(field))), field...)
	}
	if r.Epoch < 1 || r.Epoch > access.MaxEpoch {
		return nil, fmt.Errorf("an epoch is a number from 1 to %d", access.MaxEpoch)
	}
	return binary.BigEndian.AppendUint32(b, uint32(r.Epoch)), nil
}

// Errors that a caller tells apart.
var (
	// ErrProof says that what an evaluator answered was not made with its key on the ledger.
	ErrProof = errors.New("the evaluation was not made with the evaluator's key on the ledger")
	// ErrElement says that an element is none of the group, or the identity.
	ErrElement = errors.New("that is not an element of ristretto255")
)

// Output is one evaluator's contribution to one handle: 64 secret bytes. Who has those of
// all evaluators has the handle.
type Output []byte

// Blinding is identifiers on their way to one evaluator and back. Each evaluator gets a
// Blinding of its own: two that compared theirs would else see the same elements.
type Blinding struct {
	client   oprf.PartialObliviousClient
	data     *oprf.FinalizeData
	elements [][]byte
}

// Blind blinds normalised identifiers, 1 to MaxBatch of them, for the evaluator that the
// ledger has this key of.
func Blind(k PublicKey, identifiers [][]byte) (*Blinding, error) {
	return blind(k, identifiers, nil)
}

// blind takes the blinds from the vectors' tests, and draws them otherwise.
func blind(k PublicKey, identifiers [][]byte, blinds []oprf.Blind) (*Blinding, error) {
	if len(identifiers) < 1 || len(identifiers) > MaxBatch {
		return nil, fmt.Errorf("1 to %d identifiers are blinded at once, not %d", MaxBatch, len(identifiers))
	}
	client := oprf.NewPartialObliviousClient(suite, k.key)
	if blinds == nil {
		for range identifiers {
			blinds = append(blinds, suite.Group().RandomNonZeroScalar(rand.Reader))
		}
	}
	data, request, err := client.DeterministicBlind(identifiers, blinds)
	if err != nil {
		return nil, fmt.Errorf("blinding: %w", err)
	}
	b := &Blinding{client: client, data: data}
	b.elements, err = encode(request.Elements)
	return b, err
}

// Elements is what goes to the evaluator, 32 bytes each: uniformly random, whatever the
// identifiers.
func (b *Blinding) Elements() [][]byte { return b.elements }

// Evaluation is an evaluator's answer.
type Evaluation struct {
	Elements [][]byte // 32 bytes each, one for each blinded element
	Proof    []byte   // 64 bytes, for all of them together
}

// Evaluate evaluates blinded elements, 1 to MaxBatch of them, for a relation. It is for
// the caller to know that it may. ErrElement where one isn't an element.
func (k PrivateKey) Evaluate(r Relation, blinded [][]byte) (Evaluation, error) {
	info, err := r.bytes()
	if err != nil {
		return Evaluation{}, err
	}
	return k.evaluate(info, blinded)
}

func (k PrivateKey) evaluate(info []byte, blinded [][]byte) (Evaluation, error) {
	if len(blinded) < 1 || len(blinded) > MaxBatch {
		return Evaluation{}, fmt.Errorf("1 to %d elements are evaluated at once, not %d", MaxBatch, len(blinded))
	}
	elements, err := decode(blinded)
	if err != nil {
		return Evaluation{}, err
	}
	done, err := oprf.NewPartialObliviousServer(suite, k.key).Evaluate(&oprf.EvaluationRequest{Elements: elements}, info)
	if err != nil {
		return Evaluation{}, fmt.Errorf("evaluating: %w", err)
	}
	var e Evaluation
	if e.Elements, err = encode(done.Elements); err != nil {
		return Evaluation{}, err
	}
	e.Proof, err = done.Proof.MarshalBinary()
	return e, err
}

// Finalise checks an evaluator's answer against its key on the ledger and takes the
// blinding off: one output for each identifier. ErrProof, ErrElement.
func (b *Blinding) Finalise(r Relation, e Evaluation) ([]Output, error) {
	info, err := r.bytes()
	if err != nil {
		return nil, err
	}
	return b.finalise(info, e)
}

func (b *Blinding) finalise(info []byte, e Evaluation) ([]Output, error) {
	if len(e.Elements) != len(b.elements) {
		return nil, fmt.Errorf("%d elements were evaluated of %d: %w", len(e.Elements), len(b.elements), ErrProof)
	}
	elements, err := decode(e.Elements)
	if err != nil {
		return nil, err
	}
	proof := new(dleq.Proof)
	if len(e.Proof) != ProofSize || proof.UnmarshalBinary(suite.Group(), e.Proof) != nil {
		return nil, ErrProof
	}
	raw, err := b.client.Finalize(b.data, &oprf.Evaluation{Elements: elements, Proof: proof}, info)
	if errors.Is(err, oprf.ErrInvalidProof) {
		return nil, ErrProof
	}
	if err != nil {
		return nil, fmt.Errorf("taking the blinding off: %w", err)
	}
	outputs := make([]Output, len(raw))
	for i, o := range raw {
		outputs[i] = o
	}
	return outputs, nil
}

// Share is the output of one evaluator.
type Share struct {
	Evaluator string // MSP id
	Output    Output
}

// Combine makes the handle of the outputs of every evaluator of the epoch, in whatever
// order they are given: HKDF-SHA-256 (RFC 5869) with the relation as info over
//
//	for each evaluator, by MSP id:  uint16(length) ‖ MSP id ‖ uint16(64) ‖ output
func Combine(r Relation, shares []Share) (string, error) {
	info, err := r.bytes()
	if err != nil {
		return "", err
	}
	if len(shares) == 0 {
		return "", errors.New("a handle takes the output of at least one evaluator")
	}
	sorted := slices.SortedFunc(slices.Values(shares), func(a, b Share) int { return cmp.Compare(a.Evaluator, b.Evaluator) })
	var secret []byte
	for i, s := range sorted {
		if len(s.Output) != sha512Size || s.Evaluator == "" || len(s.Evaluator) > 255 || i > 0 && sorted[i-1].Evaluator == s.Evaluator {
			return "", errors.New("a handle takes one output of 64 bytes of each evaluator")
		}
		for _, field := range [][]byte{[]byte(s.Evaluator), s.Output} {
			secret = append(binary.BigEndian.AppendUint16(secret, uint16(len(field))), field...)
		}
	}
	pseudonym, err := hkdf.Key(sha256.New, secret, nil, string(info), 32)
	if err != nil {
		return "", fmt.Errorf("combining: %w", err)
	}
	return access.Handle(r.Epoch, hex.EncodeToString(pseudonym)), nil
}

const sha512Size = 64

func encode(elements []group.Element) ([][]byte, error) {
	out := make([][]byte, len(elements))
	for i, e := range elements {
		var err error
		if out[i], err = e.MarshalBinaryCompress(); err != nil {
			return nil, fmt.Errorf("encoding an element: %w", err)
		}
	}
	return out, nil
}

func decode(raw [][]byte) ([]group.Element, error) {
	out := make([]group.Element, len(raw))
	for i, b := range raw {
		e := suite.Group().NewElement()
		if len(b) != ElementSize || e.UnmarshalBinary(b) != nil || e.IsIdentity() {
			return nil, ErrElement
		}
		out[i] = e
	}
	return out, nil
}
