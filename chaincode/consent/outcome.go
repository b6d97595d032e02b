package consent

import "fmt"

// String is the code; "" for neither.
func (o Outcome) String() string {
	switch o {
	case Permit:
		return "permit"
	case Deny:
		return "deny"
	default:
		return ""
	}
}

// MarshalText writes the code.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads a code.
func (o *Outcome) UnmarshalText(text []byte) error {
	switch string(text) {
	case "permit":
		*o = Permit
	case "deny":
		*o = Deny
	default:
		return fmt.Errorf("unknown provision type %.40q: known are deny, permit", text)
	}
	return nil
}
