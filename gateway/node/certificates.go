package node

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"yitong/gateway/api"
)

// readTrust reads the TLS authority of every member: one PEM file each, named by
// its MSP id, with any extension.
func readTrust(folder string) (api.Trust, error) {
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the trust folder: %w", err)
	}
	trust := api.Trust{}
	for _, f := range files {
		if f.IsDir() {
			continue
		}
		ca, err := readCertificate(filepath.Join(folder, f.Name()))
		if err != nil {
			return nil, err
		}
		trust[strings.TrimSuffix(f.Name(), filepath.Ext(f.Name()))] = ca
	}
	if len(trust) == 0 {
		return nil, fmt.Errorf("the trust folder %s is empty", folder)
	}
	return trust, nil
}

func readCertificate(path string) (*x509.Certificate, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no PEM certificate", path)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate in %s: %w", path, err)
	}
	return c, nil
}

// certificate is the gateway's TLS certificate, read anew when its file changes,
// so that it can be renewed without a restart.
type certificate struct {
	pair Pair

	mu     sync.Mutex
	loaded *tls.Certificate
	as     time.Time
}

func newCertificate(pair Pair) (*certificate, error) {
	c := &certificate{pair: pair}
	_, err := c.current()
	return c, err
}

func (c *certificate) current() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.pair.Cert)
	if err == nil && c.loaded != nil && info.ModTime().Equal(c.as) {
		return c.loaded, nil
	}
	var loaded tls.Certificate
	if err == nil {
		loaded, err = tls.LoadX509KeyPair(c.pair.Cert, c.pair.Key)
	}
	switch {
	case err == nil:
		c.loaded, c.as = &loaded, info.ModTime()
	case c.loaded == nil:
		return nil, fmt.Errorf("loading the gateway's TLS certificate: %w", err)
	}
	return c.loaded, nil // while it is being replaced, the old one serves
}

func (c *certificate) forServer(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current() }
func (c *certificate) forClient(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.current()
}
