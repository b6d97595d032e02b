package leak

import (
	"encoding/binary"
	"errors"
)

var errTable = errors.New("not a LevelDB table that this reader knows")

// tableBlocks decompresses the data blocks of a LevelDB table
// (github.com/google/leveldb, doc/table_format.md). Fabric's state database is
// made of them once its log has grown.
func tableBlocks(table []byte) ([][]byte, error) {
	const footer = 48
	if len(table) < footer {
		return nil, errTable
	}
	handles := table[len(table)-footer:]
	if binary.LittleEndian.Uint64(handles[footer-8:]) != 0xdb4775248b80fb57 {
		return nil, errTable
	}
	_, handles, ok := readHandle(handles) // of the meta index
	index, _, ok2 := readHandle(handles)
	if !ok || !ok2 {
		return nil, errTable
	}
	entries, err := block(table, index)
	if err != nil {
		return nil, err
	}
	var blocks [][]byte
	err = eachValue(entries, func(value []byte) error {
		h, _, ok := readHandle(value)
		if !ok {
			return errTable
		}
		b, err := block(table, h)
		blocks = append(blocks, b)
		return err
	})
	return blocks, err
}

type handle struct{ offset, size uint64 }

func readHandle(b []byte) (handle, []byte, bool) {
	offset, n := binary.Uvarint(b)
	if n <= 0 {
		return handle{}, nil, false
	}
	size, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return handle{}, nil, false
	}
	return handle{offset, size}, b[n+m:], true
}

// block reads one block; a byte after it says whether it is compressed.
func block(table []byte, h handle) ([]byte, error) {
	size := uint64(len(table))
	if h.offset > size || h.size >= size-h.offset {
		return nil, errTable
	}
	raw, kind := table[h.offset:h.offset+h.size], table[h.offset+h.size]
	switch kind {
	case 0:
		return raw, nil
	case 1:
		return unsnap(raw)
	}
	return nil, errTable
}

// eachValue goes through the entries of a block: shared, unshared and value
// length, then the unshared part of the key, then the value. Restart points end it.
func eachValue(b []byte, do func([]byte) error) error {
	if len(b) < 4 {
		return errTable
	}
	restarts := uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	if restarts*4+4 > uint64(len(b)) {
		return errTable
	}
	b = b[:uint64(len(b))-restarts*4-4]
	for len(b) > 0 {
		var lengths [3]uint64
		for i := range lengths {
			v, n := binary.Uvarint(b)
			if n <= 0 {
				return errTable
			}
			lengths[i], b = v, b[n:]
		}
		key, value := lengths[1], lengths[2]
		if key > uint64(len(b)) || value > uint64(len(b))-key {
			return errTable
		}
		if err := do(b[key : key+value]); err != nil {
			return err
		}
		b = b[key+value:]
	}
	return nil
}

// unsnap decompresses a Snappy block (github.com/google/snappy, format_description.txt).
func unsnap(b []byte) ([]byte, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > 1<<30 {
		return nil, errTable
	}
	b = b[n:]
	out := make([]byte, 0, size)
	for len(b) > 0 {
		tag := b[0]
		var length, distance, used int
		switch tag & 3 {
		case 0: // a literal; its length less one is in the tag or in 1 to 4 bytes after it
			length, used = int(tag>>2)+1, 1
			if extra := length - 60; extra > 0 {
				if len(b) < 1+extra {
					return nil, errTable
				}
				length = 1
				for i := range extra {
					length += int(b[1+i]) << (8 * i)
				}
				used += extra
			}
			if length > len(b)-used {
				return nil, errTable
			}
			out = append(out, b[used:used+length]...)
			b = b[used+length:]
			continue
		case 1:
			if len(b) < 2 {
				return nil, errTable
			}
			length, distance, used = int(tag>>2&7)+4, int(tag>>5)<<8|int(b[1]), 2
		case 2:
			if len(b) < 3 {
				return nil, errTable
			}
			length, distance, used = int(tag>>2)+1, int(binary.LittleEndian.Uint16(b[1:])), 3
		case 3:
			if len(b) < 5 {
				return nil, errTable
			}
			length, distance, used = int(tag>>2)+1, int(binary.LittleEndian.Uint32(b[1:])), 5
		}
		if distance == 0 || distance > len(out) {
			return nil, errTable
		}
		for range length { // one by one: what is copied may reach into what it copies
			out = append(out, out[len(out)-distance])
		}
		b = b[used:]
	}
	if uint64(len(out)) != size {
		return nil, errTable
	}
	return out, nil
}
