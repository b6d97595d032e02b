package consent

import "yitong/chaincode/record/vocabulary"

// Action is what is done with data: a code of FHIR R4 consentaction.
type Action uint8

// The actions. The zero Action is none.
const (
	Collect  Action = iota + 1 // gather data into a system
	Access                     // see data held elsewhere
	Use                        // work with data
	Disclose                   // hand data on
	Correct                    // put data right
)

var actions = vocabulary.New("action", []string{
	Collect: "collect", Access: "access", Use: "use", Disclose: "disclose", Correct: "correct",
})

// ParseAction reads a code. The error of an unknown one lists the known.
func ParseAction(code string) (Action, error) {
	n, err := actions.Parse(code)
	return Action(n), err
}

// String is the code; "" for none.
func (a Action) String() string { return actions.Code(uint8(a)) }

// MarshalText writes the code.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads a code.
func (a *Action) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAction(string(text))
	return err
}

// Actions is a set of actions. Its JSON is the array of codes, sorted.
type Actions uint8

// ActionsOf makes a set.
func ActionsOf(as ...Action) Actions {
	var set Actions
	for _, a := range as {
		set |= 1 << a
	}
	return set & Actions(actions.All())
}

// Has reports whether a is in the set.
func (s Actions) Has(a Action) bool { return s&(1<<a) != 0 }

// Codes lists the codes, sorted.
func (s Actions) Codes() []string { return actions.List(uint64(s)) }

// MarshalJSON writes the sorted array of codes.
func (s Actions) MarshalJSON() ([]byte, error) { return actions.JSON(uint64(s)) }

// UnmarshalJSON reads an array of known codes, none twice.
func (s *Actions) UnmarshalJSON(doc []byte) error {
	set, err := actions.Read(doc)
	*s = Actions(set)
	return err
}
