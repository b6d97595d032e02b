package fabric

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"yitong/network/fabric/authority"
	"yitong/network/topology"
)

// Member is one organisation's part of the network's directory.
type Member struct {
	topology.Member
	dir string // DIR/members/NAME
}

// Identity is somebody's certificates and keys of one member, as paths of PEM
// files. The enrolment pair signs on the ledger, the TLS pair opens connections.
type Identity struct {
	MSP             string
	Cert, Key       string
	TLSCert, TLSKey string
}

// Dir is the member's directory, DIR/members/NAME. What the caller keeps for
// the member (its gateway's vault, say) belongs below it too.
func (m *Member) Dir() string { return m.dir }

// TrustDir holds every member's TLS authority, one PEM file by MSP id:
// HospitalA.pem. It is what a gateway needs to know the others.
func (m *Member) TrustDir() string { return filepath.Join(m.dir, "trust") }

// TLSCA is the certificate of this member's TLS authority.
func (m *Member) TLSCA() string { return filepath.Join(m.dir, "tlsca", "cert.pem") }

// Admin may approve chaincode, join channels and sign for the member. Only the
// network's own software needs it.
func (m *Member) Admin() Identity { return m.identity("admin") }

// Gateway signs the member's transactions: an enrolment certificate with OU
// client and the attribute role=gateway, and a TLS certificate with OU gateway
// that serves the member's host and opens connections to the others.
func (m *Member) Gateway() Identity { return m.identity("gateway") }

// Client is for the member's own software and CLI: a TLS certificate with OU
// client; Cert and Key are empty, since it signs nothing on the ledger.
func (m *Member) Client() Identity {
	id := m.identity("client")
	id.Cert, id.Key = "", ""
	return id
}

// Identity is one made by Issue.
func (m *Member) Identity(name string) (Identity, error) {
	id := m.identity(filepath.Join("identities", name))
	if _, err := os.Stat(id.Cert); err != nil {
		return Identity{}, fmt.Errorf("identity %s of %s: %w", name, m.Name, err)
	}
	return id, nil
}

func (m *Member) identity(name string) Identity {
	at := func(file string) string { return filepath.Join(m.dir, name, file) }
	return Identity{MSP: m.MSP, Cert: at("cert.pem"), Key: at("key.pem"), TLSCert: at("tls-cert.pem"), TLSKey: at("tls-key.pem")}
}

// Person is somebody who works with the member's gateway in a role: a TLS certificate
// with OU client, the name and member as common name, and the attribute. It is made at
// the first call; Cert and Key are empty, since a person signs nothing on the ledger.
func (m *Member) Person(name string, attributes map[string]string) (Identity, error) {
	if !identityShape.MatchString(name) {
		return Identity{}, fmt.Errorf("name %q: use up to 63 letters, digits, dots, hyphens and underscores", name)
	}
	dir := filepath.Join(m.dir, "people", name)
	id := Identity{MSP: m.MSP, TLSCert: filepath.Join(dir, "tls-cert.pem"), TLSKey: filepath.Join(dir, "tls-key.pem")}
	if there(dir) {
		return id, nil
	}
	_, ca, err := m.authorities()
	if err != nil {
		return Identity{}, err
	}
	pair, err := ca.Person(name+"."+m.Name, attributes)
	if err != nil {
		return Identity{}, err
	}
	return id, m.place(dir, func(aside string) error { return writePair(aside, "tls-", pair) })
}

// place makes a directory whole or not at all.
func (m *Member) place(dir string, fill func(aside string) error) error {
	aside := dir + ".new"
	if err := os.RemoveAll(aside); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	if err := fill(aside); err != nil {
		return err
	}
	if err := os.Rename(aside, dir); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	return nil
}

