package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// Content is a part that this member can read: opened under an access, or its own.
type Content struct {
	Custodian string // MSP id; "" of an own record
	Access    string // id; "" of an own record
	Record    string // id
	Part      Part
	Opened    record.Instant // of an own record: submitted
	Until     record.Instant // exclusive; zero of an own record
	Patient   *Patient       // where it is known
	Status    record.Status  // of an own record

	manifest string // under which it was released
}

// ContentQuery narrows a list of contents; what is zero narrows nothing.
type ContentQuery struct {
	Patient   *Patient
	Access    string
	Custodian string // name or MSP id
	Record    string
}

// Contents pages through what this member can read now, in the order of custodian, access,
// record and part. next is "" on the last page.
func (g *Gateway) Contents(ctx context.Context, q ContentQuery, bookmark string, size int) (page []Content, next string, err error) {
	if size == 0 {
		size = maxPage / 2
	}
	if size < 0 || size > maxPage {
		return nil, "", refusal.New(refusal.Malformed, "a page can't have that size", "1 to 100 entries, or 0 for 50")
	}
	if q.Patient != nil {
		p, err := q.Patient.Normalise()
		if err != nil {
			return nil, "", err
		}
		q.Patient = &p
	}
	if q.Custodian != "" {
		m, err := g.members.named(ctx, q.Custodian)
		if err != nil {
			return nil, "", err
		}
		q.Custodian = m.MSP
	}
	for _, id := range []string{q.Access, q.Record} {
		if id == "" {
			continue
		}
		if err := access.CheckID(id); err != nil {
			return nil, "", err
		}
	}
	if bookmark != "" && !placeForm.MatchString(bookmark) {
		return nil, "", refusal.New(refusal.Malformed, "that is no bookmark", "the one that the page before gave")
	}
	for c, err := range g.contentsAfter(ctx, q, bookmark) {
		if err != nil {
			return nil, "", err
		}
		if len(page) == size {
			next = page[size-1].place()
			break
		}
		page = append(page, c)
	}
	return g.readable(ctx, page), next, nil
}

// readable leaves out what may not be read any more, as the own peer has it, and does away
// with it: what a withdrawal ended isn't listed until somebody tries. Where that can't be
// told now, reading tells.
func (g *Gateway) readable(ctx context.Context, page []Content) []Content {
	ended := make([]error, len(page))
	var asking errgroup.Group
	asking.SetLimit(16)
	for i, c := range page {
		if c.Access == "" {
			continue
		}
		asking.Go(func() error {
			l := lookup{custodian: c.Custodian, requester: g.Self.MSP, id: c.Access}
			// Not by what is remembered, nor to be remembered: a list is no reading.
			if err := g.stands(ctx, l, c.manifest, c.Record, c.Part.Index); overWith(err) || refusedWith(err, record.Gone) {
				ended[i] = err
				g.ended(ctx, l, c.Record, c.Part.Index, err)
			}
			return nil
		})
	}
	_ = asking.Wait()
	var left []Content
	for i, c := range page {
		if ended[i] == nil {
			left = append(left, c)
		}
	}
	return left
}

