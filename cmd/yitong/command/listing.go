package command

import (
	"errors"

	"google.golang.org/protobuf/proto"

	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// pageSize is how many entries one answer of a list holds, the API's most.
const pageSize = 100

// pages fetches a list page by page and hands on each entry, limit at most; 0
// is all of them.
func pages[T any](limit int, fetch func(*yitongv1.Page) ([]T, string, error), each func(T) error) error {
	bookmark := ""
	for seen := 0; ; {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-seen)
		}
		entries, next, err := fetch(&yitongv1.Page{Size: int32(size), Bookmark: bookmark})
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := each(entry); err != nil {
				return err
			}
			if seen++; seen == limit {
				return nil
			}
		}
		if next == "" {
			return nil
		}
		bookmark = next
	}
}

// listing shows entries: as rows of one table, or each as its document.
type listing struct {
	s      *screen.Screen
	header []string
	rows   [][]string
}

func newListing(s *screen.Screen, header []string) *listing { return &listing{s: s, header: header} }

func (l *listing) add(m proto.Message, cells ...string) error {
	if l.s.JSON {
		return l.s.Document(m)
	}
	l.rows = append(l.rows, cells)
	return nil
}

// end writes what came before err, if anything did. That there is none is said only where
// everything was asked.
func (l *listing) end(err error) error {
	if err != nil && len(l.rows) == 0 {
		return err
	}
	return errors.Join(l.close(), err)
}

// close writes the table; documents are out already.
func (l *listing) close() error {
	if l.s.JSON {
		return nil
	}
	if len(l.rows) == 0 {
		l.s.Say("none")
		return nil
	}
	return l.s.Table(l.header, l.rows)
}
