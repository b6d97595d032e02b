package fabric

import (
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"yitong/network/topology"
)

// settings override a sample configuration: dotted keys to values. A key that
// the sample has only as a comment starts with +.
type settings map[string]any

// timeWindow is how far a proposal's timestamp may lie from the peer's clock.
// Fabric's default of 15 minutes would let an old request be backdated as far.
const timeWindow = "2m"

// peerSettings configure the member's peer. Paths are relative to its directory
// where Fabric allows, absolute otherwise.
func (n *Network) peerSettings(m *Member) settings {
	dir := filepath.Join(m.dir, "peer")
	data := filepath.Join(dir, "data")
	roots := make([]string, 0, len(n.topology.Members))
	for _, other := range n.topology.Members {
		roots = append(roots, filepath.Join(m.TrustDir(), other.MSP+".pem"))
	}
	address := m.PeerAddress()
	return settings{
		"peer.id":                      m.Name,
		"peer.networkId":               n.topology.Name,
		"peer.listenAddress":           address,
		"peer.address":                 address,
		"+peer.chaincodeListenAddress": "127.0.0.1:0", // only for chaincode that dials in; ours never does
		"peer.localMspId":              m.MSP,
		"peer.mspConfigPath":           filepath.Join(dir, "msp"),
		"peer.fileSystemPath":          data,
		"peer.gossip.bootstrap":        address,
		"peer.gossip.endpoint":         address,
		"peer.gossip.externalEndpoint": address,
		// Peers that join at the same moment refuse each other, and Fabric's
		// default would have them wait 25 s before they try again.
		"peer.gossip.reconnectInterval": "500ms",
		// Until a peer knows the others' heights and chaincodes, its gateway
		// service finds nobody to endorse; the default is 4 s.
		"peer.gossip.requestStateInfoInterval": "1s",
		"peer.gossip.publishStateInfoInterval": "1s",
		"peer.authentication.timewindow":       timeWindow,
		"peer.gateway.dialTimeout":             "5s",
		"peer.tls.enabled":                     true,
		"peer.tls.clientAuthRequired":          true,
		"peer.tls.cert.file":                   filepath.Join(dir, "tls", "cert.pem"),
		"peer.tls.key.file":                    filepath.Join(dir, "tls", "key.pem"),
		"peer.tls.rootcert.file":               filepath.Join(dir, "tls", "ca.pem"),
		"peer.tls.clientRootCAs.files":         roots,
		"peer.tls.clientCert.file":             filepath.Join(dir, "tls", "cert.pem"),
		"peer.tls.clientKey.file":              filepath.Join(dir, "tls", "key.pem"),
		"vm.endpoint":                          "", // no Docker
		"chaincode.externalBuilders":           []map[string]any{{"name": builderName, "path": filepath.Join(n.dir, "builder"), "propagateEnvironment": []string{builderVariable}}},
		"ledger.state.stateDatabase":           n.topology.Database,
		"ledger.snapshots.rootDir":             filepath.Join(data, "snapshots"),
		"operations.listenAddress":             m.OperationsAddress(),
		"operations.tls.enabled":               true,
		"operations.tls.cert.file":             filepath.Join(dir, "tls", "cert.pem"),
		"operations.tls.key.file":              filepath.Join(dir, "tls", "key.pem"),
		"operations.tls.clientAuthRequired":    true,
		"operations.tls.clientRootCAs.files":   []string{m.TLSCA()},
		"metrics.provider":                     "prometheus",

		// By default a peer that got no blocks for a while asks for them again after up to
		// an hour, long after the ordering nodes are back, and stays for half a minute with
		// one that is behind the others, as one is that was just started again.
		"peer.deliveryclient.reConnectBackoffThreshold": "5s",
		"peer.deliveryclient.blockCensorshipTimeoutKey": "10s",

		// A member whose chaincode doesn't answer must not use up the time that a gateway has for
		// all endorsements (15 s). While an invocation goes on its peer commits nothing, so that it
		// has the time that a gateway waits for a read. Fabric's default is 30 s for both.
		"peer.gateway.endorsementTimeout": "7s",
		"chaincode.executetimeout":        "10s",
	}
}

// ordererSettings configure one ordering node of the member.
func (n *Network) ordererSettings(m *Member, o *topology.Orderer) settings {
	dir := filepath.Join(m.dir, "orderer-"+o.Name)
	data := filepath.Join(dir, "data")
	cert, key := filepath.Join(dir, "tls", "cert.pem"), filepath.Join(dir, "tls", "key.pem")
	roots := make([]string, 0, len(n.topology.Members))
	for _, other := range n.topology.Members {
		roots = append(roots, filepath.Join(m.TrustDir(), other.MSP+".pem"))
	}
	return settings{
		"General.ListenAddress":             o.Host,
		"General.ListenPort":                o.Ports.Orderer,
		"General.LocalMSPID":                m.MSP,
		"General.LocalMSPDir":               filepath.Join(dir, "msp"),
		"General.Authentication.TimeWindow": timeWindow,
		"General.TLS.Enabled":               true,
		"General.TLS.PrivateKey":            key,
		"General.TLS.Certificate":           cert,
		"General.TLS.RootCAs":               roots,
		// Where certificates are required, Fabric's delivery asks for requests bound
		// to the client's, and SmartBFT's own catching up doesn't bind its own: a
		// node that fell behind would stay there and, after two crashes, the ledger
		// with it. Without, consensus messages are still taken only from the
		// certificates in the channel's configuration, and transactions and
		// requests for blocks only with a member's signature.
		"General.TLS.ClientAuthRequired": n.topology.Consensus == topology.Raft,
		"General.TLS.ClientRootCAs":      roots,
		"General.Backoff.MaxDelay":       "5s",
		"FileLedger.Location":            filepath.Join(data, "ledger"),
		"Consensus.WALDir":               filepath.Join(data, "consensus", "wal"),
		"Consensus.SnapDir":              filepath.Join(data, "consensus", "snap"),
		"ChannelParticipation.Enabled":   true,
		"Admin.ListenAddress":            o.AdminAddress(),
		"Admin.TLS.Enabled":              true,
		"Admin.TLS.PrivateKey":           key,
		"Admin.TLS.Certificate":          cert,
		"Admin.TLS.ClientAuthRequired":   true,
		// The administrator's certificate itself: no other of the member's
		// certificates may add or remove channels.
		"Admin.TLS.ClientRootCAs":           []string{m.Admin().TLSCert},
		"Operations.ListenAddress":          o.OperationsAddress(),
		"Operations.TLS.Enabled":            true,
		"Operations.TLS.PrivateKey":         key,
		"Operations.TLS.Certificate":        cert,
		"Operations.TLS.ClientAuthRequired": true,
		"Operations.TLS.ClientRootCAs":      []string{m.TLSCA()},
		"Metrics.Provider":                  "prometheus",
	}
}

// writeConfig writes Fabric's sample configuration with the settings changed.
// A key that the sample lacks is an error: it would be ignored in silence.
func writeConfig(sample, name string, s settings) error {
	b, err := os.ReadFile(sample)
	if err != nil {
		return fmt.Errorf("reading Fabric's sample configuration: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(b, &root); err != nil || len(root.Content) != 1 {
		return fmt.Errorf("reading Fabric's sample configuration %s: not a YAML document (%v)", sample, err)
	}
	for key, value := range s {
		if err := set(root.Content[0], key, value); err != nil {
			return fmt.Errorf("configuring %s: %w", name, err)
		}
	}
	out, err := yaml.Marshal(root.Content[0])
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return writeFile(name, out, 0o600)
}
