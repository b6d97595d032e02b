package share

import (
	"context"
	"fmt"
	"slices"

	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	"yitong/chaincode/refusal"
	"yitong/gateway/handle"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
)

// whose is what a custodian notes about a handle it derived.
type whose struct {
	Requester string  `json:"requester"`
	Patient   Patient `json:"patient"`
	Carried   string  `json:"carried,omitempty"` // the handle that what stood here was carried to
}

// handleName is the name under which a derived handle is kept, by both parties.
func handleName(n int, custodian, requester string, p Patient) string {
	return fmt.Sprintf("%d|%s|%s|%s", n, custodian, requester, p.key())
}

// handleBetween is the handle under which a patient's consents stand in a relationship that
// this member is party to, as its custodian or its requester; each is a member's MSP id. A
// relationship of others is refused (not-requester), and one that can't be (kind-not-allowed).
//
// A handle is derived once and kept: nobody is asked again, and an evaluator that is down
// stops only patients not seen before in the relationship (ErrUnavailable). Neither party
// tells the other whom it asks about.
//
// While two epochs are open, a custodian first carries what stands under the older handle
// to the newer one; a requester follows once that was done, and until then names the older.
func (g *Gateway) handleBetween(ctx context.Context, custodianMSP, requesterMSP string, p Patient) (string, error) {
	p, err := p.Normalise()
	if err != nil {
		return "", err
	}
	if g.Self.MSP != custodianMSP && g.Self.MSP != requesterMSP {
		return "", refusal.New(refusal.NotRequester, "this member is no party to that relationship", "a handle between this member and another")
	}
	all, err := g.epochs(ctx)
	if err != nil {
		return "", err
	}
	between := relation{custodianMSP, requesterMSP}
	newest, err := g.handleAt(ctx, all, between, p, all.Latest)
	if err != nil || all.Latest == 1 {
		return newest, err
	}
	if _, ok := g.settled.Load(newest); ok {
		return newest, nil
	}
	if g.Self.MSP == custodianMSP {
		return newest, g.carryOlder(ctx, all, between, p, newest)
	}
	return g.inForce(ctx, all, between, p, newest)
}

// handleAt is the handle of a normalised patient in one epoch: from the key store, or
// derived if the epoch is open.
func (g *Gateway) handleAt(ctx context.Context, all contract.Epochs, between relation, p Patient, n int) (string, error) {
	known, ok, err := load[string](g.Keys, bucketHandles, handleName(n, between.custodian, between.requester, p))
	if err != nil || ok {
		return known, err
	}
	found, err := g.deriveAt(ctx, all, between, []Patient{p}, n)
	if err != nil {
		return "", err
	}
	return found[0], nil
}

// deriveAt derives the handles of normalised patients in one epoch, and keeps them.
func (g *Gateway) deriveAt(ctx context.Context, all contract.Epochs, between relation, patients []Patient, n int) ([]string, error) {
	if err := g.related(ctx, between.custodian, between.requester); err != nil {
		return nil, err
	}
	e, ok := open(all, n, g.now())
	if !ok {
		return nil, refusal.New(epoch.Ended, fmt.Sprintf("epoch %d is not open", n), fmt.Sprintf("a handle of epoch %d", all.Latest))
	}
	r := handle.Relation{Channel: g.Channel, Custodian: between.custodian, Requester: between.requester, Epoch: n}
	found, err := g.derive(ctx, e, r, patients)
	if err != nil {
		return nil, err
	}
	err = g.Keys.Update(func(tx *keys.Tx) error {
		for i, p := range patients {
			if err := save(tx, bucketHandles, handleName(n, between.custodian, between.requester, p), found[i]); err != nil {
				return err
			}
			if between.custodian != g.Self.MSP {
				if err := save(tx, bucketAbout, found[i], p); err != nil {
					return err
				}
				continue
			}
			if _, noted, err := load[whose](tx, bucketWhose, found[i]); err != nil {
				return err
			} else if noted {
				continue
			}
			if err := save(tx, bucketWhose, found[i], whose{Requester: between.requester, Patient: p}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("keeping a handle: %w", err)
	}
	return found, nil
}

// inForce is the handle that a requester names while more than one epoch has been: the
// newest, unless consents stand under an older one whose epoch is open and which the
// custodian hasn't carried yet.
func (g *Gateway) inForce(ctx context.Context, all contract.Epochs, between relation, p Patient, newest string) (string, error) {
	candidates := []string{newest}
	for _, e := range all.Earlier {
		if _, ok := all.Open(e.Number, g.now()); !ok {
			continue
		}
		older, err := g.handleAt(ctx, all, between, p, e.Number)
		if err != nil {
			return "", err
		}
		candidates = append(candidates, older)
	}
	if len(candidates) == 1 { // the others' epochs are over, for good
		g.settled.Store(newest, true)
		return newest, nil
	}
	states, err := g.handleStates(ctx, between, candidates)
	if err != nil {
		return "", err
	}
	for _, older := range states[1:] {
		if older.Carried != nil && older.Carried.To == newest {
			g.settled.Store(newest, true)
			return newest, nil
		}
	}
	if states[0].Consents == 0 {
		for _, older := range states[1:] {
			if older.Consents > 0 && older.Carried == nil {
				return older.Handle, nil
			}
		}
	}
	return newest, nil
}

// handleStates reads how handles of one relationship stand.
func (g *Gateway) handleStates(ctx context.Context, between relation, handles []string) ([]contract.HandleState, error) {
	in := contract.StandingQuery{Custodian: between.custodian, Requester: between.requester, Handles: handles}
	var out contract.StandingList
	if err := g.Ledger.Evaluate(ctx, contract.HandleStanding, in, &out, ledger.OwnPeerOnly()); err != nil {
		return nil, fmt.Errorf("reading what stands under the handles: %w", err)
	}
	if len(out.Handles) != len(handles) {
		return nil, fmt.Errorf("the ledger answered %d handles to a question about %d", len(out.Handles), len(handles))
	}
	return out.Handles, nil
}

// way is the handles that one was carried to since, in order, as the own peer has them; it
// is asked only where another epoch has opened since the handle's.
func (g *Gateway) way(ctx context.Context, between relation, from string) ([]string, error) {
	all, err := g.epochs(ctx)
	if err != nil || epochOf(from) >= all.Latest {
		return nil, err
	}
	var way []string
	for at := from; len(way) < epoch.MaxEarlier; {
		states, err := g.handleStates(ctx, between, []string{at})
		if err != nil {
			return nil, err
		}
		if states[0].Carried == nil {
			break
		}
		at = states[0].Carried.To
		way = append(way, at)
	}
	return way, nil
}

// standsUnder is the handle that a permit's consents stand under now.
func (g *Gateway) standsUnder(ctx context.Context, between relation, permitted string) (string, error) {
	way, err := g.way(ctx, between, permitted)
	if err != nil || len(way) == 0 {
		return permitted, err
	}
	return way[len(way)-1], nil
}

// knownHandles are those that this member has for a normalised patient in a relationship,
// the newest first. Nobody is asked.
func (g *Gateway) knownHandles(all contract.Epochs, between relation, p Patient) ([]string, error) {
	var known []string
	for n := all.Latest; n > 0; n-- {
		h, ok, err := load[string](g.Keys, bucketHandles, handleName(n, between.custodian, between.requester, p))
		if err != nil {
			return nil, err
		}
		if ok && !slices.Contains(known, h) {
			known = append(known, h)
		}
	}
	return known, nil
}
