package node

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
		if f.IsDir() || filepath.Ext(f.Name()) == ".crl" { // those are for credential.Revocations
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
