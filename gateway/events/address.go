package events

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"yitong/chaincode/refusal"
)

// maxURL is how long a webhook's URL is at most, in bytes.
const maxURL = 2000

// checkURL refuses (malformed, not-permitted) a URL that no webhook goes to. What a name
// leads to is looked at when it is called, every time.
func (w Webhooks) checkURL(at string) error {
	u, err := url.Parse(at)
	malformed := func(what string) error {
		return refusal.New(refusal.Malformed, "that is no URL for a webhook: "+what, "https://HOST/PATH, of at most 2000 bytes; http only to this machine itself")
	}
	switch {
	case err != nil:
		return malformed("it can't be read") // the parser's words quote it
	case len(at) > maxURL:
		return malformed("it is too long")
	case u.User != nil:
		return malformed("it holds a user or password; deliveries are signed, verify that")
	case u.Fragment != "" || u.Opaque != "" || u.Hostname() == "":
		return malformed("it names no host, or has a fragment")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	address, literal := netip.ParseAddr(host)
	local := host == "localhost" || strings.HasSuffix(host, ".localhost") || literal == nil && address.Unmap().IsLoopback()
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !local):
		return malformed("it isn't https")
	case literal == nil:
		return w.permitted(address)
	case local:
		return w.permitted(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return nil
}

// reserved are the ranges that lead nowhere public, beside those that netip knows: the
// shared address space, IETF's own, documentation, benchmarks, the former 6to4 relays,
// what is reserved; and the IPv6 prefixes that carry an IPv4 address on to who knows where.
var reserved = func() (all []netip.Prefix) {
	for _, p := range []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "fec0::/10",
	} {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}()

// permitted refuses (not-permitted) an address that isn't public and that the configuration
// doesn't allow.
func (w Webhooks) permitted(a netip.Addr) error {
	a = a.WithZone("").Unmap()
	holds := func(p netip.Prefix) bool { return p.Contains(a) }
	public := a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(reserved, holds)
	if public || slices.ContainsFunc(w.Allow, holds) {
		return nil
	}
	return refusal.New(refusal.NotPermitted, fmt.Sprintf("a webhook doesn't go to %s: this is no public address", a),
		"a public address, or one of those that this gateway's configuration names in events.webhooks.allow")
}

// plain marks a request without TLS: it stays on this machine.
type plain struct{}

// client sends deliveries. It goes where it is told, straight and nowhere else: no redirect,
// no proxy, no address that isn't permitted, whatever a name leads to at that moment.
func (w Webhooks) client() *http.Client {
	dialer := &net.Dialer{
		Timeout: w.Timeout, KeepAlive: 30 * time.Second,
		ControlContext: func(ctx context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if ctx.Value(plain{}) != nil && !to.Addr().Unmap().IsLoopback() {
				return errors.New("without TLS a delivery doesn't leave this machine")
			}
			return w.permitted(to.Addr())
		},
	}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: w.TLS, ForceAttemptHTTP2: true, TLSHandshakeTimeout: w.Timeout,
		ResponseHeaderTimeout: w.Timeout, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 1, MaxResponseHeaderBytes: 16 << 10, DisableCompression: true,
	}
	return &http.Client{
		Transport: transport, Timeout: w.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// hostOf is what of a URL is for logs: a path or query may hold a secret.
func hostOf(at string) string {
	if u, err := url.Parse(at); err == nil {
		return u.Host
	}
	return ""
}
