package share

import (
	"context"

	"yitong/chaincode/contract"
	"yitong/chaincode/registry"
	"yitong/gateway/seal"
)

// Relationships lists under which handles this member knows a patient: as custodian,
// with every member that could ask; as requester, with every custodian that has been
// asked for the handle before. Nobody is asked now, and a patient unknown here has none
// on the requester's side.
func (g *Gateway) Relationships(ctx context.Context, p Patient) ([]contract.Relationship, error) {
	p, err := p.Normalise()
	if err != nil {
		return nil, err
	}
	members, err := g.members.all(ctx)
	if err != nil {
		return nil, err
	}
	var known []contract.Relationship
	for _, m := range members {
		if m.MSP == g.Self.MSP || m.Kind == registry.Regulator {
			continue
		}
		if g.Self.Kind == registry.Hospital {
			known = append(known, contract.Relationship{Custodian: g.Self.MSP, Requester: m.MSP, Handle: g.handles.handle(m.MSP, p)})
		}
		if m.Kind != registry.Hospital {
			continue
		}
		handle, ok, err := load[string](g.Keys, bucketHandles, m.MSP+"|"+p.key())
		if err != nil {
			return nil, err
		}
		if ok {
			known = append(known, contract.Relationship{Custodian: m.MSP, Requester: g.Self.MSP, Handle: handle})
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
