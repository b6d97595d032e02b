package consent

import (
	"fmt"
	"strconv"
	"strings"
)

// Path says where in a consent a provision stands, packed so that naming a rule costs no memory: one
// byte a level below the root, the index plus one, the first level highest. 0 names no provision.
// Its text is FHIRPath: "provision" for the root, "provision.provision[2]" for its third exception.
type Path uint32

const root Path = 1 << 31

// child is the path of the exception at index of the provision at depth (0 the root). An index past
// what a byte holds is none of a valid consent; it is named as the last.
func (p Path) child(depth, index int) Path {
	return p | Path(min(index+1, 0xff))<<(8*(MaxDepth-2-depth))
}

// String is the FHIRPath; "" for no provision.
func (p Path) String() string {
	if p == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("provision")
	for shift := 8 * (MaxDepth - 2); shift >= 0; shift -= 8 {
		if n := int(p >> shift & 0xff); n != 0 {
			fmt.Fprintf(&b, ".provision[%d]", n-1)
		}
	}
	return b.String()
}

// MarshalText writes the FHIRPath.
func (p Path) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Path) UnmarshalText(text []byte) error {
	*p = 0
	if len(text) == 0 {
		return nil
	}
	steps := strings.Split(string(text), ".")
	path := root
	for i, step := range steps[1:] {
		n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(step, "provision["), "]"))
		if err != nil || n < 0 || n > 253 || i > MaxDepth-2 {
			return fmt.Errorf("%q is not the path of a provision", text)
		}
		path = path.child(i, n)
	}
	if path.String() != string(text) {
		return fmt.Errorf("%q is not the path of a provision", text)
	}
	*p = path
	return nil
}
