package events

import (
	"cmp"
	"database/sql/driver"
	"fmt"
	"math"
	"strconv"
	"strings"

	"yitong/chaincode/refusal"
)

// Position is where an event stands on the ledger. The zero position is before all.
type Position struct {
	Block       int64
	Transaction int64 // in the block, from 0
	Place       int64 // among the events of the transaction, from 1
}

// String is the position's text, "1042-3-1"; that before all is "0-0-0".
func (p Position) String() string {
	return strconv.FormatInt(p.Block, 10) + "-" + strconv.FormatInt(p.Transaction, 10) + "-" + strconv.FormatInt(p.Place, 10)
}

// ParsePosition reads a position's text; "" is before all. It refuses (malformed) everything
// that String doesn't write.
func ParsePosition(s string) (Position, error) {
	var p Position
	if s == "" {
		return p, nil
	}
	rest := s
	for _, into := range []*int64{&p.Block, &p.Transaction, &p.Place} {
		digits, after, _ := strings.Cut(rest, "-")
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n < 0 {
			return Position{}, errPosition
		}
		*into, rest = n, after
	}
	if p.String() != s { // signs, leading zeros, more behind it
		return Position{}, errPosition
	}
	return p, nil
}

var errPosition = refusal.New(refusal.Malformed, "that is not a position of the feed", "a position as an event has it, as in 1042-3-1; or none, for the beginning")

// Compare is negative if p is before o, positive if after.
func (p Position) Compare(o Position) int {
	return cmp.Or(cmp.Compare(p.Block, o.Block), cmp.Compare(p.Transaction, o.Transaction), cmp.Compare(p.Place, o.Place))
}

// endOf is the position after everything in the blocks before the given one.
func endOf(blocks int64) Position {
	if blocks == 0 {
		return Position{}
	}
	return Position{Block: blocks - 1, Transaction: math.MaxInt64, Place: math.MaxInt64}
}

// MarshalText writes String.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what ParsePosition does.
func (p *Position) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePosition(string(text))
	return err
}

// Value implements [driver.Valuer] as the position's text.
func (p Position) Value() (driver.Value, error) { return p.String(), nil }

// Scan implements [database/sql.Scanner].
func (p *Position) Scan(from any) error {
	text, ok := from.(string)
	if !ok {
		return fmt.Errorf("a position is kept as text, not as %T", from)
	}
	return p.UnmarshalText([]byte(text))
}
