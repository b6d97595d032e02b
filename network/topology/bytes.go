package topology

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bytes is a size; in the file a number of bytes or one with KB or MB
// (1 KB = 1024 bytes).
type Bytes uint32

// UnmarshalYAML implements yaml.Unmarshaler.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	number, unit := strings.TrimSpace(n.Value), uint64(1)
	if s, ok := strings.CutSuffix(number, "MB"); ok {
		number, unit = s, 1<<20
	} else if s, ok := strings.CutSuffix(number, "KB"); ok {
		number, unit = s, 1<<10
	}
	v, err := strconv.ParseUint(strings.TrimSpace(number), 10, 32)
	if err != nil || v*unit > 1<<31 {
		return fmt.Errorf("line %d: size %q: want a number of bytes up to 2048MB, e.g. 524288, 512KB or 2MB", n.Line, n.Value)
	}
	*b = Bytes(v * unit)
	return nil
}

// MarshalYAML implements yaml.Marshaler.
func (b Bytes) MarshalYAML() (any, error) {
	switch {
	case b > 0 && b%(1<<20) == 0:
		return fmt.Sprintf("%dMB", b>>20), nil
	case b > 0 && b%(1<<10) == 0:
		return fmt.Sprintf("%dKB", b>>10), nil
	}
	return uint32(b), nil
}
