package fabric

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
)

// pack makes the chaincode package of a label and its id, LABEL:SHA-256. The
// bytes depend on the label alone, so the id is known before any peer installs
// it and servers can start at the same time.
func pack(label string) (id string, content []byte, err error) {
	code, err := archive("connection.json", []byte("{}\n"))
	if err != nil {
		return "", nil, err
	}
	about, err := json.Marshal(metadata{Type: packageType, Label: label})
	if err != nil {
		return "", nil, fmt.Errorf("packing chaincode %s: %w", label, err)
	}
	content, err = archive("metadata.json", about, "code.tar.gz", code)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("%s:%x", label, sha256.Sum256(content)), content, nil
}

// archive is a tar.gz of names and contents in turn, without times or owners.
func archive(files ...any) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for i := 0; i+1 < len(files); i += 2 {
		name, content := files[i].(string), files[i+1].([]byte)
		if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			return nil, fmt.Errorf("packing %s: %w", name, err)
		}
		if _, err := t.Write(content); err != nil {
			return nil, fmt.Errorf("packing %s: %w", name, err)
		}
	}
	if err := t.Close(); err != nil {
		return nil, fmt.Errorf("packing chaincode: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("packing chaincode: %w", err)
	}
	return b.Bytes(), nil
}
