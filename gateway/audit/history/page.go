package history

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"

	"yitong/chaincode/refusal"
)

// Page is a part of a list. Lists are in the order of the ledger, oldest first, or
// newest first.
type Page struct {
	Size     int    // 1 to MaxPage; 0 is DefaultPage
	Bookmark string // of the page before; "" for the first
	Newest   bool   // newest first
}

// Sizes of a page.
const (
	DefaultPage = 50
	MaxPage     = 1000
)

// size checks the wanted size of a page: code malformed or too-large.
func (p Page) size() (int, error) {
	switch {
	case p.Size == 0:
		return DefaultPage, nil
	case p.Size < 0:
		return 0, refusal.New(refusal.Malformed, fmt.Sprintf("a page of %d", p.Size), fmt.Sprintf("1 to %d, or 0 for %d", MaxPage, DefaultPage))
	case p.Size > MaxPage:
		return 0, refusal.New(refusal.TooLarge, fmt.Sprintf("a page of %d", p.Size), fmt.Sprintf("1 to %d, or 0 for %d", MaxPage, DefaultPage))
	}
	return p.Size, nil
}

// from is the number of the entry that the page begins behind.
func (p Page) from() (int64, error) {
	switch {
	case p.Bookmark != "":
		n, err := strconv.ParseInt(p.Bookmark, 10, 64)
		if err != nil || n < 0 {
			return 0, notABookmark
		}
		return n, nil
	case p.Newest:
		return 1<<63 - 1, nil
	}
	return -1, nil
}

var notABookmark = refusal.New(refusal.Malformed, "that is not a bookmark", "the bookmark of the page before, unchanged")

// stretch is the part of the ledger that one page is looked for in.
type stretch struct {
	behind int64 // number of an entry
	newest bool  // on towards older ones
	most   int   // how many are wanted: one more than the page holds shows that there is another
}

// paged answers a question that gives a list by pages. find looks for what lies in a
// stretch of the ledger, in any order; number is the entry that one of the list stands on,
// none twice.
func paged[T any](ctx context.Context, h History, p Page, number func(T) int64, find func(*snapshot, stretch) ([]T, error)) (list []T, next string, asOf AsOf, err error) {
	size, err := p.size()
	if err != nil {
		return nil, "", asOf, err
	}
	from, err := p.from()
	if err != nil {
		return nil, "", asOf, err
	}
	asOf, err = h.read(ctx, func(s *snapshot) (err error) {
		list, err = find(s, stretch{behind: from, newest: p.Newest, most: size + 1})
		return err
	})
	if err != nil {
		return nil, "", asOf, err
	}
	slices.SortFunc(list, func(a, b T) int {
		if p.Newest {
			a, b = b, a
		}
		return cmp.Compare(number(a), number(b))
	})
	list = slices.CompactFunc(list, func(a, b T) bool { return number(a) == number(b) })
	if len(list) > size {
		list = list[:size]
		next = strconv.FormatInt(number(list[size-1]), 10)
	}
	return list, next, asOf, nil
}

// along looks with a query, that has no conditions yet, over a stretch of the ledger: column is
// the number of the entry that a row stands on.
func along[T any](s *snapshot, query, column string, in stretch, c clause, read func(*sql.Rows) (T, error)) ([]T, error) {
	order := column
	if in.newest {
		c.add(column+" < ?", in.behind)
		order += " DESC"
	} else {
		c.add(column+" > ?", in.behind)
	}
	return first(s, in.most, query, c, order, read)
}

// first is the first rows of a query, that has no conditions yet, in an order.
func first[T any](s *snapshot, most int, query string, c clause, order string, read func(*sql.Rows) (T, error)) (list []T, err error) {
	err = s.each(query+c.where()+" ORDER BY "+order+" LIMIT ?", append(c.args, most), func(rows *sql.Rows) error {
		one, err := read(rows)
		list = append(list, one)
		return err
	})
	return list, err
}
