// Package identifier spells a patient's identifier in the one way that handles are
// derived from.
//
// Two members find the same handle of a patient only if they spell the identifier alike,
// byte by byte; and a spelling that guesses too much gives two patients one handle. So
// the rules are few, and each is of the identifier's own standard:
//
//	everything      surrounding white space goes; Unicode in NFC; no "|", which parts system
//	                and value; nothing unprintable; at most 256 bytes each
//	system          a URI as FHIR R4 Identifier.system has it. Scheme, host and the "oid" and
//	                "uuid" of a URN in lower case (RFC 3986 §6.2.2.1, RFC 8141 §3.1); a bare
//	                OID 1.2.3 becomes urn:oid:1.2.3. Paths stay as they are
//	resident id     system urn:oid:2.16.156.10011.1.3 (居民身份证号, WS/T 500). Full-width
//	                digits become ASCII, spaces and hyphens go, x becomes X. 18 characters
//	                with a date of birth that exists and the check digit of GB 11643
//	                (ISO 7064 MOD 11-2)
//	passport        system http://hl7.org/fhir/sid/passport-CHN and those of other countries
//	                (ISO 3166-1 alpha-3, upper case). Full-width characters become ASCII,
//	                spaces and hyphens go, letters in upper case; 3 to 20 of A-Z and 0-9
//	anything else   as it is. A medical record number is one: its system is the authority
//	                that assigns it (see MRN), and whether 0042 is 42 only that knows
//
// testdata/vectors.json holds examples of each, to be used by other implementations.
package identifier

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"yitong/chaincode/refusal"
)

// Systems with rules of their own.
const (
	ResidentID     = "urn:oid:2.16.156.10011.1.3"        // 居民身份证号
	PassportPrefix = "http://hl7.org/fhir/sid/passport-" // and the country, ISO 3166-1 alpha-3
)

// Max is the longest system or value, in bytes.
const Max = 256

// Identifier is a namespace and an identifier in it, as FHIR R4 Identifier.system and
// Identifier.value, in the one spelling.
type Identifier struct{ System, Value string }

// String joins system and value by "|", as FHIR's token search does. No two identifiers
// have one string, for neither part holds a "|".
func (i Identifier) String() string { return i.System + "|" + i.Value }

// Normalise returns the one spelling of an identifier. What can't be one is refused with
// code malformed; the refusal doesn't quote it. To normalise again changes nothing.
func Normalise(system, value string) (Identifier, error) {
	i := Identifier{clean(system), clean(value)}
	for _, s := range []string{i.System, i.Value} {
		if err := check(s); err != nil {
			return Identifier{}, err
		}
	}
	i.System = canonicalSystem(i.System)
	var err error
	switch {
	case i.System == ResidentID:
		i.Value, err = residentID(i.Value)
	case strings.HasPrefix(i.System, PassportPrefix):
		i, err = passport(i)
	}
	if err != nil {
		return Identifier{}, err
	}
	if len(i.System) > Max {
		return Identifier{}, tooLong()
	}
	return i, nil
}

// MRN is the medical record number that an authority assigned. The authority is a URI or
// an OID, for example https://hospital-a.example/mrn or 2.16.156.10011.2.1.
func MRN(authority, number string) (Identifier, error) { return Normalise(authority, number) }

func clean(s string) string { return strings.TrimSpace(norm.NFC.String(s)) }

func check(s string) error {
	switch {
	case s == "":
		return refusal.New(refusal.Malformed, "the patient's identifier lacks its system or its value",
			"system|value, for example https://hospital-a.example/mrn|12345")
	case len(s) > Max:
		return tooLong()
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == '|' }):
		return refusal.New(refusal.Malformed, "the patient's identifier holds a character that can't stand in one",
			"printable UTF-8 without |")
	}
	return nil
}

func tooLong() error {
	return refusal.New(refusal.Malformed, "the patient's identifier is too long", "at most 256 bytes for system and value each")
}

// canonicalSystem lowers the parts of a URI that don't tell capitals apart, and no other.
func canonicalSystem(s string) string {
	if oid(s) {
		return "urn:oid:" + s
	}
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok || !schemeName(scheme) {
		return s
	}
	scheme = strings.ToLower(scheme)
	switch {
	case scheme == "urn":
		space, specific, ok := strings.Cut(rest, ":")
		if !ok {
			return scheme + ":" + rest
		}
		space = strings.ToLower(space)
		if space == "uuid" {
			specific = strings.ToLower(specific)
		}
		return scheme + ":" + space + ":" + specific
	case strings.HasPrefix(rest, "//"):
		end := strings.IndexAny(rest[2:], "/?#")
		if end < 0 {
			end = len(rest) - 2
		}
		authority := rest[2 : 2+end]
		at := strings.LastIndexByte(authority, '@') + 1 // what stands before it does tell capitals apart
		return scheme + "://" + authority[:at] + lowerASCII(authority[at:]) + rest[2+end:]
	}
	return scheme + ":" + rest
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func schemeName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}

// oid reports whether s is an object identifier in dot notation.
func oid(s string) bool {
	arcs := strings.Split(s, ".")
	for _, arc := range arcs {
		if arc == "" || strings.Trim(arc, "0123456789") != "" || len(arc) > 1 && arc[0] == '0' {
			return false
		}
	}
	return len(arcs) >= 2 && len(arcs[0]) == 1 && arcs[0] <= "2"
}

// plain drops what people put between digits, makes full-width characters ASCII, and
// letters capitals.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case '！' <= r && r <= '～': // U+FF01 to U+FF5E
			r += '!' - '！'
			if 'a' <= r && r <= 'z' {
				r += 'A' - 'a'
			}
		}
		if unicode.IsSpace(r) || r == '-' {
			return -1
		}
		return r
	}, s)
}
