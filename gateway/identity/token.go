package identity

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxToken bounds a token, in bytes. An HTTP request's header has to hold it.
const maxToken = 12 << 10

// token is a JWS in compact form (RFC 7515) that was read and not verified.
type token struct {
	text   string
	header header
	issuer string
	claims map[string]any // as they stand; numbers are float64
}

// header has the members of a header that are read. All others are ignored, except for
// those that would bring a key along and crit.
type header struct {
	Algorithm string `json:"alg"`
	Key       string `json:"kid"`
	Type      string `json:"typ"`
	KeysAt    string `json:"jku"`

	Crit jsontext.Value `json:"crit"`
	JWK  jsontext.Value `json:"jwk"`
	X5U  jsontext.Value `json:"x5u"`
	X5C  jsontext.Value `json:"x5c"`
}

// read takes a token apart. Names that stand twice, in the header or among the claims on
// any level, make it unreadable: two readers would read two things.
func read(text string) (token, error) {
	if len(text) > maxToken {
		return token{}, refuse("the token is longer than %d bytes", maxToken)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return token{}, refuse("the token is no signed JWT (three parts, separated by dots)")
	}
	t := token{text: text, claims: map[string]any{}}
	if err := decode(parts[0], &t.header); err != nil {
		return token{}, refuse("the token's header can't be read")
	}
	if err := decode(parts[1], &t.claims); err != nil {
		return token{}, refuse("the token's claims can't be read: they are one JSON object, each name in it once")
	}
	switch h := t.header; {
	case h.Crit != nil || h.JWK != nil || h.X5U != nil || h.X5C != nil:
		return token{}, refuse("the token's header has crit, jwk, x5u or x5c: keys are taken from the issuer only")
	case len(h.Key) > 256:
		return token{}, refuse("the token's key id is too long")
	}
	t.issuer, _ = t.claims["iss"].(string)
	return t, nil
}

func decode(part string, into any) error {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, into) // refuses duplicate names and invalid UTF-8
}

// typed refuses a token that is of another kind than those named: one made for another use
// is no bearer token.
func (t token) typed(kinds ...string) error {
	kind := strings.TrimPrefix(strings.ToLower(t.header.Type), "application/")
	if !slices.Contains(kinds, kind) {
		return refuse("a token of the type %.20q is not taken here", t.header.Type)
	}
	return nil
}

// time is a claim of a time in seconds; ok is false where it is missing or none.
func (t token) time(claim string) (at time.Time, ok bool) {
	seconds, ok := t.claims[claim].(float64)
	if !ok || seconds < 0 || seconds > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}

// current refuses a token of another time than now, or that was issued longer ago than
// longest. It returns when it expires.
func (t token) current(now time.Time, longest time.Duration) (time.Time, error) {
	expires, ok := t.time("exp")
	if !ok {
		return time.Time{}, refuse("the token doesn't say when it expires (exp)")
	}
	issued, ok := t.time("iat")
	if !ok {
		return time.Time{}, refuse("the token doesn't say when it was issued (iat)")
	}
	from := issued
	if _, there := t.claims["nbf"]; there {
		if from, ok = t.time("nbf"); !ok {
			return time.Time{}, refuse("the token's nbf is no time")
		}
	}
	switch {
	case !now.Before(expires.Add(leeway)):
		return time.Time{}, refuse("the token has expired: get a new one")
	case now.Add(leeway).Before(from) || now.Add(leeway).Before(issued):
		return time.Time{}, refuse("the token is of a time to come: compare the clocks of the issuer and of this gateway")
	case now.Sub(issued) > longest+leeway:
		return time.Time{}, refuse("the token was issued longer than %s ago: get a new one", longest)
	}
	return expires, nil
}

// isFor reports whether a string is among the token's audiences (RFC 7519, section 4.1.3).
func (t token) isFor(audience string) bool { return slices.Contains(t.audiences(), audience) }

func (t token) audiences() (out []string) {
	switch a := t.claims["aud"].(type) {
	case string:
		out = []string{a}
	case []any:
		for _, one := range a {
			s, _ := one.(string)
			out = append(out, s)
		}
	}
	return out
}
