package fhir

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"sync"

	"google.golang.org/grpc"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// maxScan is how many contents one page of a search looks at.
const maxScan = 2000

// contents yields what this member can read, from the bookmark asked for on. While it does,
// asked.Page.Bookmark is that of the page of the list that the entry is on.
func (c *call) contents(asked *yitongv1.ListContentsRequest) iter.Seq2[*yitongv1.ContentEntry, error] {
	return func(yield func(*yitongv1.ContentEntry, error) bool) {
		client := yitongv1.NewContentsClient(c.conn)
		page := &yitongv1.Page{Size: maxCount, Bookmark: asked.GetPage().GetBookmark()}
		asked.Page = page
		for {
			listed, err := client.List(c.ctx(), asked)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range listed.GetContents() {
				c.custodians.keep(e.GetAccessId(), e.GetCustodian())
				if !yield(e, nil) {
					return
				}
			}
			if page.Bookmark = listed.GetNextBookmark(); page.Bookmark == "" {
				return
			}
		}
	}
}

// all are the contents that are asked for, as a list.
func (c *call) all(asked *yitongv1.ListContentsRequest) (found []*yitongv1.ContentEntry, err error) {
	for e, err := range c.contents(asked) {
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, nil
}

// record are the parts of the record that the request names by its id, in order; notFound if
// there is none.
func (c *call) record() ([]*yitongv1.ContentEntry, error) {
	p, ok := recordPlace(c.id)
	if !ok {
		return nil, notFound()
	}
	return c.recordAt(p)
}

// recordAt are the parts of the record at a place, in order; notFound if there is none.
func (c *call) recordAt(p place) ([]*yitongv1.ContentEntry, error) {
	found, err := c.all(&yitongv1.ListContentsRequest{AccessId: p.access, RecordId: p.record})
	if err != nil {
		return nil, err
	}
	var parts []*yitongv1.ContentEntry
	for _, e := range found {
		if e.GetRecordId() == p.record && e.GetAccessId() == p.access {
			parts = append(parts, e)
		}
	}
	if len(parts) == 0 {
		return nil, c.whyNot(p)
	}
	return parts, nil
}

// whyNot says why there is nothing at a place: what ended the permit, if something did.
func (c *call) whyNot(p place) error {
	if p.index < 0 {
		return notFound()
	}
	r, err := c.open(p, 0, 1)
	if err != nil {
		return err
	}
	r.close()
	return notFound()
}

// custodians remembers which member an access was asked of, for the id of a part hasn't
// room for it. It says nothing about who may read.
type custodians struct {
	mu sync.Mutex
	of map[string]string
}

// maxCustodians are remembered; then it begins anew.
const maxCustodians = 10_000

func (c *custodians) keep(access, custodian string) {
	if access == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.of) >= maxCustodians || c.of == nil {
		c.of = map[string]string{}
	}
	c.of[access] = custodian
}

func (c *custodians) find(access string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[access]
}

// custodianOf is the member that an access was asked of.
func (c *call) custodianOf(access string) (string, error) {
	if access == "" {
		return "", nil
	}
	if known := c.custodians.find(access); known != "" {
		return known, nil
	}
	for e, err := range c.contents(&yitongv1.ListContentsRequest{AccessId: access}) {
		if err != nil {
			return "", err
		}
		return e.GetCustodian(), nil
	}
	return "", notFound()
}

// An opening is a content on its way here.
type opening struct {
	size      int64
	mediaType string
	sha256    []byte // empty where it isn't known
	stream    grpc.ServerStreamingClient[yitongv1.ReadContentResponse]
	last      *yitongv1.ReadContentResponse // that was received; receiving into it again takes its content back
	head      []byte                        // what of its content isn't given out yet
	close     func()
}

// open begins to read n bytes of a content from off on; n 0 is all that is left.
func (c *call) open(p place, off, n int64) (*opening, error) {
	custodian, err := c.custodianOf(p.access)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(c.ctx())
	stream, err := yitongv1.NewContentsClient(c.conn).Read(ctx, &yitongv1.ReadContentRequest{
		Custodian: custodian, AccessId: p.access, RecordId: p.record, Index: int32(p.index), Offset: off, Length: n,
	})
	if err != nil {
		cancel()
		return nil, err
	}
	first, err := stream.Recv()
	if err != nil {
		cancel()
		return nil, ended(err)
	}
	return &opening{first.GetSize(), first.GetMediaType(), first.GetSha256(), stream, first, first.GetContent(), cancel}, nil
}

// ended answers for a content that could be read once and can't any more, because its permit
// ended, the consent changed or it was erased: it is gone (410), and the code says why.
func ended(err error) error {
	f := *faultOf(err)
	if f.Status == http.StatusConflict && f.Type == "business-rule" {
		f.Status, f.Type = http.StatusGone, "suppressed"
	}
	return &f
}

// WriteTo writes the content, each piece when the next is there: the last only once it is
// known that the whole is what was anchored. Only with a nil error is it whole.
func (o *opening) WriteTo(w io.Writer) (n int64, err error) {
	next := new(yitongv1.ReadContentResponse)
	for {
		received := o.stream.RecvMsg(next)
		if received != nil && !errors.Is(received, io.EOF) {
			return n, received
		}
		if len(o.head) > 0 {
			m, err := w.Write(o.head)
			n += int64(m)
			if err != nil {
				return n, err
			}
		}
		if received != nil {
			return n, nil
		}
		o.last, next = next, o.last
		o.head = o.last.GetContent()
	}
}

// Read makes it a reader; a stream that breaks is an error, never a short content.
func (o *opening) Read(b []byte) (int, error) {
	for len(o.head) == 0 {
		if err := o.stream.RecvMsg(o.last); err != nil {
			return 0, err
		}
		o.head = o.last.GetContent()
	}
	n := copy(b, o.head)
	o.head = o.head[n:]
	return n, nil
}

// whole reads a content of at most limit bytes.
func (c *call) whole(p place, limit int64) ([]byte, error) {
	o, err := c.open(p, 0, 0)
	if err != nil {
		return nil, err
	}
	defer o.close()
	if o.size > limit {
		return nil, tooLarge(limit)
	}
	var b bytes.Buffer
	b.Grow(int(o.size))
	_, err = o.WriteTo(&b)
	return b.Bytes(), err
}
