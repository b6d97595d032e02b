package seal_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"testing"

	"yitong/gateway/seal"
)

// field is an element of GF(2^128) in GCM's bit order (NIST SP 800-38D, 6.3):
// the most significant bit of hi is the coefficient of x^0.
type field struct{ hi, lo uint64 }

func fieldOf(b []byte) field {
	return field{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (a field) add(b field) field { return field{a.hi ^ b.hi, a.lo ^ b.lo} }

func (a field) mul(b field) field {
	var z field
	for i := range 128 {
		word := a.hi
		if i >= 64 {
			word = a.lo
		}
		if word>>(63-i%64)&1 == 1 {
			z = z.add(b)
		}
		carry := b.lo & 1
		b.lo = b.lo>>1 | b.hi<<63
		b.hi >>= 1
		b.hi ^= carry * 0xe1 << 56
	}
	return z
}

// invert is a^(2^128-2).
func (a field) invert() field {
	r := field{1 << 63, 0}
	for range 127 {
		a = a.mul(a)
		r = r.mul(a)
	}
	return r
}

// TestOneFileForTwoKeysIsRefused is attack A23: a custodian crafts one sealed
// file that opens under two keys, to show two readers two contents. AES-GCM lets
// it: the tag is linear in the ciphertext, so one free block makes the tags
// under both keys equal. The anchored commitment has room for one key only.
func TestOneFileForTwoKeysIsRefused(t *testing.T) {
	k1, k2 := seal.NewKey(), seal.NewKey()
	head := make([]byte, header)
	head[0] = header
	nonce := append(append([]byte(nil), head[33:40]...), 0, 0, 0, 0, 1) // segment 0, the last

	// hash key, tag mask and key stream of each key
	type side struct {
		h, mask field
		aead    cipher.AEAD
	}
	var sides [2]side
	for i, k := range []seal.Key{k1, k2} {
		fileKey, err := hkdf.Key(sha256.New, k[:], head[1:33], string(tinkAD()), 32)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(fileKey)
		if err != nil {
			t.Fatal(err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		h, mask := make([]byte, 16), make([]byte, 16)
		block.Encrypt(h, h)
		block.Encrypt(mask, append(bytes.Clone(nonce), 0, 0, 0, 1))
		sides[i] = side{fieldOf(h), fieldOf(mask), aead}
	}

	// A bucket of blocks: the first free, the last one such that under the first key the length is
	// right, the others anything. tag = mask + GHASH, in which the first block stands times h^(n+1).
	const n = 16384 / 16
	content := bytesOf(n * 16)
	binary.BigEndian.PutUint64(content[n*16-8:], n*16-8)
	stream := sides[0].aead.Seal(nil, nonce, make([]byte, n*16), nil)
	blocks := make([]field, n)
	for i := 1; i < n; i++ {
		blocks[i] = fieldOf(content[i*16:]).add(fieldOf(stream[i*16:]))
	}
	tag := func(s side) field {
		var sum field
		for _, b := range append(blocks[:n:n], field{0, n * 128}) {
			sum = sum.add(b).mul(s.h)
		}
		return sum.add(s.mask)
	}
	power := func(s side) field {
		p := field{1 << 63, 0}
		for range n + 1 {
			p = p.mul(s.h)
		}
		return p
	}
	blocks[0] = tag(sides[0]).add(tag(sides[1])).mul(power(sides[0]).add(power(sides[1])).invert())

	file := bytes.Clone(head)
	for _, b := range append(blocks, tag(sides[0])) {
		file = binary.BigEndian.AppendUint64(file, b.hi)
		file = binary.BigEndian.AppendUint64(file, b.lo)
	}

	// The attack works on the cipher: without the commitment both keys open it.
	var texts [2][]byte
	for i, s := range sides {
		text, err := s.aead.Open(nil, nonce, file[header:], nil)
		if err != nil {
			t.Fatalf("key %d: the crafted file isn't what the attack needs: %v", i+1, err)
		}
		texts[i] = text
	}
	if bytes.Equal(texts[0], texts[1]) {
		t.Fatal("both keys give the same text")
	}

	anchored := sumOf(file, k1)
	var out bytes.Buffer
	if err := seal.Open(&out, bytes.NewReader(file), k1, place, anchored); err != nil || !bytes.Equal(out.Bytes(), texts[0][:n*16-8]) {
		t.Fatalf("the anchored key: %v", err)
	}
	out.Reset()
	if err := seal.Open(&out, bytes.NewReader(file), k2, place, anchored); !errors.Is(err, seal.ErrKey) || out.Len() != 0 {
		t.Errorf("the second key: %v, %d bytes", err, out.Len())
	}
	if _, err := seal.NewReader(bytes.NewReader(file), k2, place, anchored); !errors.Is(err, seal.ErrKey) {
		t.Errorf("the second key, by ranges: %v", err)
	}
}

// sumOf is what a dishonest anchor could say of a file.
func sumOf(file []byte, key seal.Key) seal.Sealed {
	return seal.Sealed{Size: int64(len(file)), Digest: sha256.Sum256(file), Commitment: key.Commitment()}
}
