package fabric

import (
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"yitong/network/topology"
)

// Pack is for the test of packages and builder.
var Pack = pack

// Stand-ins for Fabric's programs and sample configurations: enough to open a
// network that never starts.
func Unstarted(dir string) (Binaries, error) {
	n := &Network{dir: dir, topology: topology.Default()}
	m := &Member{Member: n.topology.Members[0]}
	b := Binaries{Peer: "peer", Orderer: "orderer", CoreYAML: filepath.Join(dir, "core.yaml"), OrdererYAML: filepath.Join(dir, "orderer.yaml")}
	for file, s := range map[string]settings{b.CoreYAML: n.peerSettings(m), b.OrdererYAML: n.ordererSettings(m, &n.topology.Orderers[0])} {
		root := map[string]any{}
		for key := range s {
			at := root
			parts := strings.Split(strings.TrimPrefix(key, "+"), ".")
			for _, p := range parts[:len(parts)-1] {
				if at[p] == nil {
					at[p] = map[string]any{}
				}
				at = at[p].(map[string]any)
			}
			at[parts[len(parts)-1]] = nil
		}
		out, err := yaml.Marshal(root)
		if err != nil {
			return b, err
		}
		if err := os.WriteFile(file, out, 0o600); err != nil {
			return b, err
		}
	}
	return b, nil
}
