package api

import (
	"crypto/sha256"
	"fmt"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"yitong/chaincode/refusal"
)

// The codes of what is over a limit.
const (
	RateLimited refusal.Code = "rate-limited" // this caller's calls are too many
	Busy        refusal.Code = "busy"         // the gateway's are
)

// Limiter holds callers to the Limits, at both doors together. It is safe for concurrent
// use.
type Limiter struct {
	mu        sync.Mutex
	limits    Limits
	callers   accounts
	addresses accounts
	connected map[string]int // open connections by door and address
	requests  int            // under way
	streams   int
	bodies    Size
	turned    map[string]uint64 // away, by reason
}

// accounts are those that were heard of lately.
type accounts struct {
	of    map[string]*account
	swept time.Time
}

// account is what one caller, or one address, has under way and left.
type account struct {
	left              *rate.Limiter
	requests, streams int
	bodies            Size
	seen              time.Time
}

// maxAccounts bounds what strangers can make the gateway remember; all over it share one
// account.
const (
	maxAccounts = 1 << 16
	forgetAfter = 5 * time.Minute
)

// NewLimiter makes a limiter; fields that are zero have their default.
func NewLimiter(l Limits) *Limiter {
	return &Limiter{
		limits: l.Complete(), connected: map[string]int{}, turned: map[string]uint64{},
		callers: accounts{of: map[string]*account{}}, addresses: accounts{of: map[string]*account{}},
	}
}

// Limits are those in force.
func (l *Limiter) Limits() Limits {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits
}

// Set puts other limits in force, for calls from now on. Message and Header are those of
// the start.
func (l *Limiter) Set(to Limits) {
	to = to.Complete()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limits = to
	for _, a := range l.callers.of {
		a.left.SetLimit(rate.Limit(to.Rate))
		a.left.SetBurst(to.Burst)
	}
	for _, a := range l.addresses.of {
		a.left.SetLimit(perMinute(to.Failures))
		a.left.SetBurst(to.Failures)
	}
}

// Load is what is under way, and what was turned away since the start, by reason.
type Load struct {
	Requests, Streams, Connections int
	Bodies                         Size
	Turned                         map[string]uint64
}

// Load reads what is under way.
func (l *Limiter) Load() Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := Load{Requests: l.requests, Streams: l.streams, Bodies: l.bodies, Turned: map[string]uint64{}}
	for reason, n := range l.turned {
		out.Turned[reason] = n
	}
	for door, n := range l.connected {
		if !strings.Contains(door, "\x00") {
			out.Connections += n
		}
	}
	return out
}

func perMinute(n int) rate.Limit { return rate.Limit(float64(n) / 60) }

// get finds an account. The caller holds the limiter's lock.
func (a *accounts) get(who string, limit rate.Limit, burst int, now time.Time) *account {
	one, ok := a.of[who]
	if !ok {
		if len(a.of) >= maxAccounts || now.Sub(a.swept) > forgetAfter {
			a.sweep(now)
		}
		if len(a.of) >= maxAccounts {
			who = "" // which nobody is
			one = a.of[who]
		}
		if one == nil {
			one = &account{left: rate.NewLimiter(limit, burst)}
			a.of[who] = one
		}
	}
	one.seen = now
	return one
}

func (a *accounts) sweep(now time.Time) {
	a.swept = now
	for who, one := range a.of {
		if one.requests == 0 && one.streams == 0 && now.Sub(one.seen) > forgetAfter && one.left.TokensAt(now) >= float64(one.left.Burst()) {
			delete(a.of, who)
		}
	}
}

// caller is a caller's account. The caller of this holds the lock.
func (l *Limiter) caller(who string, now time.Time) *account {
	return l.callers.get(who, rate.Limit(l.limits.Rate), l.limits.Burst, now)
}

// enter lets a caller's call in, within its rate and what may be under way at once. leave
// is to be called when it has ended.
func (l *Limiter) enter(who string, streams bool) (leave func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	a := l.caller(who, now)
	if !a.left.AllowN(now, 1) {
		wait := time.Duration((1 - a.left.TokensAt(now)) / l.limits.Rate * float64(time.Second))
		return nil, l.turn("rate", codes.ResourceExhausted, RateLimited,
			fmt.Sprintf("these calls are over %g a second and %d at once, which is what one caller may make here", l.limits.Rate, l.limits.Burst), wait)
	}
	all, own, most, mine, what := &l.requests, &a.requests, l.limits.Requests, l.limits.RequestsPerCaller, "requests"
	if streams {
		all, own, most, mine, what = &l.streams, &a.streams, l.limits.Streams, l.limits.StreamsPerCaller, "streams"
	}
	switch {
	case *own >= mine:
		return nil, l.turn(what+"_per_caller", codes.ResourceExhausted, RateLimited, fmt.Sprintf("%d %s of this caller are under way, which is as many as it may have here", *own, what), time.Second)
	case *all >= most:
		return nil, l.turn(what, codes.Unavailable, Busy, fmt.Sprintf("%d %s are under way here, which is as many as there may be", *all, what), time.Second)
	}
	*all, *own = *all+1, *own+1
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		*all, *own = *all-1, *own-1
	}), nil
}

