package contract

// Bounds on what a transaction may carry, touch and answer.
const (
	MaxDocument      = 64 << 10  // bytes of an argument
	MaxBatchDocument = 512 << 10 // bytes of an argument that carries a batch, or a founding
	MaxDepth         = 32        // nesting of an argument
	MaxBatch         = 64        // records, releases, receipts or ids in one
	MaxDirectives    = 256 << 10 // bytes of the consents of one relationship
	MaxVersions      = 1024      // versions of one consent, as directive.MaxVersion
	MaxPage          = 100       // entries of a page
	DefaultPage      = 50        // entries of a page of unstated size
)
