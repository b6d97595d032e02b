package consent

// maxRefused bounds the entries of Decision.Refused: no class is in two.
const maxRefused = 32

// room makes the slices of a decision, empty but large enough, in one allocation where few consents
// have a say and in two where many do.
func room(rules, consents int, anyRefused bool) ([]Residual, []Basis, []Refused) {
	switch {
	case rules <= 8 && consents <= 4 && !anyRefused:
		r := new(struct {
			rules [8]Residual
			basis [4]Basis
		})
		return cut(r.rules[:0], rules), cut(r.basis[:0], consents), nil
	case rules <= 8 && consents <= 4:
		r := new(struct {
			rules   [8]Residual
			basis   [4]Basis
			refused [4]Refused
		})
		return cut(r.rules[:0], rules), cut(r.basis[:0], consents), r.refused[:0]
	case !anyRefused:
		return cut(make([]Residual, 0, rules), rules), cut(make([]Basis, 0, consents), consents), nil
	default:
		r := new(struct {
			basis   [MaxConsents]Basis
			refused [maxRefused]Refused
		})
		return cut(make([]Residual, 0, rules), rules), cut(r.basis[:0], consents), r.refused[:0]
	}
}

// cut is s, nil if nothing will be put in it: a decision equals the one read back from its JSON.
func cut[E any](s []E, n int) []E {
	if n == 0 {
		return nil
	}
	return s
}
