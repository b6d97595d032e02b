package api

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits bound what callers can cost a gateway, at both doors. A field that is zero has
// its default. What is over one is refused at once, with a word on when to come back:
//
//	over                            HTTPS                 gRPC
//	body, message                   413                   RESOURCE_EXHAUSTED
//	rate, burst, *_per_caller       429 with Retry-After  RESOURCE_EXHAUSTED with RetryInfo
//	failures                        429 with Retry-After  RESOURCE_EXHAUSTED with RetryInfo
//	requests, streams, bodies       503 with Retry-After  UNAVAILABLE with RetryInfo
//	connections*                    the connection is closed
//	header, pause, pace             408, or the connection is closed
//	answer                          504                   DEADLINE_EXCEEDED
type Limits struct {
	// Body is the largest request over HTTPS that is held in memory, without its
	// Content-Encoding. An upload isn't; it has Upload.
	Body Size `yaml:"body,omitempty"`
	// Bodies is the memory that all such requests under way may take together.
	Bodies Size `yaml:"bodies,omitempty"`
	// BodiesPerCaller is how much of that one caller's may take.
	BodiesPerCaller Size `yaml:"bodies_per_caller,omitempty"`
	// Upload is the largest payload that is taken in one piece.
	Upload Size `yaml:"upload,omitempty"`
	// Message is the largest gRPC message. Payloads come as streams of messages.
	Message Size `yaml:"message,omitempty"`

	// Rate is how many calls a second one caller (a certificate, or a person by token) may
	// make on average.
	Rate float64 `yaml:"rate,omitempty"`
	// Burst is how many calls one caller may make at once after a time of quiet: by default
	// those of two seconds at Rate.
	Burst int `yaml:"burst,omitempty"`
	// Failures is how many calls a minute an address may make that can't be let in, before they
	// are answered by 429. Who shows a member's certificate isn't counted by address, and neither
	// it nor a valid token is ever turned away for what others at its address do.
	Failures int `yaml:"failures,omitempty"`

	// Requests is how many calls that don't stream may be under way at once.
	Requests int `yaml:"requests,omitempty"`
	// RequestsPerCaller is how many of them may be one caller's.
	RequestsPerCaller int `yaml:"requests_per_caller,omitempty"`
	// Streams is how many calls that stream may be under way at once: payloads, exports, events.
	Streams int `yaml:"streams,omitempty"`
	// StreamsPerCaller is how many of them may be one caller's.
	StreamsPerCaller int `yaml:"streams_per_caller,omitempty"`
	// Connections is how many may be open at each door.
	Connections int `yaml:"connections,omitempty"`
	// ConnectionsPerAddress is how many of them may be from one address.
	ConnectionsPerAddress int `yaml:"connections_per_address,omitempty"`

	// Header is how long a connection may take for its handshake and a request's header.
	Header time.Duration `yaml:"header,omitempty"`
	// Pause is the longest that a caller may send or take nothing of a body.
	Pause time.Duration `yaml:"pause,omitempty"`
	// Pace is how many bytes a second a body must come with on average, after one Pause.
	Pace Size `yaml:"pace,omitempty"`
	// Answer is the longest that a call may take that doesn't stream.
	Answer time.Duration `yaml:"answer,omitempty"`
	// Export is the longest that an export may take.
	Export time.Duration `yaml:"export,omitempty"`
	// Idle is how long a connection without a request is kept.
	Idle time.Duration `yaml:"idle,omitempty"`
}

// DefaultLimits suit a hospital of some thousand beds on a machine with 4 GiB.
var DefaultLimits = Limits{
	Body: 64 << 20, Bodies: 512 << 20, BodiesPerCaller: 384 << 20, Upload: 64 << 30, Message: 4 << 20,
	Rate: 1000, Burst: 2000, Failures: 60,
	Requests: 512, RequestsPerCaller: 384, Streams: 512, StreamsPerCaller: 384, Connections: 2048, ConnectionsPerAddress: 1024,
	Header: 10 * time.Second, Pause: 30 * time.Second, Pace: 1 << 10, Answer: time.Minute, Export: time.Hour, Idle: 2 * time.Minute,
}

