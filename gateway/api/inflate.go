package api

import (
	"compress/gzip"
	"io"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
)

// Bounds of what a compressed body may become.
const (
	maxRatio  = 100     // bytes out of one compressed byte …
	freeRatio = 1 << 20 // … from so many bytes on
)

// inflating is a body as it is once decompressed. It ends with an error where more comes out
// than most, or than what came in can honestly hold: a bomb costs its sender as many bytes
// as us.
type inflating struct {
	from *gzip.Reader
	in   *paced
	out  int64
	most Size
}

// inflated is a body without its Content-Encoding (RFC 9110, section 8.4): gzip, or none.
// coded says that it had one.
func inflated(in *http.Request, body *paced, most Size) (plain io.Reader, coded bool, err error) {
	switch coding := strings.ToLower(strings.Join(in.Header.Values("Content-Encoding"), ",")); strings.TrimSpace(coding) {
	case "", "identity":
		return body, false, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(body)
		return &inflating{z, body, 0, most}, true, err
	}
	return nil, false, &unfit{status.Error(codes.InvalidArgument, "this Content-Encoding isn't taken: gzip is, or none"), http.StatusUnsupportedMediaType}
}

func (i *inflating) Read(b []byte) (int, error) {
	n, err := i.from.Read(b)
	i.out += int64(n)
	switch {
	case i.out > int64(i.most):
		return 0, errTooLong
	case i.out > freeRatio && i.out > maxRatio*i.in.read:
		return 0, &unfit{refusal.New(refusal.TooLarge, "the body is compressed out of proportion", "the same without Content-Encoding"), http.StatusRequestEntityTooLarge}
	}
	return n, err
}
