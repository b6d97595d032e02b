package payload

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

const (
	version    = "1.0.0"
	extensions = "creation,checksum,expiration,termination"
	algorithms = "sha1,sha256"
	chunk      = 1 << 20 // bytes of one message

	checksumMismatch = 460 // tus 1.0.0, checksum extension
)

// Uploads serves tus 1.0.0 below /uploads/. What is to be submitted is said in Upload-Metadata:
//
//	id             32 hexadecimal characters; the record's id and idempotency key
//	patient        system|value (the token of FHIR search)
//	media_type     or filetype, as browsers' clients call it
//	data_class, labels (separated by commas), supersedes
//	data_from, data_until   RFC 3339
//
// The piece that completes an upload submits it: its answer comes once the record is anchored,
// and names it (Yitong-Record, Yitong-Transaction). If the answer is lost, HEAD says that all
// is there, and an empty piece at the end asks for it again.
type Uploads struct {
	client  yitongv1.UploadsClient
	problem Problem
}

// NewUploads makes the handler of the paths below /uploads/.
func NewUploads(conn grpc.ClientConnInterface, problem Problem) http.Handler {
	u := Uploads{yitongv1.NewUploadsClient(conn), problem}
	mux := http.NewServeMux()
	mux.HandleFunc("OPTIONS /uploads/", func(out http.ResponseWriter, _ *http.Request) {
		h := out.Header()
		h.Set("Tus-Version", version)
		h.Set("Tus-Extension", extensions)
		h.Set("Tus-Checksum-Algorithm", algorithms)
		out.WriteHeader(http.StatusNoContent)
	})
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /uploads/{$}": u.create, "HEAD /uploads/{id}": u.head, "PATCH /uploads/{id}": u.patch, "DELETE /uploads/{id}": u.remove,
	} {
		mux.HandleFunc(pattern, func(out http.ResponseWriter, in *http.Request) {
			out.Header().Set("Tus-Resumable", version)
			if in.Header.Get("Tus-Resumable") != version {
				out.Header().Set("Tus-Version", version)
				problem(out, status.Error(codes.FailedPrecondition, "this server speaks tus 1.0.0: say so in Tus-Resumable"), http.StatusPreconditionFailed)
				return
			}
			if err := handle(out, in); err != nil {
				problem(out, err, statusFor(err))
			}
		})
	}
	mux.HandleFunc("/", func(out http.ResponseWriter, _ *http.Request) {
		problem(out, status.Error(codes.NotFound, "there is nothing here: POST /uploads/ begins an upload (tus 1.0.0)"), 0)
	})
	return mux
}

// statusFor is the protocol's status of an error; 0 leaves it to the error's code.
func statusFor(err error) int {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			switch info.GetReason() {
			case "offset-mismatch":
				return http.StatusConflict
			case "checksum-mismatch":
				return checksumMismatch
			}
		}
	}
	return 0
}

func malformed(what string) error { return status.Error(codes.InvalidArgument, what) }

func (u Uploads) create(out http.ResponseWriter, in *http.Request) error {
	size, err := strconv.ParseInt(in.Header.Get("Upload-Length"), 10, 64)
	if err != nil || size < 0 {
		return malformed("Upload-Length must say how many bytes will come; it can't be deferred")
	}
	if in.ContentLength > 0 {
		return malformed("an upload is begun without content: send it by PATCH")
	}
	header, err := metadata(in.Header.Get("Upload-Metadata"))
	if err != nil {
		return err
	}
	made, err := u.client.Create(in.Context(), &yitongv1.CreateUploadRequest{Header: header, Size: size})
	if err != nil {
		return err
	}
	out.Header().Set("Location", "/uploads/"+made.GetId())
	expires(out, made)
	out.WriteHeader(http.StatusCreated)
	return nil
}

func expires(out http.ResponseWriter, u *yitongv1.Upload) {
	if at := u.GetExpires(); at != nil {
		out.Header().Set("Upload-Expires", at.AsTime().Format(http.TimeFormat))
	}
}

// metadata reads what is to be submitted (tus 1.0.0, Upload-Metadata).
func metadata(header string) (*yitongv1.SubmitHeader, error) {
	h := &yitongv1.SubmitHeader{}
	for pair := range strings.SplitSeq(header, ",") {
		key, encoded, _ := strings.Cut(strings.TrimSpace(pair), " ")
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, malformed("Upload-Metadata: a value isn't base64")
		}
		value := string(raw)
		switch key {
		case "id":
			h.Id = value
		case "patient":
			system, id, ok := strings.Cut(value, "|")
			if !ok {
				return nil, malformed("Upload-Metadata: patient is system|value")
			}
			h.Patient = &yitongv1.Patient{System: system, Value: id}
		case "media_type", "filetype":
			h.MediaType = value
		case "data_class":
			h.DataClass = value
		case "labels":
			h.Labels = strings.Split(value, ",")
		case "supersedes":
			h.Supersedes = value
		case "data_from", "data_until":
			at, err := time.Parse(time.RFC3339, value)
			if err != nil {
				return nil, malformed("Upload-Metadata: " + key + " is a time as 2026-01-31T00:00:00Z")
			}
			if h.DataPeriod == nil {
				h.DataPeriod = &yitongv1.Period{}
			}
			if key == "data_from" {
				h.DataPeriod.Start = timestamppb.New(at)
			} else {
				h.DataPeriod.End = timestamppb.New(at)
			}
		}
	}
	if h.Patient == nil || h.MediaType == "" {
		return nil, malformed("Upload-Metadata must have patient (system|value) and media_type")
	}
	return h, nil
}

