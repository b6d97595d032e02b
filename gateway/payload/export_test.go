package payload

// Parsers of headers that come from outside.
var (
	RangeOf  = rangeOf
	Metadata = metadata
)

// First and Length are those of a range.
func (s span) First() int64  { return s.first }
func (s span) Length() int64 { return s.length }
