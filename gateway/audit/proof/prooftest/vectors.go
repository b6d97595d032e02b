// Package prooftest reads the vectors of docs/formats/proof.md: a proof, and what must be
// found of it and of spoilt copies. The command's check and the browser's are held against
// the same ones.
package prooftest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"yitong/gateway/audit/replay"
)

// Vector is one file with what must be found of it.
type Vector struct {
	Name    string       `json:"name"`
	Genesis string       `json:"genesis"` // digest to check against, hex
	Edits   []Edit       `json:"edits,omitempty"`
	Reseal  bool         `json:"reseal,omitempty"` // the file's digest is made good after the edits
	Holds   bool         `json:"holds"`
	Check   replay.Check `json:"check,omitempty"` // that fails
}

// Edit replaces bytes of receipt.proof. Offsets are of the file before any edit; edits of
// one vector come from the end to the beginning.
type Edit struct {
	At     int    `json:"at"`
	Remove int    `json:"remove"`
	Insert []byte `json:"insert,omitempty"` // base64
}

// Read returns the vectors of a directory and the proof that they are made from.
func Read(dir string) (base []byte, all []Vector, err error) {
	if base, err = os.ReadFile(filepath.Join(dir, "receipt.proof")); err != nil {
		return nil, nil, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, "vectors.json"))
	if err != nil {
		return nil, nil, err
	}
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, nil, fmt.Errorf("vectors.json: %w", err)
	}
	return base, all, nil
}

// File is the vector's file, made from the proof.
func (v Vector) File(base []byte) []byte {
	out := bytes.Clone(base)
	for _, e := range v.Edits {
		out = bytes.Join([][]byte{out[:e.At], e.Insert, out[e.At+e.Remove:]}, nil)
	}
	if v.Reseal {
		out = Reseal(out)
	}
	return out
}

// Reseal gives a changed file a good digest again, as any forger can.
func Reseal(raw []byte) []byte {
	sum := sha256.Sum256(raw[:len(raw)-sha256.Size])
	return append(bytes.Clone(raw[:len(raw)-sha256.Size]), sum[:]...)
}
