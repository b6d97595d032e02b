package fabric

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

const (
	builderName = "yitong"
	// builderVariable tells the builder where the peer's member keeps the
	// connections to its chaincode servers: a directory with LABEL/connection.json.
	builderVariable = "YITONG_CHAINCODE_CONNECTIONS"
	packageType     = "ccaas"
)

// Builder is a Fabric external builder for chaincode as a service: the programs
// detect, build and release that a peer runs when a chaincode is installed.
// They are links to the caller's executable, which calls Builder first in main:
//
//	if handled, exit := fabric.Builder(os.Args[0], os.Args[1:]); handled {
//		os.Exit(exit)
//	}
//
// What the peer learns from a package is only its label; where the server
// listens and how to authenticate to it are the member's own, read from
// connection.json beside the label. So a package holds no address and no key,
// and its id is the same at every member.
func Builder(argv0 string, args []string) (handled bool, exit int) {
	var err error
	switch filepath.Base(argv0) {
	case "detect": // SOURCE METADATA
		err = detect(args)
	case "build": // SOURCE METADATA OUTPUT
		err = build(args)
	case "release": // OUTPUT RELEASE
		err = release(args)
	default:
		return false, 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(argv0), err)
		return true, 1
	}
	return true, 0
}

type metadata struct {
	Type  string `json:"type"`
	Label string `json:"label"`
}

func detect(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want SOURCE METADATA, got %d arguments", len(args))
	}
	_, err := readMetadata(args[1])
	return err
}

func build(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("want SOURCE METADATA OUTPUT, got %d arguments", len(args))
	}
	m, err := readMetadata(args[1])
	if err != nil {
		return err
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(args[2], "metadata.json"), b, 0o600)
}

func release(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want OUTPUT RELEASE, got %d arguments", len(args))
	}
	m, err := readMetadata(args[0])
	if err != nil {
		return err
	}
	dir := os.Getenv(builderVariable)
	if dir == "" {
		return fmt.Errorf("%s isn't set in the peer's environment", builderVariable)
	}
	connection, err := os.ReadFile(filepath.Join(dir, m.Label, "connection.json"))
	if err != nil {
		return fmt.Errorf("this member runs no server for chaincode %s: %w", m.Label, err)
	}
	server := filepath.Join(args[1], "chaincode", "server")
	if err := os.MkdirAll(server, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(server, "connection.json"), connection, 0o600)
}

func readMetadata(dir string) (metadata, error) {
	var m metadata
	b, err := os.ReadFile(filepath.Join(dir, "metadata.json"))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, fmt.Errorf("metadata.json: %w", err)
	}
	if m.Type != packageType {
		return m, fmt.Errorf("type %q isn't %s", m.Type, packageType)
	}
	// The label becomes part of a path.
	if !filepath.IsLocal(m.Label) || filepath.Base(m.Label) != m.Label {
		return m, fmt.Errorf("label %q isn't a plain name", m.Label)
	}
	return m, nil
}
