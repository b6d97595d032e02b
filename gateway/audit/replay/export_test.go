package replay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/replaytest"
)

func export(t testing.TB, raw [][]byte) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, 0)
	must(t, err)
	for _, one := range raw {
		must(t, w.WriteRaw(one))
	}
	must(t, w.Close())
	return file.Bytes()
}

func all(file []byte) (raw [][]byte, err error) {
	for one, err := range replay.Read(bytes.NewReader(file)) {
		if err != nil {
			return raw, err
		}
		raw = append(raw, one)
	}
	return raw, nil
}

// docs/formats/blocks.md
func TestTheSmallestExportIsTheVector(t *testing.T) {
	want, err := hex.DecodeString("7969746f6e6720626c6f636b73207631" + "0000000000000000" + "00000000" + "0000000000000000" +
		"965dffc63a37eaaca4e0aa1f8bd67dd365e7ae0beb3f386cc524ecae2cd233c0")
	must(t, err)
	if got := export(t, nil); !bytes.Equal(got, want) {
		t.Errorf("it is %x", got)
	}
}

func TestAnExportHoldsTheBlocksAsTheyAre(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 4})
	c.History(60)
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, 0)
	must(t, err)
	for _, b := range c.Blocks {
		must(t, w.Write(b))
	}
	if err := w.Write(c.Blocks[1]); err == nil {
		t.Error("a block may follow that doesn't come next")
	}
	must(t, w.Close())
	raw, err := all(file.Bytes())
	must(t, err)
	if r := run(t, c, raw); !r.Sound() || r.Height != uint64(len(c.Blocks)) {
		t.Errorf("height %d of %d, %v", r.Height, len(c.Blocks), r.Divergences)
	}
}

func TestADamagedExportIsToldAndWhatIsInItIsLookedAt(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 4})
	c.History(20)
	file := export(t, c.Encoded())
	change := func(at int) []byte {
		out := bytes.Clone(file)
		out[at] ^= 1
		return out
	}
	for name, spoilt := range map[string][]byte{
		"it is empty": nil, "it is cut": file[:len(file)/2], "its end is cut": file[:len(file)-1],
		"something follows": append(bytes.Clone(file), 0), "another magic": change(3), "another digest": change(len(file) - 1),
		"another first number": change(20), "a bit of a block": change(len(file) / 3),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := all(spoilt); !errors.Is(err, replay.ErrFraming) {
				t.Fatalf("reading it gives %v", err)
			}
			r, err := replay.Run(t.Context(), replay.Read(bytes.NewReader(spoilt)), replay.Options{Genesis: c.Genesis(), Chaincode: replaytest.ChaincodeName})
			must(t, err)
			named := false
			for _, d := range r.Divergences {
				named = named || d.Check == replay.Framing
			}
			if !named {
				t.Errorf("framing isn't among %v", r.Divergences)
			}
		})
	}
}

// What an export says of its length is there before it is read, and reading begins where it did.
func TestAnExportSaysHowFarItReaches(t *testing.T) {
	c := replaytest.New(t, replaytest.Options{Seed: 4})
	var file bytes.Buffer
	w, err := replay.NewWriter(&file, 1)
	must(t, err)
	must(t, w.Write(c.Blocks[1]))
	must(t, w.Close())
	for name, c := range map[string]struct {
		file []byte
		want uint64
	}{"one block from block 1 on": {file.Bytes(), 2}, "no end": {file.Bytes()[:30], 0}, "nothing": {nil, 0}} {
		in := bytes.NewReader(c.file)
		if got := replay.Said(in); got != c.want {
			t.Errorf("%s: it says %d", name, got)
		}
		if in.Len() != len(c.file) {
			t.Errorf("%s: %d bytes are passed over", name, len(c.file)-in.Len())
		}
	}
}

// FuzzExport: no file makes the reader fall, and what it takes for whole is whole.
func FuzzExport(f *testing.F) {
	c := replaytest.New(f, replaytest.Options{Seed: 4})
	file := export(f, c.Encoded())
	f.Add(file)
	f.Add(file[:40])
	f.Add([]byte("yitong blocks v1"))
	f.Fuzz(func(t *testing.T, file []byte) {
		raw, err := all(file)
		if err != nil {
			return
		}
		if again := export(t, raw); !bytes.Equal(again[24:], file[24:]) && again[0] == file[0] {
			sum := sha256.Sum256(file[:len(file)-32])
			if !bytes.Equal(sum[:], file[len(file)-32:]) {
				t.Error("a file that isn't whole was taken for one")
			}
		}
	})
}

// FuzzBlock: no bytes make the decoding of blocks and transactions fall.
func FuzzBlock(f *testing.F) {
	c := replaytest.New(f, replaytest.Options{Seed: 4, PerBlock: 2})
	for _, raw := range c.Encoded() {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		number, _, valid, err := replay.Look(raw)
		if err != nil {
			return
		}
		for _, one := range valid {
			if one.Block != number {
				t.Errorf("a transaction of block %d is in block %d", one.Block, number)
			}
		}
	})
}

// FuzzReplay: no block makes the replay fall, and none but the genuine ones pass.
func FuzzReplay(f *testing.F) {
	c := replaytest.New(f, replaytest.Options{Seed: 4, PerBlock: 2})
	c.History(4)
	raw := c.Encoded()
	for i := range raw {
		f.Add(i, raw[i])
	}
	f.Fuzz(func(t *testing.T, at int, block []byte) {
		if at < 0 || at >= len(raw) {
			return
		}
		spoilt := append(append([][]byte{}, raw[:at]...), block)
		spoilt = append(spoilt, raw[at+1:]...)
		r, err := replay.Run(t.Context(), replaytest.Each(spoilt), replay.Options{Genesis: c.Genesis(), Chaincode: replaytest.ChaincodeName, Workers: 1})
		must(t, err)
		if r.Sound() && !bytes.Equal(block, raw[at]) {
			t.Errorf("another block %d passes", at)
		}
	})
}