func (u Uploads) head(out http.ResponseWriter, in *http.Request) error {
	id := in.PathValue("id")
	at, err := u.client.Get(in.Context(), &yitongv1.GetUploadRequest{Id: id})
	if status.Code(err) == codes.NotFound { // finished, perhaps
		done, size, ferr := u.finish(out, in, id)
		if ferr != nil {
			return err
		}
		at, err = &yitongv1.Upload{Size: size, Offset: size}, nil
		name(out, done)
	}
	if err != nil {
		return err
	}
	tell(out, at)
	out.Header().Set("Upload-Length", strconv.FormatInt(at.GetSize(), 10))
	out.WriteHeader(http.StatusOK)
	return nil
}

func tell(out http.ResponseWriter, u *yitongv1.Upload) {
	out.Header().Set("Upload-Offset", strconv.FormatInt(u.GetOffset(), 10))
	expires(out, u)
}

func name(out http.ResponseWriter, done *yitongv1.SubmitResponse) {
	out.Header().Set("Yitong-Record", done.GetRecord().GetId())
	out.Header().Set("Yitong-Transaction", done.GetCommit().GetTransactionId())
}

func (u Uploads) patch(out http.ResponseWriter, in *http.Request) error {
	if in.Header.Get("Content-Type") != "application/offset+octet-stream" {
		u.problem(out, malformed("Content-Type must be application/offset+octet-stream"), http.StatusUnsupportedMediaType)
		return nil
	}
	id := in.PathValue("id")
	offset, err := strconv.ParseInt(in.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 {
		return malformed("Upload-Offset must say from where on this is")
	}
	header := &yitongv1.AppendHeader{Id: id, Offset: offset}
	if sum := in.Header.Get("Upload-Checksum"); sum != "" {
		algorithm, encoded, _ := strings.Cut(sum, " ")
		digest, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return malformed("Upload-Checksum is an algorithm (" + algorithms + ") and a digest in base64")
		}
		header.Checksum = &yitongv1.Checksum{Algorithm: algorithm, Digest: digest}
	}
	at, err := u.append(in.Context(), header, in.Body)
	if status.Code(err) == codes.NotFound { // the answer to the last piece was lost, perhaps
		done, _, ferr := u.finish(out, in, id)
		if ferr != nil {
			return err
		}
		name(out, done)
		tell(out, &yitongv1.Upload{Offset: offset})
		out.WriteHeader(http.StatusNoContent)
		return nil
	}
	if err != nil {
		return err
	}
	if at.GetOffset() == at.GetSize() {
		done, _, err := u.finish(out, in, id)
		if err != nil {
			return err
		}
		name(out, done)
	}
	tell(out, at)
	out.WriteHeader(http.StatusNoContent)
	return nil
}

// append sends a body on. Where it breaks off the call ends well all the same, though the
// request's context is over: what has come counts, unless it has a checksum.
func (u Uploads) append(ctx context.Context, header *yitongv1.AppendHeader, body io.Reader) (*yitongv1.Upload, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stream, err := u.client.Append(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&yitongv1.AppendUploadRequest{Message: &yitongv1.AppendUploadRequest_Header{Header: header}})
	buf := make([]byte, chunk) // in-process, a message is copied when it is sent
	for err == nil {
		n, rerr := fill(body, buf)
		if n > 0 {
			err = stream.Send(&yitongv1.AppendUploadRequest{Message: &yitongv1.AppendUploadRequest_Content{Content: buf[:n]}})
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			_, _ = stream.CloseAndRecv()
			return nil, status.Error(codes.Unavailable, "the piece broke off: ask by HEAD how much of it is here")
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv()
}

// fill reads until b is full. Unlike [io.ReadFull] it leaves the error as it is: a body that is
// cut short of its Content-Length says io.ErrUnexpectedEOF itself.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = r.Read(b[n:])
		n += more
	}
	return n, err
}

// finish submits what was uploaded, and tells how many bytes that are. While it goes on, the
// connection is kept open.
func (u Uploads) finish(out http.ResponseWriter, in *http.Request, id string) (done *yitongv1.SubmitResponse, size int64, err error) {
	// It goes on when the client doesn't wait for it: HEAD finds it done.
	stream, err := u.client.Finish(context.WithoutCancel(in.Context()), &yitongv1.FinishUploadRequest{Id: id})
	if err != nil {
		return nil, 0, err
	}
	control := http.NewResponseController(out)
	for {
		_ = control.SetWriteDeadline(time.Now().Add(grace))
		_ = control.SetReadDeadline(time.Now().Add(grace))
		m, err := stream.Recv()
		if err != nil {
			return nil, 0, err
		}
		if done := m.GetSubmitted(); done != nil {
			return done, size, nil
		}
		size = m.GetProgress().GetTotal()
	}
}

func (u Uploads) remove(out http.ResponseWriter, in *http.Request) error {
	if _, err := u.client.Cancel(in.Context(), &yitongv1.CancelUploadRequest{Id: in.PathValue("id")}); err != nil {
		return err
	}
	out.WriteHeader(http.StatusNoContent)
	return nil
}
