package seal

import (
	"fmt"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

// Evidence is what the requester knows from the ledger, read from its own peer.
type Evidence struct {
	Permit    string         // access id
	Custodian string         // MSP id
	Requester string         // MSP id: its own
	Expires   record.Instant // of the permit
	Manifest  record.Hash    // digest that the committed release carries
	Signing   VerifyingKey   // the custodian's registered key
	// Anchor reads an anchor; ok is false where the ledger has none.
	Anchor func(id string) (a record.Anchor, ok bool, err error)
}

// Mismatch is the first thing of a manifest that isn't what the ledger says.
type Mismatch struct {
	Record string // anchor id, "" where the fault isn't in one record
	Part   int    // index, -1 where the fault isn't in one part
	What   string
}

func (e *Mismatch) Error() string {
	switch {
	case e.Record == "":
		return "manifest refused: " + e.What
	case e.Part < 0:
		return fmt.Sprintf("manifest refused at record %s: %s", e.Record, e.What)
	}
	return fmt.Sprintf("manifest refused at part %d of record %s: %s", e.Part, e.Record, e.What)
}

// Verify holds a manifest against the ledger: first who signed it and for which
// permit, then the release's digest, then each record's anchor and each part's
// proof, and that each part's wrapped key is there, none twice. The error is a
// *Mismatch, what Anchor returned, or a refusal (erased): what was released has been
// erased since.
func (m *Manifest) Verify(e Evidence) error {
	if !m.signedBy(e.Signing) {
		return &Mismatch{Part: -1, What: "the signature is not the custodian's registered key's"}
	}
	if err := m.VerifyPlaces(e); err != nil {
		return err
	}
	for _, r := range m.Records {
		for _, s := range r.Parts {
			if s.Wrapped == nil {
				return &Mismatch{r.Anchor, s.Part.Index, "its key is missing"}
			}
		}
	}
	return nil
}

// VerifyPlaces is Verify without signature and keys: for which permit the manifest is,
// that it is the one on the ledger, and that its parts are those of the anchors.
func (m *Manifest) VerifyPlaces(e Evidence) error {
	whole := func(what string) error { return &Mismatch{Part: -1, What: what} }
	switch {
	case m.Permit != e.Permit:
		return whole("it is for another permit")
	case m.Custodian != e.Custodian:
		return whole("it names another custodian")
	case m.Requester != e.Requester:
		return whole("it names another requester")
	case m.Expires != e.Expires:
		return whole("it names another expiry than the permit")
	case m.Digest() != e.Manifest:
		return whole("its digest is not the one that the ledger carries")
	}
	seen := map[string]bool{}
	for _, r := range m.Records {
		if seen[r.Anchor] {
			return &Mismatch{r.Anchor, -1, "the record is listed twice"}
		}
		seen[r.Anchor] = true
		if err := r.verify(e); err != nil {
			return err
		}
	}
	return nil
}

func (c Content) verify(e Evidence) error {
	a, ok, err := e.Anchor(c.Anchor)
	switch {
	case err != nil:
		return fmt.Errorf("read anchor of record %s: %w", c.Anchor, err)
	case !ok:
		return &Mismatch{c.Anchor, -1, "the ledger has no such record"}
	case a.ID != c.Anchor || a.Custodian != e.Custodian:
		return &Mismatch{c.Anchor, -1, "the record is another custodian's"}
	case a.Status == record.Retracted:
		return &Mismatch{c.Anchor, -1, "the record is retracted"}
	case a.Root != c.Root || a.Parts != c.Total:
		return &Mismatch{c.Anchor, -1, "root or number of parts is not what was anchored"}
	}
	if a.Status == record.Erased {
		return a.Gone() // no lie of the custodian's: it was erased since
	}
	previous := -1
	for _, s := range c.Parts {
		switch {
		case s.Part.Validate() != nil:
			return &Mismatch{c.Anchor, s.Part.Index, "it is not a part that could have been anchored"}
		case s.Part.Index <= previous:
			return &Mismatch{c.Anchor, s.Part.Index, "the parts are not in order, or one is listed twice"}
		case s.Proof.Index != s.Part.Index || !s.Proof.Verify(a.Root, s.Part.Leaf(), a.Parts):
			return &Mismatch{c.Anchor, s.Part.Index, "it is not part of what was anchored"}
		case a.Erasure.Covers(s.Part.Index):
			return refusal.New(record.Gone, fmt.Sprintf("part %d of record %s is erased", s.Part.Index, c.Anchor), "a new request, for what is left")
		}
		previous = s.Part.Index
	}
	return nil
}
