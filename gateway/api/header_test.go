package api_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"yitong/chaincode/registry"
	"yitong/network/fabric/authority"
)

// A31: a header that is said once and pointed at a thousand times (HPACK) is a few kilobytes on the
// line, and megabytes to who keeps it. No door does.
func TestAHeaderThatInflatesIsRefused(t *testing.T) {
	d := openDoors(t, registry.Hospital, nil)
	software := pair(t, d.own, authority.Client)
	for _, test := range []struct {
		name  string
		times int // that the header is pointed at
		want  map[string]string
	}{
		{"control: once", 1, map[string]string{d.grpc: "status 200, grpc-status 0", d.web: "status 200"}},
		{"a hundred times", 100, map[string]string{d.grpc: "reset", d.web: "status 431"}},
		{"ten thousand times", 10_000, map[string]string{d.grpc: "reset", d.web: "status 431"}},
	} {
		for address, want := range test.want {
			t.Run(test.name+" at "+map[string]string{d.grpc: "gRPC", d.web: "HTTPS"}[address], func(t *testing.T) {
				c := d.config(t, software)
				c.NextProtos = []string{"h2"}
				conn, err := tls.Dial("tcp", address, c)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(time.Minute))
				head := [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", address}, {":path", "/yitong.v1.Callers/Whoami"}, {"content-type", "application/grpc"}, {"te", "trailers"}}
				body := []byte{0, 0, 0, 0, 0}
				if address == d.web {
					head, body = [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", address}, {":path", "/v1/whoami"}}, nil
				}
				var block bytes.Buffer
				e := hpack.NewEncoder(&block)
				for _, h := range head {
					if err := e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
						t.Fatal(err)
					}
				}
				for range test.times {
					if err := e.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 3900)}); err != nil {
						t.Fatal(err)
					}
				}
				if block.Len() > 16<<10 {
					t.Fatalf("the header has %d bytes on the line: more than one frame", block.Len())
				}
				f := http2.NewFramer(conn, conn)
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for _, err := range []error{
					say(conn, http2.ClientPreface), f.WriteSettings(),
					f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == nil}),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
				if body != nil {
					_ = f.WriteData(1, true, body) // it may be reset by now
				}
				got := answered(f)
				runtime.ReadMemStats(&after)
				if got != want {
					t.Errorf("%s, want %s", got, want)
				}
				if grown := after.TotalAlloc - before.TotalAlloc; grown > 8<<20 { // of 39 MB
					t.Errorf("%d KiB were allocated", grown>>10)
				}
			})
		}
	}
}

func say(to io.Writer, text string) error {
	_, err := io.WriteString(to, text)
	return err
}

// answered is what became of the first stream.
func answered(f *http2.Framer) string {
	var said []string
	d := hpack.NewDecoder(4096, func(h hpack.HeaderField) {
		switch h.Name {
		case ":status":
			said = append(said, "status "+h.Value)
		case "grpc-status":
			said = append(said, "grpc-status "+h.Value)
		}
	})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return fmt.Sprintf("closed: %v", err)
		}
		switch frame := frame.(type) {
		case *http2.RSTStreamFrame:
			return "reset"
		case *http2.GoAwayFrame:
			return "goaway " + frame.ErrCode.String()
		case *http2.HeadersFrame:
			if _, err := d.Write(frame.HeaderBlockFragment()); err != nil {
				return err.Error()
			}
			if frame.StreamEnded() || frame.HeadersEnded() && strings.HasPrefix(strings.Join(said, ""), "status 4") {
				return strings.Join(said, ", ")
			}
		case *http2.DataFrame:
			if frame.StreamEnded() {
				return strings.Join(said, ", ")
			}
		}
	}
}
