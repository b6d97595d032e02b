package replay

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// commitHash is what a peer writes beside a block about the state that it left behind: a
// chain of hashes over its verdicts and every change of the state (Fabric:
// kv_ledger.addBlockCommitHash, txmgr/update_batch_bytes.go). Nobody signs it, but it is
// the peer's own claim, and two peers with one chain have the same.
func commitHash(codes []byte, u *updates, before []byte) []byte {
	sum := sha256.New()
	sum.Write(protowire.AppendVarint(nil, uint64(len(codes))))
	sum.Write(codes)
	sum.Write(u.bytes())
	sum.Write(before)
	return sum.Sum(nil)
}

// commitMetadata is the hash as it stands in a block's metadata.
func commitMetadata(hash []byte) []byte {
	raw, err := proto.Marshal(&common.Metadata{Value: hash})
	if err != nil {
		panic("metadata of one field can't be encoded: " + err.Error())
	}
	return raw
}

// bytes encodes the changes as Fabric's message txmgr.Updates, in the order of namespace,
// collection and key.
func (u *updates) bytes() []byte {
	places := make([]place, 0, len(u.entries))
	for p := range u.entries {
		if p.space != "" { // the configuration, which Fabric leaves out
			places = append(places, p)
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := strings.Compare(a.space, b.space); c != 0 {
			return c
		}
		return strings.Compare(a.key, b.key)
	})
	var out, one []byte
	lastNamespace, lastSpace := "", ""
	for _, p := range places {
		namespace, collection, _ := strings.Cut(p.space, "\x00")
		e := u.entries[p]
		one = one[:0]
		if namespace != lastNamespace { // a repeated name is left out
			one = protowire.AppendTag(one, 1, protowire.BytesType)
			one = protowire.AppendString(one, namespace)
		}
		if collection != "" && p.space != lastSpace {
			one = protowire.AppendTag(one, 2, protowire.BytesType)
			one = protowire.AppendString(one, collection)
		}
		lastNamespace, lastSpace = namespace, p.space
		if p.key != "" {
			one = protowire.AppendTag(one, 3, protowire.BytesType)
			one = protowire.AppendString(one, p.key)
		}
		if e.Value == nil {
			one = protowire.AppendTag(one, 4, protowire.VarintType)
			one = protowire.AppendVarint(one, 1)
		} else {
			one = protowire.AppendTag(one, 5, protowire.BytesType)
			one = protowire.AppendBytes(one, e.Value)
		}
		one = protowire.AppendTag(one, 6, protowire.BytesType)
		one = protowire.AppendBytes(one, appendOrdered(appendOrdered(nil, e.Version.Block), e.Version.Tx))
		out = protowire.AppendTag(out, 1, protowire.BytesType)
		out = protowire.AppendBytes(out, one)
	}
	return out
}

// appendOrdered is Fabric's order-preserving encoding of a number: how many bytes, then
// those bytes, the highest first.
func appendOrdered(to []byte, n uint64) []byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	first := 0
	for first < 8 && b[first] == 0 {
		first++
	}
	return append(append(to, byte(8-first)), b[first:]...)
}
