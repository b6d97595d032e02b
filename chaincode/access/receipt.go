package access

import (
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// Opening is how the opening of a release ended.
type Opening string

// Opened: all parts verified and opened. Failed: something did not.
const (
	Opened Opening = "opened"
	Failed Opening = "failed"
)

// Receipt is the requester's word on what came of a release.
type Receipt struct {
	Permit   string         `json:"permit"`   // id of the request
	Manifest string         `json:"manifest"` // 64 hex digits: the digest of the manifest received
	Outcome  Opening        `json:"outcome"`
	At       record.Instant `json:"at"`
	Actor                   // who opened; who asked may be another
}

// Receive records the receipt of a release, once. prior is the receipt already recorded,
// nil if none; the same content again answers with it, whoever opened again. caller is the requester that calls.
//
// Refusals: malformed, not-requester, member-suspended, exists, not-released (release is
// nil), manifest-mismatch.
func (a Access) Receive(manifest string, outcome Opening, by Actor, release *Release, prior *Receipt, caller registry.Member, at record.Instant) (Receipt, error) {
	if err := CheckManifest(manifest); err != nil {
		return Receipt{}, err
	}
	if outcome != Opened && outcome != Failed {
		return Receipt{}, refusal.New(refusal.Malformed, "the outcome is unknown", "opened or failed")
	}
	if err := by.Check(); err != nil {
		return Receipt{}, err
	}
	if caller.MSP != a.Requester {
		return Receipt{}, refusal.New(refusal.NotRequester, caller.MSP+" is not the requester of this permit", "receipt by "+a.Requester)
	}
	if err := bothActive(caller, caller); err != nil {
		return Receipt{}, err
	}
	if prior != nil {
		if prior.Manifest == manifest && prior.Outcome == outcome {
			return *prior, nil
		}
		return Receipt{}, refusal.New(refusal.Exists, "another receipt is recorded", "the recorded receipt again")
	}
	if release == nil {
		return Receipt{}, refusal.New(NotReleased, "nothing was released under this permit", "a receipt after the release")
	}
	if release.Manifest != manifest {
		return Receipt{}, refusal.New(ManifestMismatch, "the release names another manifest", "a receipt for the manifest released")
	}
	return Receipt{Permit: a.ID, Manifest: manifest, Outcome: outcome, At: at, Actor: by}, nil
}
