package history

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"yitong/gateway/audit/projection"
)

// Entry is a line of the audit trail.
type Entry = projection.Entry

// Entries lists what matches the filter.
func (h History) Entries(ctx context.Context, f Filter, p Page) (list []Entry, next string, asOf AsOf, err error) {
	return paged(ctx, h, p, func(e Entry) int64 { return e.Number }, func(s *snapshot, in stretch) (list []Entry, err error) {
		for _, c := range f.arms() {
			some, err := along(s, entries, "e.number", in, c, s.entry)
			if err != nil {
				return nil, err
			}
			list = append(list, some...)
		}
		return list, nil
	})
}

const entries = `SELECT e.number, t.block, t.idx, t.id, e.claimed, e.kind, e.action, e.outcome, e.reason, e.member, t.agent, t.function,
	t.validation, t.endorsers, e.custodian, e.requester, e.handle, e.object, e.version, e.purpose, e.classes, e.policy, e.policy_version, e.policy_path, e.person, e.person_role
	FROM entries e JOIN transactions t ON t.number = e.tx`

// arms are the clauses whose union is wanted: one a relationship, so that each walks
// its own index and a page costs what it holds, however long a patient's history is.
func (f Filter) arms() (arms []clause) {
	if f.About == nil && f.Records == nil {
		return []clause{f.rest(clause{}, false)}
	}
	for _, r := range f.About {
		var c clause
		c.add("e.handle = ? AND e.handle <> ''", r.Handle)
		c.equal("e.custodian", r.Custodian)
		c.equal("e.requester", r.Requester)
		arms = append(arms, f.rest(c, true))
	}
	for _, id := range f.Records {
		var c clause
		c.add("e.object = ? AND e.object <> '' AND e.kind = 'record'", id)
		arms = append(arms, f.rest(c, true))
	}
	return arms
}

// rest adds the rest of the filter to a clause; narrow says that an index finds few by it.
func (f Filter) rest(c clause, narrow bool) clause {
	narrow = narrow || f.Object+f.Member+f.Custodian != ""
	if f.Object != "" {
		c.add("e.object = ? AND e.object <> ''", f.Object)
	}
	c.equal("e.member", f.Member)
	if f.Custodian != "" {
		c.add("e.custodian = ? AND e.custodian <> ''", f.Custodian)
	}
	c.equal("e.requester", f.Requester)
	among(&c, "e.kind", f.Kinds)
	if slices.Equal(f.Outcomes, []projection.Outcome{projection.Denied}) {
		c.add("e.outcome = 'denied'") // as the partial index has it
		narrow = true
	} else {
		among(&c, "e.outcome", f.Outcomes)
	}
	c.equal("e.purpose", f.Purpose)
	c.equal("e.reason", f.Reason)
	claimed := "e.claimed"
	if narrow {
		claimed = "+e.claimed" // hidden from the planner; the sign does nothing else, in SQLite and PostgreSQL alike
	}
	c.within(claimed, f.Time)
	return c
}

func (s *snapshot) entry(rows *sql.Rows) (Entry, error) {
	var e Entry
	var claimed, block int64
	var classes, endorsers string
	err := rows.Scan(&e.Number, &block, &e.Index, &e.Transaction, &claimed, &e.Kind, &e.Action, &e.Outcome, &e.Reason, &e.Member, &e.Agent, &e.Function,
		&e.Validation, &endorsers, &e.Custodian, &e.Requester, &e.Handle, &e.Object, &e.Version, &e.Purpose, &classes, &e.Policy.Consent, &e.Policy.Version, &e.Policy.Path, &e.User, &e.UserRole)
	e.Block, e.Claimed = uint64(block), seconds(claimed)
	e.Classes, e.Endorsers = list(classes), list(endorsers)
	was := s.members.at(e.Member, e.Number)
	e.Role, e.AccessPoint = was.kind, was.gateway
	e.Attribute()
	return e, err
}

func list(joined string) []string {
	if joined == "" {
		return nil
	}
	return strings.Split(joined, ",")
}
