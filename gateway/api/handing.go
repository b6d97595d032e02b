package api

import (
	"sync"

	"github.com/fullstorydev/grpchan/inprocgrpc"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// handing copies messages between a handler and who called it in this process. Of contents
// it makes one copy, where by default it would be two and the garbage of both: what it copied
// as a handler sent it, it hands over to who receives it. Who receives into the same message
// again gives the content in it back.
type handing struct{ inprocgrpc.ProtoCloner }

// pieces hold a message's content, for the next one.
var pieces = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// Clone implements [inprocgrpc.Cloner].
func (h handing) Clone(in any) (any, error) {
	m, ok := in.(*yitongv1.ReadContentResponse)
	if n := len(m.GetContent()); !ok || n < chunkSize/2 || n > chunkSize { // what is small needs no piece
		return h.ProtoCloner.Clone(in)
	}
	piece := pieces.Get().(*[chunkSize]byte)
	return &yitongv1.ReadContentResponse{
		Content: piece[:copy(piece[:], m.GetContent())], Size: m.GetSize(), MediaType: m.GetMediaType(), Sha256: m.GetSha256(),
	}, nil
}

// Copy implements [inprocgrpc.Cloner]. The method only streams, so in is a clone, that is
// received once.
func (h handing) Copy(out, in any) error {
	to, ok := out.(*yitongv1.ReadContentResponse)
	from, ok2 := in.(*yitongv1.ReadContentResponse)
	if !ok || !ok2 {
		return h.ProtoCloner.Copy(out, in)
	}
	if cap(to.GetContent()) == chunkSize {
		pieces.Put((*[chunkSize]byte)(to.Content[:chunkSize]))
	}
	to.Content, to.Size, to.MediaType, to.Sha256 = from.GetContent(), from.GetSize(), from.GetMediaType(), from.GetSha256()
	return nil
}
