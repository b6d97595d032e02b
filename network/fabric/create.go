package fabric

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"yitong/network/fabric/authority"
	"yitong/network/topology"
)

// create makes everything that a network has before it first runs, below dir:
// members/ and genesis.block. Nothing in it depends on where dir lies.
func create(dir string, t *topology.Topology) error {
	founders := make([]founder, len(t.Members))
	var all errgroup.Group
	for i := range t.Members {
		all.Go(func() (err error) {
			founders[i], err = newFounder(&t.Members[i])
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return err
	}
	m := material{members: map[string]memberCerts{}, orderers: map[string]ordererCerts{}}
	for i := range founders {
		f := &founders[i]
		m.members[f.member.Name] = memberCerts{ca: f.ca.Pair().Cert, tlsCA: f.tlsCA.Pair().Cert}
		f.dir = filepath.Join(dir, "members", f.member.Name)
	}
	for i := range founders {
		f := &founders[i]
		if err := f.identities(founders); err != nil {
			return fmt.Errorf("making the identities of %s: %w", f.member.Name, err)
		}
		for j := range t.Orderers {
			if o := &t.Orderers[j]; o.Member == f.member.Name {
				certs, err := f.orderer(o)
				if err != nil {
					return fmt.Errorf("making ordering node %s: %w", o.Name, err)
				}
				m.orderers[o.Name] = certs
			}
		}
	}
	block, err := genesis(t, m)
	if err != nil {
		return err
	}
	raw, err := proto.Marshal(block)
	if err != nil {
		return fmt.Errorf("writing the channel's first block: %w", err)
	}
	return writeFile(filepath.Join(dir, "genesis.block"), raw, 0o644)
}

// founder is a member at the moment it is made.
type founder struct {
	member    *topology.Member
	ca, tlsCA *authority.Authority
	dir       string
}

func newFounder(m *topology.Member) (founder, error) {
	ca, err := authority.New(m.MSP, m.Name+" enrolment authority")
	if err != nil {
		return founder{}, err
	}
	tlsCA, err := authority.New(m.MSP, m.Name+" TLS authority")
	return founder{member: m, ca: ca, tlsCA: tlsCA}, err
}

func (f *founder) identities(all []founder) error {
	at := func(name string) string { return filepath.Join(f.dir, name) }
	if err := writePair(at("ca"), "", f.ca.Pair()); err != nil {
		return err
	}
	if err := writePair(at("tlsca"), "", f.tlsCA.Pair()); err != nil {
		return err
	}
	for i := range all {
		if err := writeFile(filepath.Join(at("trust"), all[i].member.MSP+".pem"), all[i].tlsCA.Pair().Cert, 0o644); err != nil {
			return err
		}
	}
	local := hosts(f.member.Host)
	for _, p := range []struct {
		dir   string
		role  authority.Role // of the enrolment certificate; empty: none
		tls   authority.Role
		attrs map[string]string
		hosts []string
	}{
		{dir: "admin", role: authority.Admin, tls: authority.Admin},
		{dir: "gateway", role: authority.Client, tls: authority.Gateway, attrs: map[string]string{"role": "gateway"}, hosts: local},
		{dir: "client", tls: authority.Client},
	} {
		name := p.dir + "." + f.member.Name
		if p.role != "" {
			pair, err := f.ca.Enrol(name, p.role, p.attrs)
			if err != nil {
				return err
			}
			if err := writePair(at(p.dir), "", pair); err != nil {
				return err
			}
		}
		pair, err := f.tlsCA.TLS(name, p.tls, p.hosts...)
		if err != nil {
			return err
		}
		if err := writePair(at(p.dir), "tls-", pair); err != nil {
			return err
		}
	}
	_, err := f.node("peer", "peer", authority.Peer, local)
	return err
}

func (f *founder) orderer(o *topology.Orderer) (ordererCerts, error) {
	return f.node("orderer-"+o.Name, "orderer-"+o.Name, authority.Orderer, hosts(o.Host))
}

// node makes the MSP folder and TLS certificate of a peer or ordering node. The
// TLS pair lies in tls/.
func (f *founder) node(dir, name string, role authority.Role, hosts []string) (ordererCerts, error) {
	at := filepath.Join(f.dir, dir)
	enrolment, err := f.ca.Enrol(name+"."+f.member.Name, role, nil)
	if err != nil {
		return ordererCerts{}, err
	}
	pair, err := f.tlsCA.TLS(name+"."+f.member.Name, role, hosts...)
	if err != nil {
		return ordererCerts{}, err
	}
	for file, content := range map[string][]byte{
		"msp/cacerts/ca.pem":       f.ca.Pair().Cert,
		"msp/tlscacerts/tlsca.pem": f.tlsCA.Pair().Cert,
		"msp/signcerts/cert.pem":   enrolment.Cert,
		"msp/config.yaml":          []byte(nodeOUs),
		"tls/ca.pem":               f.tlsCA.Pair().Cert,
	} {
		if err := writeFile(filepath.Join(at, filepath.FromSlash(file)), content, 0o644); err != nil {
			return ordererCerts{}, err
		}
	}
	if err := writeFile(filepath.Join(at, "msp", "keystore", "key.pem"), enrolment.Key, 0o600); err != nil {
		return ordererCerts{}, err
	}
	return ordererCerts{identity: enrolment.Cert, tls: pair.Cert}, writePair(filepath.Join(at, "tls"), "", pair)
}

// nodeOUs tells an MSP folder to take roles from organisational units.
const nodeOUs = `NodeOUs:
  Enable: true
  ClientOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: client}
  PeerOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: peer}
  AdminOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: admin}
  OrdererOUIdentifier: {Certificate: cacerts/ca.pem, OrganizationalUnitIdentifier: orderer}
`
