package gatewaytest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"yitong/cmd/yitong/client"
	"yitong/gateway/api"
)

// Members are the names of all members.
func (c *Consortium) Members() (names []string) {
	for _, m := range members {
		names = append(names, m.Name)
	}
	return names
}

// Profile is how a member's own software reaches its gateway.
func (c *Consortium) Profile(t testing.TB, member string) client.Profile {
	t.Helper()
	p, err := client.ReadProfile(c.dir, member)
	must(t, err)
	return p
}

// Roots are the authorities that a member's gateway is recognised by.
func (c *Consortium) Roots(t testing.TB, member string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(c.Profile(t, member).CA)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return roots
}

// Software calls a member's gateway as the member's own software, or as one of its people.
func (c *Consortium) Software(t testing.TB, member string, user ...string) *grpc.ClientConn {
	t.Helper()
	p := c.Profile(t, member)
	for _, u := range user {
		var err error
		p, err = p.For(u)
		must(t, err)
	}
	own, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	must(t, err)
	return c.dial(t, member, own)
}

// Gateway calls a member's gateway as another member's gateway.
func (c *Consortium) Gateway(t testing.TB, member, as string) *grpc.ClientConn {
	t.Helper()
	return c.dial(t, member, *c.shown[c.Profile(t, as).MSP])
}

func (c *Consortium) dial(t testing.TB, member string, own tls.Certificate) *grpc.ClientConn {
	t.Helper()
	conn, err := api.Dial(c.Profile(t, member).Gateway, &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: c.Roots(t, member), ServerName: "127.0.0.1", Certificates: []tls.Certificate{own},
	})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Renewed is the profile of a member's software once its certificate was renewed: another
// certificate, of the same name.
func (c *Consortium) Renewed(t testing.TB, member string) client.Profile {
	t.Helper()
	p := c.Profile(t, member)
	p.Cert, p.Key = filepath.Join(filepath.Dir(p.Cert), "renewed.pem"), filepath.Join(filepath.Dir(p.Cert), "renewed-key.pem")
	return p
}

// Revoke has every gateway take a certificate for one that its authority revoked.
func (c *Consortium) Revoke(cert *x509.Certificate) { c.revoked.Store(string(cert.Raw), true) }

// revocations are the certificates that were revoked.
type revocations struct{ sync.Map }

func (r *revocations) Revoked(_ string, cert *x509.Certificate) bool {
	_, ok := r.Load(string(cert.Raw))
	return ok
}
func (r *revocations) Changes(string) int { return 0 }

// Folder is where a member's gateway keeps its key store, its vault and its databases.
func (c *Consortium) Folder(member string) string { return filepath.Join(c.dir, "members", member) }

// Keys lists every state key that was ever written.
func (c *Consortium) Keys() (keys []string) {
	c.chain.mu.Lock()
	defer c.chain.mu.Unlock()
	for _, b := range c.chain.blocks {
		for _, tx := range b.Transactions {
			for _, w := range tx.Writes {
				keys = append(keys, w.Key)
			}
		}
	}
	return keys
}
