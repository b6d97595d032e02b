package identity

import "time"

// At sets the clock of a verifier.
func At(v *Verifier, now func() time.Time) {
	for _, p := range v.providers {
		p.now = now
		if p.keys != nil {
			p.keys.now = now
		}
	}
}

// ServicesAt sets that of services.
func ServicesAt(s *Services, now func() time.Time) { s.now = now }
