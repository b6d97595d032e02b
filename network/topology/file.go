package topology

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds what Parse reads; a consortium of a hundred members is 40 KiB.
const maxFile = 1 << 20

// ReadFile reads and validates the topology in a file.
func ReadFile(name string) (*Topology, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading topology: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading topology %s: %w", name, err)
	}
	t, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("topology %s: %w", name, err)
	}
	return t, nil
}

// Parse reads one YAML document and validates it. Settings that it leaves out
// (not members, not ordering nodes) have the values of Default; a host left out
// is 127.0.0.1, an ordering node's is its member's; ports left out everywhere
// are those of Rebase(DefaultPort).
func Parse(b []byte) (*Topology, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	t := Default()
	t.Members, t.Orderers = nil, nil
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(t); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("empty: write one with the default's content and change it")
		}
		return nil, plain(err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one YAML document; keep one")
	}
	t.fill()
	if err := t.Validate(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Topology) fill() {
	for i := range t.Members {
		if t.Members[i].Host == "" {
			t.Members[i].Host = "127.0.0.1"
		}
	}
	for i := range t.Orderers {
		o := &t.Orderers[i]
		if o.Name == "" {
			o.Name = o.Member
		}
		if m := t.index(o.Member); o.Host == "" && m >= 0 {
			o.Host = t.Members[m].Host
		}
	}
	for _, p := range t.Ports() {
		if p.Port != 0 {
			return
		}
	}
	t.Rebase(DefaultPort)
}

var unknownField = regexp.MustCompile(`field (\S+) not found in type \S+`)

// plain turns yaml's words about Go types into words about the file.
func plain(err error) error {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return err
	}
	problems := make(Problems, len(te.Errors))
	for i, s := range te.Errors {
		problems[i] = unknownField.ReplaceAllString(s, `unknown key "$1"`)
	}
	return problems
}

// YAML is the topology as a documented file; Parse reads back the same.
func (t *Topology) YAML() ([]byte, error) {
	var doc yaml.Node
	if err := doc.Encode(t); err != nil {
		return nil, fmt.Errorf("writing topology: %w", err)
	}
	document(&doc, "")
	var b bytes.Buffer
	b.WriteString("# A Yitong consortium: who takes part, what each member runs and where.\n\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, fmt.Errorf("writing topology: %w", err)
	}
	return b.Bytes(), e.Close()
}

// document puts the comments at their keys; of a list only the first element.
func document(n *yaml.Node, path string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := path + n.Content[i].Value
			n.Content[i].HeadComment = comments[key]
			document(n.Content[i+1], key+".")
		}
	case yaml.SequenceNode:
		if len(n.Content) > 0 {
			document(n.Content[0], path)
		}
	}
}

var comments = map[string]string{
	"channel":                   "The Fabric channel that all members share.",
	"consensus":                 "bft (SmartBFT, at least 4 ordering nodes) or raft.",
	"endorsement":               "Who must endorse a transaction: majority, any, all, or a signature policy\nsuch as OutOf(2, 'HospitalA.peer', 'Insurer.peer', 'Regulator.peer').",
	"batch":                     "A block is cut at the first of these limits.",
	"database":                  "State database of the peers: goleveldb, embedded.",
	"log-level":                 "Of peers and ordering nodes: debug, info, warning or error.",
	"members":                   "One organisation each: one MSP, one peer, one gateway.",
	"members.kind":              "hospital, insurer or regulator.",
	"members.host":              "Where its processes listen and others find them.",
	"members.ports.operations":  "The peer's health and metrics.",
	"evaluators":                "Whose keys patients' handles are derived from: two or more members. By default the\nregulator and the first insurer: a hospital that is dead must not keep others from the\nhandles of its patients.",
	"orderers":                  "The ordering nodes and the members that run them.",
	"orderers.ports.admin":      "Channel participation API, for the member's administrator only.",
	"orderers.ports.operations": "Health and metrics.",
}

// Differences names every setting in which two topologies differ, by its key,
// with both values.
func Differences(have, want *Topology) ([]string, error) {
	a, err := have.settings()
	if err != nil {
		return nil, err
	}
	b, err := want.settings()
	if err != nil {
		return nil, err
	}
	keys := maps.Clone(a)
	maps.Copy(keys, b)
	var differences []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if a[key] != b[key] {
			differences = append(differences, fmt.Sprintf("%s: there %s, here %s", key, or(a[key], "absent"), or(b[key], "absent")))
		}
	}
	return differences, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// settings flattens the topology: members[0].ports.peer to 7051.
func (t *Topology) settings() (map[string]string, error) {
	var doc yaml.Node
	if err := doc.Encode(t); err != nil {
		return nil, fmt.Errorf("comparing topologies: %w", err)
	}
	flat := map[string]string{}
	flatten(&doc, "", flat)
	return flat, nil
}

func flatten(n *yaml.Node, path string, into map[string]string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			flatten(n.Content[i+1], strings.TrimPrefix(path+"."+n.Content[i].Value, "."), into)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			flatten(c, fmt.Sprintf("%s[%d]", path, i), into)
		}
	default:
		into[path] = n.Value
	}
}
