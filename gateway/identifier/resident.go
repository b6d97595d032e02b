package identifier

import (
	"strings"
	"time"

	"yitong/chaincode/refusal"
)

// residentID is the one spelling of a resident identity number (公民身份号码, GB 11643):
// six digits of the place, eight of the date of birth, three of a sequence, a check digit.
func residentID(value string) (string, error) {
	id := plain(value)
	if len(id) == 15 && strings.Trim(id, "0123456789") == "" {
		return "", refusal.New(refusal.Malformed, "that is a resident id of 15 digits, which ended in 2013", "the 18-digit number on the present card")
	}
	if len(id) != 18 || strings.Trim(id[:17], "0123456789") != "" || !strings.Contains("0123456789X", id[17:]) {
		return "", refusal.New(refusal.Malformed, "that is not a resident id", "17 digits and a check digit, 0 to 9 or X (GB 11643)")
	}
	if _, err := time.Parse("20060102", id[6:14]); err != nil {
		return "", refusal.New(refusal.Malformed, "the date of birth in the resident id doesn't exist", "the number as it stands on the card")
	}
	if checkDigit(id[:17]) != id[17] {
		return "", refusal.New(refusal.Malformed, "the resident id's check digit is wrong: a digit is mistyped, or two are swapped", "the number as it stands on the card")
	}
	return id, nil
}

// checkDigit is ISO 7064 MOD 11-2 over 17 digits: 0 to 9, or X for ten.
func checkDigit(digits string) byte {
	p := 0
	for i := range len(digits) {
		p = (p + int(digits[i]-'0')) * 2 % 11
	}
	return "0123456789X"[(12-p)%11]
}
