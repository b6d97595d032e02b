package seal

import "encoding/binary"

// encoding is the one canonical encoding of this package: a label that names
// what is encoded, then the fields in their order, each text or byte string
// preceded by its length (4 bytes, big-endian), each number as 8 bytes
// big-endian. Two different lists of fields never encode to the same bytes.
type encoding []byte

func canonical(label string) encoding { return encoding(nil).text(label) }

func (e encoding) text(s string) encoding {
	e = binary.BigEndian.AppendUint32(e, uint32(len(s)))
	return append(e, s...)
}

func (e encoding) bytes(b []byte) encoding {
	e = binary.BigEndian.AppendUint32(e, uint32(len(b)))
	return append(e, b...)
}

func (e encoding) number(n int64) encoding {
	return binary.BigEndian.AppendUint64(e, uint64(n))
}
