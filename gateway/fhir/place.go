package fhir

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
)

// A place says where a content is: a part of a record, and the access that it was opened
// under. It is the id of the DocumentReference and of the Binary of that part,
// RECORD-INDEX for a hospital's own and RECORD-INDEX-ACCESS for what was opened; without the
// index it is the id of the record's Bundle. RECORD is 32 hexadecimal digits; ACCESS is
// 16 bytes in base64 with the alphabet of R4's ids ("-" and "." for 62 and 63), so that all
// of it fits 64 characters.
type place struct {
	record string
	index  int // -1 of a whole record
	access string
}

var idAlphabet = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.").WithPadding(base64.NoPadding).Strict()

func (p place) id() string {
	id := p.record
	if p.index >= 0 {
		id += "-" + strconv.Itoa(p.index)
	}
	if p.access != "" {
		raw, _ := hex.DecodeString(p.access)
		id += "-" + idAlphabet.EncodeToString(raw)
	}
	return id
}

var (
	hexID  = regexp.MustCompile(`^[0-9a-f]{32}$`)
	number = regexp.MustCompile(`^(0|[1-9][0-9]{0,4})$`)
)

// partPlace reads the id of a part's.
func partPlace(id string) (place, bool) {
	record, rest, ok := strings.Cut(id, "-")
	if !ok || !hexID.MatchString(record) {
		return place{}, false
	}
	index, access, opened := strings.Cut(rest, "-")
	if !number.MatchString(index) {
		return place{}, false
	}
	n, _ := strconv.Atoi(index)
	p := place{record: record, index: n}
	return p, !opened || p.under(access)
}

// recordPlace reads the id of a record's.
func recordPlace(id string) (place, bool) {
	record, access, opened := strings.Cut(id, "-")
	p := place{record: record, index: -1}
	return p, hexID.MatchString(record) && (!opened || p.under(access))
}

func (p *place) under(access string) bool {
	raw, err := idAlphabet.DecodeString(access)
	p.access = hex.EncodeToString(raw)
	return err == nil && len(raw) == 16
}
