package api_test

import (
	"crypto/tls"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"yitong/chaincode/registry"
	"yitong/gateway/api"
	"yitong/gateway/credential"
	"yitong/gateway/share"
	"yitong/network/fabric/authority"
)

// A certificate that is replaced is shown at both doors, without a restart; one that can't be
// read isn't.
func TestBothDoorsShowTheCertificateThatTheirFilesHave(t *testing.T) {
	own := newAuthority(t, "own")
	dir := t.TempDir()
	files := credential.Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	replace := func() {
		t.Helper()
		p, err := own.TLS("gateway", authority.Gateway, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		if err := files.Replace(p.Cert, p.Key); err != nil {
			t.Fatal(err)
		}
	}
	replace()
	live, err := credential.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	c := api.Config{
		Gateway:     &share.Gateway{Config: share.Config{Self: registry.Candidate{MSP: "OwnMSP", Kind: registry.Hospital}}},
		Certificate: live.ForServer, Trust: api.Trust{"OwnMSP": root(t, own)}, Log: slog.New(slog.DiscardHandler),
	}
	var doors []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		doors = append(doors, l.Addr().String())
		if len(doors) == 1 {
			server := api.NewServer(c)
			go server.Serve(l)
			t.Cleanup(server.Stop)
			continue
		}
		web := api.NewWeb(c)
		go web.ServeTLS(l, "", "")
		t.Cleanup(func() { web.Close() })
	}
	shown := func() (serials [2]string) {
		t.Helper()
		for i, address := range doors {
			conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: pool(t, own), NextProtos: []string{"h2"}, Certificates: []tls.Certificate{pair(t, own, authority.Client)}})
			if err != nil {
				t.Fatal(err)
			}
			serials[i] = conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
			conn.Close()
		}
		return serials
	}
	before := shown()
	if again := shown(); again != before || before[0] != before[1] {
		t.Errorf("control: nothing was replaced, and %v became %v", before, again)
	}
	replace()
	after := shown()
	for deadline := time.Now().Add(time.Minute); after[0] == before[0] || after[1] == before[1]; after = shown() { // the files are looked at once a second
		if time.Now().After(deadline) {
			t.Fatalf("%v is shown, %v before", after, before)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if after[0] != after[1] {
		t.Errorf("the doors show %v", after)
	}
}
