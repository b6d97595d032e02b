package access

import (
	"strconv"
	"strings"

	"yitong/chaincode/refusal"
)

// MaxEpoch is the largest epoch that a handle can name.
const MaxEpoch = 999_999

// Handle spells the handle of a patient in a relationship: the epoch of the evaluators'
// keys that it was derived under, and the 32-byte pseudonym, as <epoch>-<64 hex digits>,
// for example 1-9f86d081….
func Handle(epoch int, pseudonym string) string {
	return strconv.Itoa(epoch) + "-" + pseudonym
}

// CheckHandle refuses what isn't a handle: code malformed. A handle has one spelling, for
// it is part of state keys.
func CheckHandle(handle string) error {
	epoch, pseudonym, _ := strings.Cut(handle, "-")
	if number(epoch) == 0 || !hexDigits(pseudonym, 64) {
		return refusal.New(refusal.Malformed, "that is not a handle", "the epoch, a hyphen and 64 lower-case hex digits")
	}
	return nil
}

// Epoch is the epoch of a handle; 0 of what isn't one.
func Epoch(handle string) int {
	if CheckHandle(handle) != nil {
		return 0
	}
	epoch, _, _ := strings.Cut(handle, "-")
	return number(epoch)
}

// number reads an epoch, from 1 to MaxEpoch in decimal digits without leading zeros; 0 is
// what isn't one.
func number(s string) int {
	if s == "" || len(s) > 6 || s[0] == '0' || strings.Trim(s, "0123456789") != "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