var identityShape = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Issue makes a further identity of the member, with a role and attributes that
// chaincode can read. It fails with fs.ErrExist when the name is taken.
func (m *Member) Issue(name string, role authority.Role, attributes map[string]string) (Identity, error) {
	if !identityShape.MatchString(name) {
		return Identity{}, fmt.Errorf("identity name %q: use up to 63 letters, digits, dots, hyphens and underscores", name)
	}
	dir := filepath.Join(m.dir, "identities", name)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return Identity{}, fmt.Errorf("issuing identity %s of %s: %w", name, m.Name, fs.ErrExist)
	}
	ca, tlsCA, err := m.authorities()
	if err != nil {
		return Identity{}, err
	}
	aside := dir + ".new"
	if err := os.RemoveAll(aside); err != nil {
		return Identity{}, fmt.Errorf("issuing identity %s: %w", name, err)
	}
	enrolment, err := ca.Enrol(name+"."+m.Name, role, attributes)
	if err != nil {
		return Identity{}, err
	}
	tlsRole := role
	pair, err := tlsCA.TLS(name+"."+m.Name, tlsRole, m.hosts()...)
	if err != nil {
		return Identity{}, err
	}
	if err := writePair(aside, "", enrolment); err != nil {
		return Identity{}, err
	}
	if err := writePair(aside, "tls-", pair); err != nil {
		return Identity{}, err
	}
	if err := os.Rename(aside, dir); err != nil {
		return Identity{}, fmt.Errorf("issuing identity %s: %w", name, err)
	}
	return m.Identity(name)
}

// IssueTLS makes a TLS certificate in dir (tls-cert.pem, tls-key.pem), for
// another server or client of the member.
func (m *Member) IssueTLS(dir, name string, role authority.Role) (Identity, error) {
	_, ca, err := m.authorities()
	if err != nil {
		return Identity{}, err
	}
	pair, err := ca.TLS(name+"."+m.Name, role, m.hosts()...)
	if err != nil {
		return Identity{}, err
	}
	if err := writePair(dir, "tls-", pair); err != nil {
		return Identity{}, err
	}
	return Identity{MSP: m.MSP, TLSCert: filepath.Join(dir, "tls-cert.pem"), TLSKey: filepath.Join(dir, "tls-key.pem")}, nil
}

// hosts are the names by which the member's servers are called.
func (m *Member) hosts() []string { return hosts(m.Host) }

func hosts(host string) []string {
	all := []string{host}
	for _, h := range []string{"localhost", "127.0.0.1", "::1"} {
		if h != host {
			all = append(all, h)
		}
	}
	return all
}

func (m *Member) authorities() (ca, tlsCA *authority.Authority, err error) {
	load := func(dir string) (*authority.Authority, error) {
		var p authority.Pair
		var err error
		if p.Cert, err = os.ReadFile(filepath.Join(m.dir, dir, "cert.pem")); err != nil {
			return nil, fmt.Errorf("reading authority of %s: %w", m.Name, err)
		}
		if p.Key, err = os.ReadFile(filepath.Join(m.dir, dir, "key.pem")); err != nil {
			return nil, fmt.Errorf("reading authority of %s: %w", m.Name, err)
		}
		return authority.Load(p)
	}
	if ca, err = load("ca"); err != nil {
		return nil, nil, err
	}
	tlsCA, err = load("tlsca")
	return ca, tlsCA, err
}

// TLSConfig is for opening connections as this identity to servers of the
// members whose TLS authorities lie in the files.
func (id Identity) TLSConfig(authorities ...string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(id.TLSCert, id.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("loading TLS certificate: %w", err)
	}
	pool := x509.NewCertPool()
	for _, file := range authorities {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("loading TLS authority: %w", err)
		}
		if !pool.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("loading TLS authority: no certificate in %s", file)
		}
	}
	return &tls.Config{
		RootCAs: pool, MinVersion: tls.VersionTLS12,
		// Always this one. Given as Certificates, it would be left out where the
		// server names other authorities than the certificate's issuer, and the
		// ordering nodes' admin port names no authority but a certificate itself.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}, nil
}

func writePair(dir, prefix string, p authority.Pair) error {
	if err := writeFile(filepath.Join(dir, prefix+"cert.pem"), p.Cert, 0o644); err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, prefix+"key.pem"), p.Key, 0o600)
}

// writeFile makes the directory too.
func writeFile(name string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("making %s: %w", filepath.Dir(name), err)
	}
	if err := os.WriteFile(name, content, mode); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
