package record

import (
	"crypto/sha256"
	"encoding/binary"
)

// leafDomain separates part leaves from every other thing that is hashed, and names the version of
// the encoding.
const leafDomain = "yitong/part/v1"

// Encode is the canonical encoding that Leaf hashes. All integers are big-endian; signed ones are
// two's complement; every text is preceded by its length in bytes.
//
//	field           bytes  value
//	domain length       2  14
//	domain             14  "yitong/part/v1"
//	salt               16
//	index               8  unsigned, from 0
//	class length        2
//	class               n  the class's code, ASCII
//	media type length   2
//	media type          n  as the part's MediaType
//	label count         2  number of labels
//	  label length      2  for each label, sorted by code
//	  label             n  the label's code, ASCII
//	period start        8  signed seconds since 1970, 0 none
//	period end          8  signed, exclusive, 0 none
//	sealed size         8  unsigned
//	sealed digest      32  SHA-256 of the sealed bytes
//	key commitment     32
//
// Codes rather than numbers are encoded, so that a new class or label changes no leaf.
func (p Part) Encode() []byte {
	b := make([]byte, 0, 192)
	b = appendText(b, leafDomain)
	b = append(b, p.Salt[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(p.Index))
	b = appendText(b, p.Class.String())
	b = appendText(b, p.MediaType)
	codes := p.Labels.Codes()
	b = binary.BigEndian.AppendUint16(b, uint16(len(codes)))
	for _, code := range codes {
		b = appendText(b, code)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(p.Period.Start))
	b = binary.BigEndian.AppendUint64(b, uint64(p.Period.End))
	b = binary.BigEndian.AppendUint64(b, uint64(p.SealedSize))
	b = append(b, p.SealedDigest[:]...)
	return append(b, p.KeyCommitment[:]...)
}

// Leaf is the part's leaf in the record's Merkle tree: the RFC 6962 leaf hash of Encode,
// SHA-256(0x00 ‖ Encode).
func (p Part) Leaf() Hash {
	h := sha256.New()
	h.Write([]byte{leafPrefix})
	h.Write(p.Encode())
	return Hash(h.Sum(nil))
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
