package consent

import "yitong/chaincode/record/vocabulary"

// Assurance is how sure the ledger is that a consent is the patient's own word. The greater, the
// surer; what demands one is content with every greater one.
//
// A passkey ranks below a wallet: its user agent shows the patient the page of the relying party,
// which is the hospital's, and signs a digest that no patient can read. A wallet is the patient's
// own software and shows the document that it signs. Either is out of the hospital's reach once the
// patient's key is bound; an attestation is the hospital's word and nothing else.
type Assurance uint8

// The assurances, in order.
const (
	Attested Assurance = iota // a hospital says that it keeps a signed form
	Passkey                   // the patient's WebAuthn assertion was verified in chaincode
	Wallet                    // the signature of the patient's wallet was
)

// The vocabulary has no place for a zero, hence the shift.
var assurances = vocabulary.New("assurance", []string{
	Attested + 1: "attested", Passkey + 1: "passkey", Wallet + 1: "wallet",
})

// ParseAssurance reads a code. The error of an unknown one lists the known.
func ParseAssurance(code string) (Assurance, error) {
	n, err := assurances.Parse(code)
	if err != nil {
		return Attested, err
	}
	return Assurance(n - 1), nil
}

// Known reports one of the assurances.
func (a Assurance) Known() bool { return a <= Wallet }

// String is the code; "" for an unknown one.
func (a Assurance) String() string { return assurances.Code(uint8(a) + 1) }

// MarshalText writes the code.
func (a Assurance) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads a code.
func (a *Assurance) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAssurance(string(text))
	return err
}
