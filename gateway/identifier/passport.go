package identifier

import (
	"strings"

	"yitong/chaincode/refusal"
)

// passport is the one spelling of a passport number (ICAO Doc 9303: A-Z and 0-9) and of
// the country that issued it.
func passport(i Identifier) (Identifier, error) {
	country := plain(strings.TrimPrefix(i.System, PassportPrefix))
	if len(country) != 3 || strings.Trim(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return i, refusal.New(refusal.Malformed, "the passport's system names no country", PassportPrefix+"CHN, or another country's three letters (ISO 3166-1)")
	}
	number := plain(i.Value)
	if len(number) < 3 || len(number) > 20 || strings.Trim(number, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return i, refusal.New(refusal.Malformed, "that is not a passport number", "3 to 20 of A-Z and 0-9, as the passport has it")
	}
	return Identifier{PassportPrefix + country, number}, nil
}
