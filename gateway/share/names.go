package share

import (
	"context"
	"fmt"
	"slices"

	"yitong/chaincode/refusal"
	"yitong/gateway/keys"
)

// Name is what an institution's own software calls something, in a namespace of its own (FHIR R4
// Identifier). It stays in the key store.
type Name struct {
	System string `json:"system"`
	Value  string `json:"value"`
}

// Bounds of names.
const (
	maxNames = 8
	maxName  = 256 // bytes of either half
)

func (n Name) key() string { return fmt.Sprintf("%d|%s|%s", len(n.System), n.System, n.Value) }

// name gives a consent its names, and chooses its id where it has none: that of the consent which
// has one of the names, or a new one. A name is of one consent only: code exists.
func (g *Gateway) name(ctx context.Context, id string, names []Name) (string, error) {
	if len(names) == 0 {
		if id == "" {
			id = chosenID(ctx)
		}
		return id, nil
	}
	if len(names) > maxNames {
		return "", refusal.New(refusal.TooLarge, "too many identifiers", fmt.Sprintf("at most %d of one consent", maxNames))
	}
	for _, n := range names {
		if n.System == "" || n.Value == "" || len(n.System) > maxName || len(n.Value) > maxName {
			return "", refusal.New(refusal.Malformed, "identifiers: one has no system or no value, or is too long", fmt.Sprintf("a system and a value of at most %d bytes each", maxName))
		}
	}
	err := g.Keys.Update(func(tx *keys.Tx) error {
		for _, n := range names {
			of, taken, err := load[string](tx, bucketNamed, n.key())
			if err != nil {
				return err
			}
			if taken && id != "" && of != id {
				return refusal.New(refusal.Exists, "another consent has that identifier", "an identifier of its own, or the other consent's id")
			}
			if taken {
				id = of
			}
		}
		if id == "" {
			id = chosenID(ctx)
		}
		for _, n := range names {
			if err := save(tx, bucketNamed, n.key(), id); err != nil {
				return err
			}
		}
		kept, _, err := load[[]Name](tx, bucketNames, id)
		if err != nil {
			return err
		}
		for _, n := range names {
			if !slices.Contains(kept, n) {
				kept = append(kept, n)
			}
		}
		return save(tx, bucketNames, id, kept)
	})
	if err != nil {
		return "", fmt.Errorf("keeping the identifiers of a consent: %w", err)
	}
	return id, nil
}

// NamesOf are those of a consent.
func (g *Gateway) NamesOf(id string) ([]Name, error) {
	names, _, err := load[[]Name](g.Keys, bucketNames, id)
	return names, err
}

// Named is the id of the consent that has a name; "" if none has.
func (g *Gateway) Named(n Name) (string, error) {
	id, _, err := load[string](g.Keys, bucketNamed, n.key())
	return id, err
}

// Whose is the patient behind a handle, as far as this member derived it itself; the zero Patient of
// any other.
func (g *Gateway) Whose(handle string) (Patient, error) {
	of, known, err := load[whose](g.Keys, bucketWhose, handle)
	if err != nil || known {
		return of.Patient, err
	}
	p, _, err := load[Patient](g.Keys, bucketAbout, handle)
	return p, err
}
