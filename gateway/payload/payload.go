// Package payload is the HTTPS face of large contents, for software that speaks no gRPC:
//
//	/uploads/    resumable upload by the tus protocol 1.0.0 (tus.io/protocols/resumable-upload),
//	             with its extensions creation, checksum, expiration and termination
//	/contents/   reading, any range of it (RFC 9110 section 14)
//
// Both are thin: each request becomes calls of the services Uploads and Contents over the
// door's own connection, with the caller's rights. Nothing is stored here. Of a patient no
// address holds anything: what an upload says of one is in a header.
//
// tusd, the protocol's own library, isn't used: it has no checksum extension, and locks and
// answers of its own beside those of the service.
package payload

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Problem writes an error in the door's form.
type Problem func(out http.ResponseWriter, err error, status int)

// Streams says that every request and answer here may be large, and is taken bit by bit.
func Streams(*http.Request) bool { return true }

// Contents serves what can be read:
//
//	GET /contents/own/RECORD/PART
//	GET /contents/CUSTODIAN/ACCESS/RECORD/PART
type Contents struct {
	client  yitongv1.ContentsClient
	problem Problem
}

// NewContents makes the handler of the paths below /contents/.
func NewContents(conn grpc.ClientConnInterface, problem Problem) http.Handler {
	c := Contents{yitongv1.NewContentsClient(conn), problem}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /contents/own/{record}/{part}", c.read)
	mux.HandleFunc("GET /contents/{custodian}/{access}/{record}/{part}", c.read)
	mux.HandleFunc("/", func(out http.ResponseWriter, _ *http.Request) {
		problem(out, status.Error(codes.NotFound, "there is nothing here: GET /contents/CUSTODIAN/ACCESS/RECORD/PART, or /contents/own/RECORD/PART"), 0)
	})
	return mux
}

func (c Contents) read(out http.ResponseWriter, in *http.Request) {
	index, err := strconv.ParseInt(in.PathValue("part"), 10, 32)
	if err != nil || index < 0 {
		c.problem(out, status.Error(codes.InvalidArgument, "a part is named by its number, from 0"), 0)
		return
	}
	ask := &yitongv1.ReadContentRequest{
		Custodian: in.PathValue("custodian"), AccessId: in.PathValue("access"), RecordId: in.PathValue("record"), Index: int32(index),
	}
	wanted, ranged := rangeOf(in.Header.Get("Range"))
	ask.Offset, ask.Length = wanted.first, wanted.length
	if wanted.suffix || in.Method == http.MethodHead {
		ask.Offset, ask.Length = 0, 1
	}
	stream, first, err := c.begin(in, ask)
	if err != nil {
		c.problem(out, err, 0)
		return
	}
	tag := `"` + hex.EncodeToString(first.GetSha256()) + `"`
	if ranged && in.Header.Get("If-Range") != "" && in.Header.Get("If-Range") != tag {
		ranged, wanted = false, span{}
		if ask.Offset, ask.Length = 0, 0; in.Method != http.MethodHead {
			if stream, first, err = c.begin(in, ask); err != nil {
				c.problem(out, err, 0)
				return
			}
		}
	}
	size := first.GetSize()
	if wanted.suffix && in.Method != http.MethodHead {
		wanted = span{first: max(size-wanted.length, 0), length: min(wanted.length, size)}
		ask.Offset, ask.Length = wanted.first, wanted.length
		if stream, first, err = c.begin(in, ask); err != nil {
			c.problem(out, err, 0)
			return
		}
	}
	h := out.Header()
	h.Set("Accept-Ranges", "bytes")
	if ranged && wanted.first >= size {
		h.Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		c.problem(out, status.Error(codes.OutOfRange, "the range begins after the end of the content"), http.StatusRequestedRangeNotSatisfiable)
		return
	}
	h.Set("Content-Type", first.GetMediaType())
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	if sum := first.GetSha256(); len(sum) > 0 {
		h.Set("ETag", tag)
		h.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(sum)+":") // RFC 9530
	}
	n, code := size, http.StatusOK
	if ranged && in.Method != http.MethodHead {
		n = size - wanted.first
		if wanted.length > 0 {
			n = min(n, wanted.length)
		}
		code = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", wanted.first, wanted.first+n-1, size))
	}
	h.Set("Content-Length", strconv.FormatInt(n, 10))
	out.WriteHeader(code)
	if in.Method == http.MethodHead {
		return
	}
	// A piece goes out when the next is there: the last only once the whole is known to be right.
	// Receiving into a message again takes its content back.
	for held, next := first, new(yitongv1.ReadContentResponse); ; held, next = next, held {
		err := stream.RecvMsg(next)
		if err != nil && !errors.Is(err, io.EOF) {
			panic(http.ErrAbortHandler) // what was sent is not the whole, and must not look so
		}
		if _, gone := out.Write(held.GetContent()); gone != nil || err != nil {
			return // who has gone away needs no answer
		}
	}
}

func (c Contents) begin(in *http.Request, ask *yitongv1.ReadContentRequest) (grpc.ServerStreamingClient[yitongv1.ReadContentResponse], *yitongv1.ReadContentResponse, error) {
	stream, err := c.client.Read(in.Context(), ask)
	if err != nil {
		return nil, nil, err
	}
	first, err := stream.Recv()
	return stream, first, err
}

// span is a range: length 0 is all that is left; of a suffix it counts from the end.
type span struct {
	first, length int64
	suffix        bool
}

// rangeOf reads a Range header. What isn't one range of bytes is passed over, as RFC 9110 allows.
func rangeOf(header string) (span, bool) {
	set, ok := strings.CutPrefix(header, "bytes=")
	from, to, dash := strings.Cut(set, "-")
	if !ok || !dash {
		return span{}, false
	}
	number := func(s string) (int64, bool) {
		n, err := strconv.ParseUint(s, 10, 62)
		return int64(n), err == nil
	}
	if from == "" {
		n, ok := number(to)
		return span{length: n, suffix: true}, ok && n > 0
	}
	first, ok := number(from)
	if !ok || to == "" {
		return span{first: first}, ok
	}
	last, ok := number(to)
	if !ok || last < first {
		return span{}, false
	}
	return span{first: first, length: last - first + 1}, true
}

// grace is how long the answer to the last piece may take to come, beyond each sign of
// progress of the submission that it waits for.
const grace = time.Minute
