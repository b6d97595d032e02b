package contract

// Bounds on what a transaction may carry, touch and answer.
const (
	MaxDocument      = 64 << 10  // bytes of an argument
	MaxBatchDocument = 512 << 10 // bytes of an argument that carries a batch, or a founding
	MaxDepth         = 32        // nesting of an argument
	MaxBatch         = 64        // records, releases, receipts or ids in one
	MaxConsents      = 64        // consents in one relationship, withdrawn ones included
	MaxVersions      = 1024      // versions of one consent
	MaxPage          = 100       // entries of a page
	DefaultPage      = 50        // entries of a page of unstated size
	MaxParts         = 1 << 16   // parts of a record
)
