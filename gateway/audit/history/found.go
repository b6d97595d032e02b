package history

import (
	"context"
	"strings"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
)

// Wanted says which consents, or accesses, are looked for; a zero field leaves all.
type Wanted struct {
	About     []contract.Relationship // set but empty, it matches nothing
	IDs       []string                // likewise
	Party     string                  // MSP id of the custodian or the requester
	Custodian string
	Requester string
	Statuses  []string      // of consents: active, withdrawn
	Outcomes  []string      // of accesses: permit, deny
	Purpose   string        // of accesses, exactly
	Recorded  record.Period // when the version, or the request, was
	InForce   record.Period // consents in force at some time of it
}

// on is the wanted as conditions on a table of consents or accesses, joined to its entry e.
func (w Wanted) on(table string) (c clause) {
	if w.About != nil && len(w.About) == 0 || w.IDs != nil && len(w.IDs) == 0 {
		c.add("FALSE")
	}
	if len(w.About) > 0 {
		var or []string
		var args []any
		for _, r := range w.About {
			or, args = append(or, table+".handle = ? AND "+table+".custodian = ? AND "+table+".requester = ?"), append(args, r.Handle, r.Custodian, r.Requester)
		}
		c.add("("+strings.Join(or, " OR ")+")", args...)
	}
	among(&c, table+".id", w.IDs)
	if w.Party != "" {
		c.add("("+table+".custodian = ? OR "+table+".requester = ?)", w.Party, w.Party)
	}
	c.equal(table+".custodian", w.Custodian)
	c.equal(table+".requester", w.Requester)
	among(&c, table+".status", w.Statuses)
	among(&c, table+".outcome", w.Outcomes)
	c.equal(table+".purpose", w.Purpose)
	c.within("e.claimed", w.Recorded)
	if w.InForce.End != 0 {
		c.add(table+".begins < ?", int64(w.InForce.End))
	}
	if w.InForce.Start != 0 {
		c.add("("+table+".ends = 0 OR "+table+".ends > ?)", int64(w.InForce.Start))
	}
	return c
}

// Consents lists the consents wanted as they stand, each in its newest version, in the order in
// which those were recorded.
func (h History) Consents(ctx context.Context, w Wanted, p Page) (list []Consent, next string, asOf AsOf, err error) {
	c := w.on("c")
	c.add(newestVersion)
	return h.consentsAlong(ctx, c, p)
}

// Accesses lists the accesses wanted, in the order in which they were asked for. Where their
// releases stand isn't told; see Disclosures.
func (h History) Accesses(ctx context.Context, w Wanted, p Page) (list []Access, next string, asOf AsOf, err error) {
	c := w.on("a")
	return paged(ctx, h, p, func(a Access) int64 { return a.AskedAt }, func(s *snapshot, in stretch) ([]Access, error) {
		return s.accesses(c, "a.entry", in)
	})
}
