package fabric

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"yitong/gateway/credential"
	"yitong/network/fabric/authority"
	"yitong/network/topology"
)

// What Renew renews.
const (
	GatewayTLS       = "tls"       // what the gateway shows on every connection
	GatewayEnrolment = "enrolment" // what signs the member's transactions
	ClientTLS        = "client"    // what the member's own software shows
	PeerKeys         = "peer"      // the peer's enrolment and its TLS certificate
	PersonPrefix     = "user:"     // a person's TLS certificate; the name follows
	IdentityPrefix   = "identity:" // an identity made by Issue, enrolment and TLS; the name follows
)

// Inspect reads the topology of a network and its members without opening it, beside
// whoever runs it.
func Inspect(dir string) (*topology.Topology, []*Member, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, nil, err
	}
	t, err := topology.ReadFile(filepath.Join(dir, "topology.yaml"))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the network in %s: %w", dir, err)
	}
	var members []*Member
	for _, m := range t.Members {
		members = append(members, &Member{Member: m, dir: filepath.Join(dir, "members", m.Name)})
	}
	return t, members, nil
}

// Renew replaces a key of the member and has its authority issue the certificate that it
// had for the new one: same name, role, hosts and attributes. Whoever uses it sees the
// files change: a gateway by itself, a peer by being started again (Network does so).
// The old certificate stays good until it expires or is revoked; the returned ones are the
// old ones, PEM.
//
// The keys of ordering nodes can't be renewed so: the channel's configuration names their
// very certificates.
func (m *Member) Renew(what string) (old [][]byte, err error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	ca, tlsCA, err := m.authorities()
	if err != nil {
		return nil, err
	}
	if what == PeerKeys {
		return m.renewPeer(ca, tlsCA)
	}
	if name, ok := strings.CutPrefix(what, IdentityPrefix); ok && identityShape.MatchString(name) {
		return m.renewIdentity(name, ca, tlsCA)
	}
	id, by := m.Gateway(), tlsCA
	files := credential.Files{Cert: id.TLSCert, Key: id.TLSKey}
	name, person := strings.CutPrefix(what, PersonPrefix)
	switch {
	case what == GatewayTLS:
	case what == GatewayEnrolment:
		files, by = credential.Files{Cert: id.Cert, Key: id.Key}, ca
	case what == ClientTLS:
		files = credential.Files{Cert: m.Client().TLSCert, Key: m.Client().TLSKey}
	case person && identityShape.MatchString(name):
		dir := filepath.Join(m.dir, "people", name)
		files = credential.Files{Cert: filepath.Join(dir, "tls-cert.pem"), Key: filepath.Join(dir, "tls-key.pem")}
	default:
		return nil, fmt.Errorf("there is no key %q to renew: name %s, %s, %s, %s, %sNAME or %sNAME",
			what, GatewayTLS, GatewayEnrolment, ClientTLS, PeerKeys, PersonPrefix, IdentityPrefix)
	}
	before, err := renew(files, by)
	if err != nil {
		return nil, fmt.Errorf("renewing %s of %s: %w", what, m.Name, err)
	}
	return [][]byte{before}, nil
}

func (m *Member) renewIdentity(name string, ca, tlsCA *authority.Authority) (old [][]byte, err error) {
	id, err := m.Identity(name)
	if err != nil {
		return nil, err
	}
	for _, one := range []struct {
		files credential.Files
		by    *authority.Authority
	}{{credential.Files{Cert: id.TLSCert, Key: id.TLSKey}, tlsCA}, {credential.Files{Cert: id.Cert, Key: id.Key}, ca}} {
		before, err := renew(one.files, one.by)
		if err != nil {
			return old, fmt.Errorf("renewing identity %s of %s: %w", name, m.Name, err)
		}
		old = append(old, before)
	}
	return old, nil
}

func renew(files credential.Files, by *authority.Authority) (before []byte, err error) {
	if before, _, err = files.Read(); err != nil {
		return nil, err
	}
	pair, err := again(before, by)
	if err != nil {
		return nil, err
	}
	return before, files.Replace(pair.Cert, pair.Key)
}

func again(before []byte, by *authority.Authority) (authority.Pair, error) {
	cert, err := authority.ParseCert(before)
	if err != nil {
		return authority.Pair{}, err
	}
	return by.Renew(cert)
}

// renewPeer replaces the enrolment of the peer and its TLS certificate, and the enrolment's
// key last: a peer looks for the key of its certificate among all in its folder, so the new
// one is there before the certificate, and the old one goes after it.
func (m *Member) renewPeer(ca, tlsCA *authority.Authority) (old [][]byte, err error) {
	dir := filepath.Join(m.dir, "peer")
	before, err := renew(credential.Files{Cert: filepath.Join(dir, "tls", "cert.pem"), Key: filepath.Join(dir, "tls", "key.pem")}, tlsCA)
	if err != nil {
		return nil, fmt.Errorf("renewing the peer's TLS certificate: %w", err)
	}
	old = append(old, before)
	certFile, store := m.peerEnrolment(), filepath.Join(dir, "msp", "keystore")
	if before, err = os.ReadFile(certFile); err != nil {
		return old, fmt.Errorf("renewing the peer's enrolment: %w", err)
	}
	pair, err := again(before, ca)
	if err != nil {
		return old, fmt.Errorf("renewing the peer's enrolment: %w", err)
	}
	cert, err := authority.ParseCert(pair.Cert)
	if err != nil {
		return old, err
	}
	key := hex.EncodeToString(cert.SubjectKeyId) + ".pem"
	if err := renameio.WriteFile(filepath.Join(store, key), pair.Key, 0o600); err != nil {
		return old, fmt.Errorf("renewing the peer's enrolment: %w", err)
	}
	if err := renameio.WriteFile(certFile, pair.Cert, 0o644); err != nil {
		return old, fmt.Errorf("renewing the peer's enrolment: %w", err)
	}
	left, err := os.ReadDir(store)
	for _, f := range left {
		if f.Name() != key {
			err = errors.Join(err, os.Remove(filepath.Join(store, f.Name())))
		}
	}
	return append(old, before), err
}

