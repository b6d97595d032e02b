package node

// Copies says what a gateway keeps of the parts that it opens.
type Copies struct {
	// Off keeps nothing: software that needs a part again has it released again. A transfer
	// that breaks off begins anew at the next call.
	Off bool `yaml:"off,omitempty"`
}