// hold takes memory for a body of a caller whose call was let in.
func (l *Limiter) hold(who string, n Size) (free func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.caller(who, time.Now())
	switch {
	case l.bodies+n > l.limits.Bodies:
		return nil, l.turn("bodies", codes.Unavailable, Busy, "the requests under way here take all the memory that there is for them", time.Second)
	case a.bodies+n > l.limits.BodiesPerCaller:
		return nil, l.turn("bodies_per_caller", codes.ResourceExhausted, RateLimited, "this caller's requests take all the memory that it may have here", time.Second)
	}
	l.bodies, a.bodies = l.bodies+n, a.bodies+n
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.bodies, a.bodies = l.bodies-n, a.bodies-n
	}), nil
}

// barred says whether an address has failed to be let in too often. It is asked for those who
// can't be let in, and for nobody else.
func (l *Limiter) barred(address string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.addresses.of[address]
	if !ok {
		return nil
	}
	left := a.left.TokensAt(time.Now())
	if left >= 1 {
		return nil
	}
	wait := time.Duration((1 - left) / float64(perMinute(l.limits.Failures)) * float64(time.Second))
	return l.turn("failures", codes.ResourceExhausted, RateLimited, "too many calls from this address could not be let in", wait)
}

// failed counts a call of somebody who couldn't be let in.
func (l *Limiter) failed(address string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.addresses.get(address, perMinute(l.limits.Failures), l.limits.Failures, now).left.AllowN(now, 1)
}

// turn counts who is turned away, and makes the answer. The caller holds the lock.
func (l *Limiter) turn(reason string, code codes.Code, as refusal.Code, message string, wait time.Duration) error {
	l.turned[reason]++
	wait = max(wait, 100*time.Millisecond).Round(time.Millisecond)
	s, err := status.New(code, message).WithDetails(
		&errdetails.ErrorInfo{Reason: string(as), Domain: ErrorDomain, Metadata: map[string]string{"allowed": "the same again in " + wait.String()}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)},
	)
	if err != nil {
		return status.Error(code, message)
	}
	return s.Err()
}

// retryAfter is the header's whole seconds (RFC 9110, 10.2.3).
func retryAfter(wait time.Duration) string {
	return fmt.Sprint(int(math.Ceil(max(wait, time.Second).Seconds())))
}

// account names whom a caller's calls are counted for: the person or service that a token is
// of, or else the certificate.
func (c caller) account() string {
	if c.bearer != nil {
		return strings.Join([]string{c.msp, c.bearer.Service, string(c.bearer.Role), c.bearer.Name}, "\x00")
	}
	if c.cert != nil {
		digest := sha256.Sum256(c.cert.Raw)
		return c.msp + "\x00" + string(digest[:])
	}
	return c.msp
}

// addressOf is where a caller calls from, without its port. Of IPv6 it is the network
// (/64), for that is what one subscriber has.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap(); ip.Is6() {
		network, err := ip.WithZone("").Prefix(64)
		if err == nil {
			return network.String()
		}
	}
	return ip.String()
}

// Bound makes a listener that closes the connections that are over the limits. Others wait
// for nobody: one address can't take all places.
func (l *Limiter) Bound(listener net.Listener) net.Listener { return &bounded{listener, l} }

type bounded struct {
	net.Listener
	by *Limiter
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressOf(conn.RemoteAddr().String())
		if leave, ok := b.by.connect(b.Addr().String(), from); ok {
			return &boundConn{Conn: conn, leave: leave}, nil
		}
		_ = conn.Close()
	}
}

func (l *Limiter) connect(door, from string) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := door + "\x00" + from
	if l.connected[door] >= l.limits.Connections || l.connected[one] >= l.limits.ConnectionsPerAddress {
		l.turned["connections"]++
		return nil, false
	}
	l.connected[door]++
	l.connected[one]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.connected[door]--
		if l.connected[one]--; l.connected[one] == 0 {
			delete(l.connected, one)
		}
	}), true
}

type boundConn struct {
	net.Conn
	leave func()
}

func (c *boundConn) Close() error {
	c.leave()
	return c.Conn.Close()
}
