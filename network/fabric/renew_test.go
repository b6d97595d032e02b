package fabric_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"yitong/network/fabric"
	"yitong/network/fabric/authority"
	"yitong/network/topology"
)

func member(t *testing.T, dir, name string) (*topology.Topology, *fabric.Member) {
	t.Helper()
	top, members, err := fabric.Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if m.Name == name {
			return top, m
		}
	}
	t.Fatalf("there is no %s", name)
	return nil, nil
}

func serialOf(t *testing.T, raw []byte) *big.Int {
	t.Helper()
	cert, err := authority.ParseCert(raw)
	if err != nil {
		t.Fatal(err)
	}
	return cert.SerialNumber
}

func TestAPeersKeysAreRenewedTogetherAndTheOldOnesGo(t *testing.T) {
	dir := t.TempDir()
	created(t, dir, topology.Default())
	_, m := member(t, dir, "hospital-a")
	peer := filepath.Join(m.Dir(), "peer")
	for range 2 {
		old, err := m.Renew(fabric.PeerKeys)
		if err != nil || len(old) != 2 {
			t.Fatalf("%d old certificates, %v", len(old), err)
		}
		for _, pair := range [][2]string{
			{filepath.Join(peer, "tls", "cert.pem"), filepath.Join(peer, "tls", "key.pem")},
			{filepath.Join(peer, "msp", "signcerts", "cert.pem"), only(t, filepath.Join(peer, "msp", "keystore"))},
		} {
			if _, err := tls.LoadX509KeyPair(pair[0], pair[1]); err != nil {
				t.Errorf("%s: %v", pair[0], err)
			}
			raw, err := os.ReadFile(pair[0])
			if err != nil || slices.ContainsFunc(old, func(o []byte) bool { return bytes.Equal(o, raw) }) {
				t.Errorf("%s is the old one, %v", pair[0], err)
			}
		}
	}
}

func only(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 1 {
		t.Fatalf("%s holds %d files, %v", dir, len(all), err)
	}
	return filepath.Join(dir, all[0].Name())
}

func TestWhatIsRenewedAndWhatIsNot(t *testing.T) {
	dir := t.TempDir()
	created(t, dir, topology.Default())
	_, m := member(t, dir, "insurer")
	if _, err := m.Person("claims-handler", map[string]string{"yitong.role": "claims-handler"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Issue("auditing", authority.Client, nil); err != nil {
		t.Fatal(err)
	}
	for key, ok := range map[string]bool{
		fabric.GatewayTLS: true, fabric.GatewayEnrolment: true, fabric.ClientTLS: true, "user:claims-handler": true, "identity:auditing": true,
		"user:nobody": false, "identity:nobody": false, "user:../admin": false, "identity:../gateway": false, "admin": false, "orderer": false, "": false, "user:": false,
	} {
		if old, err := m.Renew(key); (err == nil) != ok || ok && len(old) == 0 {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// The member's authority refuses to revoke what its daemons show, before anything is written
// or sent; and itself always.
func TestWhatIsInUseIsNotRevoked(t *testing.T) {
	dir := t.TempDir()
	created(t, dir, topology.Default())
	top, m := member(t, dir, "hospital-b")
	all, err := m.Certificates()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d certificates are listed", len(all))
	}
	for _, c := range all {
		raw, err := os.ReadFile(c.File)
		if err != nil {
			t.Fatal(err)
		}
		err = m.Revoke(t.Context(), top, c.Authority == "", serialOf(t, raw))
		var used *fabric.CertificateInUse
		if err == nil || (c.Authority != "") != errors.As(err, &used) {
			t.Errorf("%s: %v", c.Use, err)
		}
	}
	if lists, err := filepath.Glob(filepath.Join(dir, "members", "*", "*", "*.crl")); err != nil || len(lists) > 0 {
		t.Errorf("lists were published: %v", lists)
	}
}
