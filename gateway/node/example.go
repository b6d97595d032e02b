package node

import _ "embed"

// Example is a configuration to begin with: a hospital's, with everything that must be there,
// and what is most often wanted beside it as comments.
//
//go:embed example.yaml
var Example string