// Complete fills in the defaults.
func (l Limits) Complete() Limits {
	d := DefaultLimits
	or(&l.Body, d.Body)
	or(&l.Bodies, max(d.Bodies, l.Body))
	or(&l.BodiesPerCaller, max(l.Bodies/4*3, l.Body))
	or(&l.Upload, d.Upload)
	or(&l.Message, d.Message)
	or(&l.Rate, d.Rate)
	or(&l.Burst, int(max(1, math.Ceil(2*l.Rate))))
	or(&l.Failures, d.Failures)
	or(&l.Requests, d.Requests)
	or(&l.RequestsPerCaller, min(d.RequestsPerCaller, l.Requests))
	or(&l.Streams, d.Streams)
	or(&l.StreamsPerCaller, min(d.StreamsPerCaller, l.Streams))
	or(&l.Connections, d.Connections)
	or(&l.ConnectionsPerAddress, min(d.ConnectionsPerAddress, l.Connections))
	or(&l.Header, d.Header)
	or(&l.Pause, d.Pause)
	or(&l.Pace, d.Pace)
	or(&l.Answer, d.Answer)
	or(&l.Export, d.Export)
	or(&l.Idle, d.Idle)
	return l
}

func or[T comparable](field *T, fallback T) {
	var zero T
	if *field == zero {
		*field = fallback
	}
}

// Check names every problem at once, each by the field's name in the configuration.
func (l Limits) Check() error {
	given := l
	l = l.Complete()
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	size := func(name string, s, from, until Size) {
		if s < from || s > until {
			problem("limits.%s is %s; it must be %s to %s", name, s, from, until)
		}
	}
	count := func(name string, n, from, until int) {
		if n < from || n > until {
			problem("limits.%s is %d; it must be %d to %d", name, n, from, until)
		}
	}
	lasting := func(name string, d, from, until time.Duration) {
		if d < from || d > until {
			problem("limits.%s is %s; it must be %s to %s", name, d, from, until)
		}
	}
	size("body", l.Body, 64<<10, 1<<30)
	size("bodies", l.Bodies, l.Body, 1<<40)
	size("bodies_per_caller", l.BodiesPerCaller, l.Body, l.Bodies)
	size("upload", l.Upload, 1<<20, 1<<44)
	size("message", l.Message, 2<<20, 256<<20) // chunks of a stream are 1 MiB
	if given.Rate < 0 || math.IsNaN(given.Rate) || l.Rate > 1e6 {
		problem("limits.rate is %v; it must be over 0 and at most 1000000 calls a second", given.Rate)
	}
	count("burst", l.Burst, 1, 1e7)
	count("failures", l.Failures, 1, 1e6)
	count("requests", l.Requests, 1, 1e6)
	count("requests_per_caller", l.RequestsPerCaller, 1, l.Requests)
	count("streams", l.Streams, 1, 1e6)
	count("streams_per_caller", l.StreamsPerCaller, 1, l.Streams)
	count("connections", l.Connections, 1, 1e6)
	count("connections_per_address", l.ConnectionsPerAddress, 1, l.Connections)
	lasting("header", l.Header, time.Second, 5*time.Minute)
	lasting("pause", l.Pause, time.Second, time.Hour)
	size("pace", l.Pace, 1, 1<<30)
	lasting("answer", l.Answer, time.Second, time.Hour)
	lasting("export", l.Export, time.Second, 7*24*time.Hour)
	lasting("idle", l.Idle, time.Second, 24*time.Hour)
	return errors.Join(problems...)
}

// Size is a number of bytes, written as 4194304, 4MiB or 10GiB.
type Size int64

var units = []struct {
	name string
	of   Size
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String gives the largest unit that leaves a whole number.
func (s Size) String() string {
	for _, u := range units[:4] {
		if s >= u.of && s%u.of == 0 {
			return strconv.FormatInt(int64(s/u.of), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText implements [encoding.TextMarshaler].
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalYAML implements [yaml.Unmarshaler]; its error doesn't hide the file's others.
func (s *Size) UnmarshalYAML(n *yaml.Node) error {
	if err := s.UnmarshalText([]byte(n.Value)); err != nil {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %v", n.Line, err)}}
	}
	return nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Size) UnmarshalText(text []byte) error {
	number, unit := string(text), Size(1)
	for _, u := range units {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.of
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/int64(unit) {
		return fmt.Errorf("%.40q is no size; write bytes, or as 512KiB, 4MiB or 10GiB", text)
	}
	*s = Size(n) * unit
	return nil
}
