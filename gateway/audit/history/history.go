// Package history answers questions about the past from the projection of the ledger.
//
//	who saw what of this patient, why, and was it allowed   Entries, Disclosures
//	how a consent came to be what it is                     Consent
//	what a member did, what was denied and why              Entries, Denials
//	what was let go and never acknowledged                  Unreceipted
//	which consents end soon                                 Expiring
//	who asks unlike before                                  Changes
//	who broke the glass, how the reviews stand              Emergencies, EmergencyRates
//
// Each question is answered from one snapshot, and each answer says on which block it
// stands (AsOf), so that two answers can be compared and one can be proved later.
//
// Questions are the member's own: its peer holds the whole ledger, and so does its
// projection. A patient is known here only as the handle of a relationship; whoever
// asks by an identifier has its own gateway turn it into handles (share.Relationships).
package history

import (
	"context"
	"database/sql"
	"fmt"
	"sort"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/gateway/audit/projection"
)

// History answers questions. It is safe for concurrent use.
type History struct {
	Database *projection.Database
}

// AsOf is what an answer stands on.
type AsOf = projection.Checkpoint

// Filter says which entries are wanted; a zero field leaves all.
type Filter struct {
	// About limits to relationships, and Records to anchors by their ids; both
	// together are a patient. Set but empty, they match nothing.
	About   []contract.Relationship
	Records []string

	Member    string // MSP id of who did it
	Custodian string
	Requester string
	Object    string // id of a consent, access, record, motion or member
	Kinds     []projection.Kind
	Outcomes  []projection.Outcome
	Purpose   string // HL7 v3 PurposeOfUse, exactly
	Reason    string
	Time      record.Period // of the claimed time
}

// snapshot is one read of the database, and what it stands on.
type snapshot struct {
	ctx     context.Context
	tx      *sql.Tx
	db      *projection.Database
	asOf    AsOf
	members directory
}

// read answers one question from one snapshot.
func (h History) read(ctx context.Context, question func(s *snapshot) error) (AsOf, error) {
	tx, err := h.Database.Snapshot(ctx)
	if err != nil {
		return AsOf{}, err
	}
	defer tx.Rollback() // it has only read
	s := &snapshot{ctx: ctx, tx: tx, db: h.Database}
	if s.asOf, err = projection.CheckpointOf(ctx, tx); err != nil {
		return AsOf{}, err
	}
	if s.members, err = readDirectory(s); err != nil {
		return s.asOf, err
	}
	return s.asOf, question(s)
}

// each runs a query and hands its rows on.
func (s *snapshot) each(query string, args []any, row func(*sql.Rows) error) error {
	rows, err := s.tx.QueryContext(s.ctx, s.db.Bind(query), args...)
	if err != nil {
		return fmt.Errorf("asking the audit database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := row(rows); err != nil {
			return fmt.Errorf("reading the audit database: %w", err)
		}
	}
	return rows.Err()
}

// directory knows what every member was when.
type directory map[string][]standing

// standing is a member from one entry on.
type standing struct {
	entry               int64
	name, kind, gateway string
}

func readDirectory(s *snapshot) (directory, error) {
	d := directory{}
	err := s.each(`SELECT msp, entry, name, kind, gateway FROM members ORDER BY msp, entry`, nil, func(rows *sql.Rows) error {
		var msp string
		var one standing
		err := rows.Scan(&msp, &one.entry, &one.name, &one.kind, &one.gateway)
		d[msp] = append(d[msp], one)
		return err
	})
	return d, err
}

// at is what the member was when an entry was made; the entry that founds or admits it
// is its first.
func (d directory) at(msp string, entry int64) standing {
	all := d[msp]
	i := sort.Search(len(all), func(i int) bool { return all[i].entry > entry })
	switch {
	case i > 0:
		return all[i-1]
	case len(all) > 0:
		return all[0] // whoever founds acts an entry before it is written
	}
	return standing{}
}

// name is what the member is called now.
func (d directory) name(msp string) string {
	if all := d[msp]; len(all) > 0 {
		return all[len(all)-1].name
	}
	return msp
}

// Member is a member as the registry had it last.
type Member struct {
	MSP, Name string
	Gateway   string // host:port
}

// Members lists all members there ever were, by their MSP ids.
func (h History) Members(ctx context.Context) (list []Member, err error) {
	_, err = h.read(ctx, func(s *snapshot) error {
		for _, msp := range sortedKeys(s.members) {
			last := s.members[msp][len(s.members[msp])-1]
			list = append(list, Member{MSP: msp, Name: last.name, Gateway: last.gateway})
		}
		return nil
	})
	return list, err
}

// Knows reports whether the ledger tells of a member by this MSP id: that it was in the registry,
// sent something or keeps records.
func (h History) Knows(ctx context.Context, msp string) (known bool, err error) {
	_, err = h.read(ctx, func(s *snapshot) error {
		if len(s.members[msp]) > 0 {
			known = true
			return nil
		}
		query := `SELECT 1 WHERE EXISTS (SELECT 1 FROM entries WHERE member = ?) OR EXISTS (SELECT 1 FROM entries WHERE custodian = ? AND custodian <> '')`
		return s.each(query, []any{msp, msp}, func(*sql.Rows) error { known = true; return nil })
	})
	return known, err
}

func seconds(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
