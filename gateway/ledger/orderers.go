package ledger

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"

	"yitong/gateway/credential"
)

// Orderer is an ordering node as the channel's configuration names it.
type Orderer struct {
	Address string // host:port
	MSP     string // of the member that runs it
	roots   *x509.CertPool
}

// Orderers reads the ordering nodes from the channel's configuration on the own peer, and how
// many of them must work for anything to be ordered.
func (l *Ledger) Orderers(ctx context.Context) (all []Orderer, quorum int, err error) {
	raw, err := l.evaluate(ctx, "cscc", "GetConfigBlock", [][]byte{[]byte(l.cfg.Channel)}, true)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the channel's configuration: %w", err)
	}
	group, err := configGroup(raw)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the channel's configuration: %w", err)
	}
	ordering := group.GetGroups()["Orderer"]
	for _, org := range ordering.GetGroups() {
		var endpoints common.OrdererAddresses
		var wrapped msp.MSPConfig
		var fabric msp.FabricMSPConfig
		if err := errors.Join(
			unmarshal("ordering addresses", org.GetValues()["Endpoints"].GetValue(), &endpoints),
			unmarshal("an organisation", org.GetValues()["MSP"].GetValue(), &wrapped),
			unmarshal("an organisation", wrapped.GetConfig(), &fabric),
		); err != nil {
			return nil, 0, err
		}
		roots := x509.NewCertPool()
		for _, pem := range fabric.GetTlsRootCerts() {
			roots.AppendCertsFromPEM(pem)
		}
		for _, address := range endpoints.GetAddresses() {
			all = append(all, Orderer{Address: address, MSP: fabric.GetName(), roots: roots})
		}
	}
	slices.SortFunc(all, func(a, b Orderer) int { return strings.Compare(a.Address, b.Address) })
	var consensus orderer.ConsensusType
	if err := unmarshal("the consensus type", ordering.GetValues()["ConsensusType"].GetValue(), &consensus); err != nil {
		return nil, 0, err
	}
	quorum = len(all)/2 + 1 // Raft
	if strings.EqualFold(consensus.GetType(), "BFT") {
		f := (len(all) - 1) / 3
		quorum = (len(all)+f)/2 + 1 // SmartBFT: ceil((n+f+1)/2)
	}
	return all, quorum, nil
}

func configGroup(block []byte) (*common.ConfigGroup, error) {
	var b common.Block
	var e common.Envelope
	var p common.Payload
	var c common.ConfigEnvelope
	if err := unmarshal("a block", block, &b); err != nil {
		return nil, err
	}
	if len(b.GetData().GetData()) != 1 {
		return nil, errors.New("a configuration block has one transaction")
	}
	err := errors.Join(unmarshal("an envelope", b.GetData().GetData()[0], &e), unmarshal("a payload", e.GetPayload(), &p), unmarshal("a configuration", p.GetData(), &c))
	return c.GetConfig().GetChannelGroup(), err
}

// Greet says whether an ordering node can be reached: it answers at its address, with a
// certificate of its member's. It isn't asked to order anything.
func (l *Ledger) Greet(ctx context.Context, o Orderer) error {
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.roots, ServerName: host, NextProtos: []string{"h2"}}
	if l.cfg.TLSCert != "" {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			cert, key, err := credential.Files{Cert: l.cfg.TLSCert, Key: l.cfg.TLSKey}.Read()
			if err != nil {
				return nil, err
			}
			pair, err := tls.X509KeyPair(cert, key)
			return &pair, err
		}
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", o.Address)
	if err != nil {
		return err
	}
	return conn.Close()
}
