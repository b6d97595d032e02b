package fabric

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// set replaces the value at a dotted key, which must exist; one that starts
// with + is added to the mapping above it.
func set(root *yaml.Node, key string, value any) error {
	key, add := strings.CutPrefix(key, "+")
	at := root
	for part := range strings.SplitSeq(key, ".") {
		next := child(at, part)
		if next == nil && add && at.Kind == yaml.MappingNode {
			next = &yaml.Node{}
			at.Content = append(at.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: part}, next)
		}
		if next == nil {
			return fmt.Errorf("no key %s in the sample configuration; is it that of Fabric %s?", key, Release)
		}
		at = next
	}
	var replacement yaml.Node
	if err := replacement.Encode(value); err != nil {
		return fmt.Errorf("key %s: %w", key, err)
	}
	*at = replacement
	return nil
}

func child(m *yaml.Node, key string) *yaml.Node {
	if m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	return nil
}
