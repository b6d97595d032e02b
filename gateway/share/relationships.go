package share

import (
	"context"

	"yitong/chaincode/contract"
	"yitong/gateway/seal"
)

// Relationships lists the handles under which this member knows a patient, those of epochs
// that are over too: as custodian and as requester, with every member that it derived one
// for. Nobody is asked now.
func (g *Gateway) Relationships(ctx context.Context, p Patient) ([]contract.Relationship, error) {
	p, err := p.Normalise()
	if err != nil {
		return nil, err
	}
	members, err := g.members.all(ctx)
	if err != nil {
		return nil, err
	}
	all, err := g.epochs(ctx)
	if err != nil {
		return nil, err
	}
	var known []contract.Relationship
	for _, m := range members {
		for _, between := range []relation{{g.Self.MSP, m.MSP}, {m.MSP, g.Self.MSP}} {
			handles, err := g.knownHandles(all, between, p)
			if err != nil {
				return nil, err
			}
			for _, h := range handles {
				known = append(known, contract.Relationship{Custodian: between.custodian, Requester: between.requester, Handle: h})
			}
		}
	}
	return known, nil
}

// RecordsOf lists the ids of the patient's records that this hospital holds.
func (g *Gateway) RecordsOf(p Patient) ([]string, error) {
	p, err := p.Normalise()
	if err != nil {
		return nil, err
	}
	ids, _, err := load[[]string](g.Keys, bucketPatients, p.key())
	return ids, err
}

// Sign signs a statement of this member's under a label, with the key that the registry
// shows of it.
func (g *Gateway) Sign(label string, content []byte) (seal.VerifyingKey, []byte) {
	_, signing := g.ring.present()
	return signing.Public(), signing.SignStatement(label, content)
}
