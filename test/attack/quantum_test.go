package attack_test

import (
	"crypto/tls"
	"slices"
	"testing"

	"yitong/test/consortium"
)

// Who records today's traffic for a quantum computer: every connection agrees on its key by X25519 and
// ML-KEM-768 together (draft-ietf-tls-ecdhe-mlkem), with a client that offers both, as ours do.
func TestEveryDoorAgreesOnAPostQuantumKey(t *testing.T) {
	c := consortium.Shared(t)
	for _, m := range c.Network().Members() {
		doors := map[string]string{"gateway": m.GatewayAddress(), "peer": m.PeerAddress(), "peer's operations": m.OperationsAddress()}
		for _, o := range c.Network().Topology().Orderers {
			if o.Member == m.Name {
				doors["ordering node"], doors["ordering node's administration"], doors["ordering node's operations"] = o.Address(), o.AdminAddress(), o.OperationsAddress()
			}
		}
		config, err := m.Gateway().TLSConfig(m.TLSCA())
		if err != nil {
			t.Fatal(err)
		}
		for name, address := range doors {
			conn, err := tls.Dial("tcp", address, config)
			if err != nil {
				t.Errorf("%s's %s: %v", m.Name, name, err)
				continue
			}
			state := conn.ConnectionState()
			conn.Close()
			if state.Version != tls.VersionTLS13 || state.CurveID != tls.X25519MLKEM768 {
				t.Errorf("%s's %s agrees on %s with %s", m.Name, name, state.CurveID, tls.VersionName(state.Version))
			}

			// Control: what is negotiated is seen here; a client without it falls back.
			classical := config.Clone()
			classical.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
			if conn, err = tls.Dial("tcp", address, classical); err == nil {
				id := conn.ConnectionState().CurveID
				conn.Close()
				if !slices.Contains(classical.CurvePreferences, id) {
					t.Errorf("%s's %s: a classical client agrees on %s", m.Name, name, id)
				}
			}
		}
	}
}