// placeForm is what place makes.
var placeForm = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9.-]{0,63})?/([0-9a-f]{32})?/[0-9a-f]{32}/[0-9]{5,10}$`)

// place orders contents, and is their bookmark.
func (c Content) place() string { return placeOf(c.Custodian, c.Access, c.Record, c.Part.Index) }

func placeOf(custodian, accessID, recordID string, part int) string {
	return fmt.Sprintf("%s/%s/%s/%05d", custodian, accessID, recordID, part)
}

// contentsAfter yields what this member can read, after a bookmark, in the order of places. Only
// what is yielded, and what of it the query leaves out, is read from the key store.
func (g *Gateway) contentsAfter(ctx context.Context, q ContentQuery, bookmark string) iter.Seq2[Content, error] {
	return func(yield func(Content, error) bool) {
		on := func(c Content, err error) bool {
			return (err == nil && c.place() <= bookmark) || yield(c, err)
		}
		for c, err := range g.ownContents(q, bookmark) {
			if !on(c, err) {
				return
			}
		}
		for c, err := range g.copiedContents(ctx, q, bookmark) {
			if !on(c, err) {
				return
			}
		}
	}
}

func (g *Gateway) ownContents(q ContentQuery, bookmark string) iter.Seq2[Content, error] {
	return func(yield func(Content, error) bool) {
		own := strings.HasPrefix(bookmark, "//")
		if g.Self.Kind != registry.Hospital || q.Access != "" || q.Custodian != "" && q.Custodian != g.Self.MSP || bookmark != "" && !own {
			return
		}
		from := recordName{}
		if own {
			from = nameOf(strings.Split(bookmark, "/")[2])
		}
		for r, err := range g.recordsFrom(q, from) {
			if err != nil {
				yield(Content{}, err)
				return
			}
			if r.Status == "" || q.Patient != nil && r.Patient != *q.Patient {
				continue
			}
			going, err := g.going(r)
			if err != nil {
				yield(Content{}, err)
				return
			}
			for _, p := range r.Parts {
				if !going(p.Index) && !yield(Content{Record: r.ID, Part: p, Opened: r.Submitted, Patient: &r.Patient, Status: r.Status}, nil) {
					return
				}
			}
		}
	}
}

// recordsFrom yields the records that a query can be about, by id, from one on.
func (g *Gateway) recordsFrom(q ContentQuery, from recordName) iter.Seq2[catalogued, error] {
	return func(yield func(catalogued, error) bool) {
		names := g.lists.byID.since(from)
		if q.Record != "" || q.Patient != nil {
			names = func(yield func(recordName, error) bool) {
				ids, err := []string{q.Record}, error(nil)
				if q.Record == "" {
					ids, err = g.RecordsOf(*q.Patient)
				}
				if err != nil {
					yield(from, err)
					return
				}
				for _, id := range slices.Sorted(slices.Values(ids)) {
					if n := nameOf(id); n.compare(from) >= 0 && !yield(n, nil) {
						return
					}
				}
			}
		}
		recordsOf(g, names, recordName.String)(yield)
	}
}

// recordsOf yields the records of names that are still there, and ends at an error.
func recordsOf[N any](g *Gateway, names iter.Seq2[N, error], id func(N) string) iter.Seq2[catalogued, error] {
	return func(yield func(catalogued, error) bool) {
		for n, err := range names {
			if err != nil {
				yield(catalogued{}, err)
				return
			}
			c, ok, err := load[catalogued](g.Keys, bucketRecords, id(n))
			if err != nil {
				yield(catalogued{}, err)
				return
			}
			if ok && !yield(c, nil) {
				return
			}
		}
	}
}

func (g *Gateway) copiedContents(ctx context.Context, q ContentQuery, bookmark string) iter.Seq2[Content, error] {
	return func(yield func(Content, error) bool) {
		handles, err := g.handlesOf(ctx, q.Patient)
		if err != nil {
			yield(Content{}, err)
			return
		}
		within := ""
		if q.Custodian != "" {
			within = q.Custodian + "/"
			if q.Access != "" {
				within += q.Access + "/"
			}
		}
		for n, err := range g.lists.opened.since(listed{place: max(bookmark, within)}) {
			if err != nil {
				yield(Content{}, err)
				return
			}
			if !strings.HasPrefix(n.place, within) {
				return
			}
			at := strings.Split(n.place, "/") // as placeOf makes it
			if q.Access != "" && at[1] != q.Access || q.Record != "" && at[2] != q.Record || q.Patient != nil && !handles[n.handle] {
				continue
			}
			index, _ := strconv.Atoi(at[3])
			c, ok, err := load[partCopy](g.Keys, bucketCopies, copyName(at[0], at[2], index))
			if err != nil {
				yield(Content{}, err)
				return
			}
			p := c.Permits[at[1]]
			if !ok || !c.Whole || c.Going || p.Opened == 0 || g.now() >= p.Until {
				continue
			}
			if !yield(Content{
				Custodian: c.Custodian, Access: at[1], Record: c.Record, Part: Part{Part: *c.Part, ContentSize: c.Size, Content: c.Content},
				Opened: p.Opened, Until: p.Until, Patient: q.Patient, manifest: p.Manifest,
			}, nil) {
				return
			}
		}
	}
}

// handlesOf are all under which this member, as a requester, knows a normalised patient.
func (g *Gateway) handlesOf(ctx context.Context, p *Patient) (map[string]bool, error) {
	handles := map[string]bool{}
	if p == nil {
		return handles, nil
	}
	known, err := g.Relationships(ctx, *p)
	for _, r := range known {
		handles[r.Handle] = true
	}
	return handles, err
}

// Reading is a content, or a range of it, that is about to be read.
type Reading struct {
	Content
	key    seal.Key
	sealed seal.At
	check  func() error // refuses what may not be read any more
	off, n int64
}

// Range says which bytes of the content WriteTo writes.
func (r *Reading) Range() (off, n int64) { return r.off, r.n }

// ReadContent begins to read n bytes of a content from off on, all that is left with n 0. Of
// what lies past the end nothing is read. custodian and accessID are "" of an own record.
//
// Refusals: not-found, malformed, and whatever would refuse the release by now: expired,
// consent-changed, lapsed, member-suspended, review-rejected, erased, stale-clock.
func (g *Gateway) ReadContent(ctx context.Context, custodian, accessID, recordID string, index int, off, n int64) (*Reading, error) {
	if err := access.CheckID(recordID); err != nil {
		return nil, err
	}
	if off < 0 || n < 0 {
		return nil, refusal.New(refusal.Malformed, "an offset or a length is negative", "0 or more")
	}
	var r *Reading
	var err error
	if accessID == "" && (custodian == "" || custodian == g.Self.MSP || custodian == g.Self.Name) {
		r, err = g.readOwn(ctx, recordID, index)
	} else {
		r, err = g.readCopy(ctx, custodian, accessID, recordID, index)
	}
	if err != nil {
		return nil, err
	}
	size := r.Part.ContentSize
	r.off = min(off, size)
	r.n = size - r.off
	if n > 0 {
		r.n = min(n, r.n)
	}
	return r, nil
}

func noSuchContent() error {
	return refusal.New(refusal.NotFound, "this gateway keeps no such content", "an entry of the list of contents; what isn't there any more is opened again")
}

func (g *Gateway) readOwn(ctx context.Context, recordID string, index int) (*Reading, error) {
	allowed := func() (catalogued, error) {
		c, err := g.ownRecord(recordID)
		if err != nil {
			return c, err
		}
		if c.Status == record.Erased {
			return c, c.gone(g.Self.MSP)
		}
		going, err := g.going(c)
		if err == nil && going(index) {
			err = refusal.New(record.Gone, fmt.Sprintf("part %d of record %s is erased", index, recordID), "the parts that are left")
		}
		return c, err
	}
	c, err := allowed()
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(c.Parts, func(p Part) bool { return p.Index == index })
	if at < 0 || c.Status == "" {
		return nil, noSuchContent()
	}
	raw, err := g.Keys.Get(bucketPartKeys, object(recordID, index))
	if err != nil {
		return nil, err
	}
	p := c.Parts[at]
	return &Reading{
		Content: Content{Record: recordID, Part: p, Opened: c.Submitted, Patient: &c.Patient}, key: seal.Key(raw),
		sealed: func(off, n int64) (io.ReadCloser, error) {
			return g.Vault.Range(ctx, vault.NameOf(recordID, index), vault.SumOf(p.Part), off, n)
		},
		check: func() error {
			_, err := allowed()
			return err
		},
	}, nil
}

func (g *Gateway) readCopy(ctx context.Context, custodian, accessID, recordID string, index int) (*Reading, error) {
	if err := access.CheckID(accessID); err != nil {
		return nil, err
	}
	holder, err := g.members.named(ctx, custodian)
	if err != nil {
		return nil, err
	}
	name := copyName(holder.MSP, recordID, index)
	c, ok, err := load[partCopy](g.Keys, bucketCopies, name)
	if err != nil {
		return nil, err
	}
	p := c.Permits[accessID]
	l := lookup{custodian: holder.MSP, requester: g.Self.MSP, id: accessID}
	if !ok || !c.Whole || c.Going || p.Opened == 0 {
		return nil, g.whyNot(ctx, l, recordID, index)
	}
	check := func() error {
		if g.now() >= p.Until {
			return refusal.New(refusal.Expired, "the permit expired at "+p.Until.String(), "a new request")
		}
		return g.check(ctx, l, p.Manifest, recordID, index)
	}
	if err := check(); err != nil {
		g.ended(ctx, l, recordID, index, err)
		return nil, err
	}
	return &Reading{
		Content: Content{
			Custodian: c.Custodian, Access: accessID, Record: recordID, Part: Part{Part: *c.Part, ContentSize: c.Size, Content: c.Content},
			Opened: p.Opened, Until: p.Until,
		},
		key:    seal.Key(c.Key),
		sealed: func(off, n int64) (io.ReadCloser, error) { return c.Segments.Range(ctx, g.Vault, off, n) },
		check:  check,
	}, nil
}

// whyNot says why there is nothing to read: what ended the permit, if something did.
func (g *Gateway) whyNot(ctx context.Context, l lookup, recordID string, index int) error {
	entry, err := g.access(ctx, l)
	if err != nil || entry.Release == nil {
		return noSuchContent()
	}
	if err := g.stands(ctx, l, entry.Release.Manifest, recordID, index); refusedAtAll(err) {
		return err
	}
	return noSuchContent()
}

// WriteTo writes the range. Nothing is written before it is verified; of a whole content what
// was written counts only when the error is nil. While it is written it is looked whether it
// still may be.
func (r *Reading) WriteTo(w io.Writer) (int64, error) {
	to := &countingWriter{w: &allowedWriter{w: w, check: r.check}}
	p := r.Part
	ad := seal.AD{Record: r.Record, Part: p.Index, Class: p.Class}
	if r.n < p.ContentSize || p.ContentSize == 0 {
		err := seal.OpenRange(to, r.sealed, r.key, ad, seal.SealedOf(p.Part), p.ContentSize, r.off, r.n)
		return to.n, err
	}
	src, err := r.sealed(0, p.SealedSize)
	if err != nil {
		return 0, err
	}
	err = seal.Open(to, src, r.key, ad, seal.SealedOf(p.Part))
	return to.n, errors.Join(err, src.Close())
}

// allowedWriter asks before each piece.
type allowedWriter struct {
	w     io.Writer
	check func() error
}

func (a *allowedWriter) Write(b []byte) (int, error) {
	if err := a.check(); err != nil {
		return 0, err
	}
	return a.w.Write(b)
}