func (m *Member) peerEnrolment() string {
	return filepath.Join(m.dir, "peer", "msp", "signcerts", "cert.pem")
}

// lock keeps a member's keys from being changed by two at once.
func (m *Member) lock() (func(), error) {
	l := flock.New(filepath.Join(m.dir, "keys.lock"), flock.SetPermissions(0o600))
	if err := l.Lock(); err != nil {
		return nil, fmt.Errorf("locking the keys of %s: %w", m.Name, err)
	}
	return func() { _ = l.Unlock() }, nil
}

// settleKeys completes a renewal that was cut off.
func (m *Member) settleKeys() error {
	all := []credential.Files{{Cert: filepath.Join(m.dir, "peer", "tls", "cert.pem"), Key: filepath.Join(m.dir, "peer", "tls", "key.pem")}}
	for _, id := range []Identity{m.Gateway(), m.Client()} {
		all = append(all, credential.Files{Cert: id.TLSCert, Key: id.TLSKey})
		if id.Cert != "" {
			all = append(all, credential.Files{Cert: id.Cert, Key: id.Key})
		}
	}
	cut, err := filepath.Glob(filepath.Join(m.dir, "*", "*", "*cert.pem.next")) // of people and identities
	for _, next := range cut {
		cert := strings.TrimSuffix(next, ".next")
		all = append(all, credential.Files{Cert: cert, Key: strings.TrimSuffix(cert, "cert.pem") + "key.pem"})
	}
	for _, f := range all {
		err = errors.Join(err, f.Settle())
	}
	return err
}

// Certificate is one of the member's, as it lies in its directory.
type Certificate struct {
	Use       string // its place in the member's directory: gateway/tls-cert.pem
	File      string
	Authority string // "enrolment", "TLS", or "itself" for one that vouches for itself; "" for an authority
	Subject   string // common name
	Serial    string // hexadecimal
	From      time.Time
	Until     time.Time
	Revoked   bool
}

// Certificates lists the member's certificates by place, its authorities first.
func (m *Member) Certificates() ([]Certificate, error) {
	ca, tlsCA, err := m.authorities()
	if err != nil {
		return nil, err
	}
	revoked, err := m.lists()
	if err != nil {
		return nil, err
	}
	var all []Certificate
	err = filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(m.dir, path)
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{"data", "trust", "state", "cacerts", "tlscacerts"}, d.Name()) {
			return filepath.SkipDir
		}
		if d.IsDir() || d.Name() != "cert.pem" && d.Name() != "tls-cert.pem" {
			return nil
		}
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		cert, err := authority.ParseCert(raw)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		c := Certificate{
			Use: filepath.ToSlash(rel), File: path, Subject: cert.Subject.CommonName, Serial: cert.SerialNumber.Text(16),
			From: cert.NotBefore, Until: cert.NotAfter,
		}
		switch {
		case cert.IsCA:
		case ca.Issued(cert):
			c.Authority, c.Revoked = "enrolment", revoked[0] != nil && authority.Lists(revoked[0], cert.SerialNumber)
		case tlsCA.Issued(cert):
			c.Authority, c.Revoked = "TLS", revoked[1] != nil && authority.Lists(revoked[1], cert.SerialNumber)
		default:
			c.Authority = "itself"
		}
		all = append(all, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the certificates of %s: %w", m.Name, err)
	}
	slices.SortStableFunc(all, func(a, b Certificate) int {
		rank := func(c Certificate) int {
			if c.Authority == "" {
				return 0
			}
			return 1
		}
		return rank(a) - rank(b)
	})
	return all, nil
}

// watch starts a peer again whenever its certificates were renewed, until ctx ends.
func (n *Network) watch(ctx context.Context) {
	enrolment := func(m *Member) string {
		raw, _ := os.ReadFile(m.peerEnrolment()) // gone for a moment is as good as unchanged
		return string(raw)
	}
	seen := map[*Member]string{}
	for _, m := range n.members {
		seen[m] = enrolment(m)
	}
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, m := range n.members {
			now := enrolment(m)
			if now == "" || now == seen[m] {
				continue
			}
			began := time.Now()
			if err := n.supervisor.Restart(ctx, "peer-"+m.Name); err != nil {
				if ctx.Err() == nil {
					n.report.say(fmt.Sprintf("the peer of %s has new keys and doesn't come up with them: %v", m.Name, err))
				}
				continue
			}
			seen[m] = now
			n.report.done("the peer of "+m.Name+" runs with its new keys", began)
		}
	}
}
