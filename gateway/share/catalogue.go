package share

import (
	"encoding/json"
	"errors"
	"fmt"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
)

// The buckets of the key store. Every value is sealed there; an entry's name is
// hidden too.
const (
	bucketSecrets  = "secrets"  // the member's own private keys
	bucketRetired  = "retired"  // HPKE key id -> retiredKey
	bucketRecords  = "records"  // record id -> catalogued
	bucketPartKeys = "partkeys" // record id/part index -> 32-byte key
	bucketPatients = "patients" // patient -> ids of its records
	bucketHandles  = "handles"  // epoch|custodian|requester|patient -> handle
	bucketWhose    = "whose"    // handle -> whose, as the custodian
	bucketAbout    = "about"    // handle -> Patient, as the requester
	bucketNamed    = "named"    // a consent's name in the institution's own software -> its id
	bucketNames    = "names"    // consent id -> its names there
	bucketQuota    = "quota"    // member -> allowance, as an evaluator
	bucketTallies  = "tallies"  // day|member -> tallied, likewise
	bucketEvaluate = "evaluate" // epoch -> evaluatorKey
	bucketConsents = "consents" // consent id/version -> evidence; its digest -> evidence, where a later form took that place
	bucketSigners  = "signers"  // relationship/digest -> directive.Signer that this custodian agreed to
	bucketClaims   = "claims"   // digest on the ledger -> claimed
	bucketUsers    = "users"    // digest on the ledger -> acting
	bucketBroken   = "broken"   // id|handle of a break-glass request -> broken
	bucketNotes    = "notes"    // digest on the ledger -> claimed
	bucketReleases = "releases" // custodian/requester/permit id -> manifest chosen for it
	bucketLodgings = "lodgings" // record id -> lodging, on its way into escrow
	bucketKept     = "kept"     // custodian/record id -> kept for it in escrow
	bucketReceipts = "receipts" // permit id -> receipt on its way to the ledger
	// bucketEscrowIndex: custodian/hospital/handle -> ids of records kept in escrow
	bucketEscrowIndex = "escrowindex"

	bucketErasures  = "erasures"  // record id -> erasing
	bucketReceivers = "receivers" // record id/requester -> indices of the parts that it was released
	bucketOpened    = "opened"    // custodian/record id -> copied
	bucketCopies    = "copies"    // custodian/record id/part index -> partCopy
	bucketUploads   = "uploads"   // record id -> staging
	bucketStaged    = "staged"    // record id/number -> staged
	bucketWarned    = "warned"    // record id -> part index -> when the end of its retention was warned of
)

// Record is a record as its custodian knows it.
type Record struct {
	ID           string         `json:"id"`
	Patient      Patient        `json:"patient"`
	MediaType    string         `json:"mediaType"`
	Status       record.Status  `json:"status"` // "" until the anchor is committed
	Parts        []Part         `json:"parts"`
	Submitted    record.Instant `json:"submitted"`
	Supersedes   string         `json:"supersedes,omitempty"`
	SupersededBy string         `json:"supersededBy,omitempty"`
	Escrow       record.Hash    `json:"escrow,omitzero"` // digest of the package that the keys are escrowed in

	Erasure *record.Erasure `json:"erasure,omitempty"` // what is erased of it; of the whole record no part is listed any more
}

// Part is a part with what only those who may open it know.
type Part struct {
	record.Part
	ContentSize int64       `json:"contentSize"`      // bytes before sealing
	Content     record.Hash `json:"content,omitzero"` // SHA-256 of them; zero where it isn't known
}

// catalogued is a record's entry in the catalogue.
type catalogued struct {
	Record
	Content record.Hash   `json:"content"`           // SHA-256 of what was submitted, to know a retry by
	Size    int64         `json:"size,omitempty"`    // of the same, in bytes
	Subject string        `json:"subject,omitempty"` // which caller submitted it (From)
	Commit  ledger.Commit `json:"commit"`
	Lodged  *Lodged       `json:"lodged,omitempty"` // once it is in escrow with every holder
	By      access.Actor  `json:"by,omitzero"`      // who submitted it
}

// parts gives the record's parts as its anchor commits to them.
func (r Record) parts() []record.Part {
	parts := make([]record.Part, len(r.Parts))
	for i, p := range r.Parts {
		parts[i] = p.Part
	}
	return parts
}

// object is the name of a sealed part in the vault, and of its key in the store.
func object(recordID string, index int) string { return fmt.Sprintf("%s/%d", recordID, index) }

// reader is what both the store and a transaction on it can do.
type reader interface {
	Get(bucket, name string) ([]byte, error)
}

// load reads an entry of the store. ok is false where there is none.
func load[T any](r reader, bucket, name string) (value T, ok bool, err error) {
	raw, err := r.Get(bucket, name)
	if errors.Is(err, keys.ErrNotFound) {
		return value, false, nil
	}
	if err != nil {
		return value, false, fmt.Errorf("reading %s from the key store: %w", bucket, err)
	}
	if err := json.Unmarshal(raw, &value); err != nil {
		return value, false, fmt.Errorf("reading %s from the key store: %w", bucket, err)
	}
	return value, true, nil
}

// list reads all entries of a bucket.
func list[T any](store *keys.Store, bucket string) (map[string]T, error) {
	all := map[string]T{}
	if err := every(store, bucket, func(name string, value T) { all[name] = value }); err != nil {
		return nil, err
	}
	return all, nil
}

// every reads a bucket entry by entry.
func every[T any](store *keys.Store, bucket string, f func(name string, value T)) error {
	err := store.View(func(tx *keys.Tx) error { return each(tx, bucket, f) })
	if err != nil {
		return fmt.Errorf("reading %s from the key store: %w", bucket, err)
	}
	return nil
}

// each is every, within a transaction on the store.
func each[T any](tx *keys.Tx, bucket string, f func(name string, value T)) error {
	for e, err := range tx.List(bucket) {
		if err != nil {
			return err
		}
		var value T
		if err := json.Unmarshal(e.Value, &value); err != nil {
			return err
		}
		f(e.Name, value)
	}
	return nil
}

// save writes an entry within a transaction on the store.
func save(tx *keys.Tx, bucket, name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding an entry of %s: %w", bucket, err)
	}
	return tx.Put(bucket, name, raw)
}

// keep saves one entry in a transaction of its own.
func (g *Gateway) keep(bucket, name string, value any) error {
	err := g.Keys.Update(func(tx *keys.Tx) error { return save(tx, bucket, name, value) })
	if err != nil {
		return fmt.Errorf("writing %s to the key store: %w", bucket, err)
	}
	return nil
}
