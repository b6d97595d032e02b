package replaytest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/epoch"
	"yitong/chaincode/ledgertest"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
)

// story is what the history goes on from.
type story struct {
	grants   []granted
	permits  []access.Access // not released
	released []access.Access // not received
	closed   int64           // newest closed minute
}

// granted is an active consent.
type granted struct {
	custodian string
	contract.Grant
}

// found founds the consortium.
func (c *Chain) found() {
	var all contract.Founding
	kinds := []registry.Kind{registry.Hospital, registry.Hospital, registry.Insurer, registry.Regulator}
	for i, o := range c.Orgs {
		all.Members = append(all.Members, registry.Candidate{MSP: o.MSP, Name: o.MSP, Kind: kinds[i], Gateway: "127.0.0.1:7443", Keys: registry.Keys{
			HPKE:    registry.Key{ID: "hpke", Public: make([]byte, registry.HPKEKeySize)},
			Signing: registry.Key{ID: "signing", Public: SigningKey(c.options.Seed, o.MSP).Public},
		}, Evaluator: &registry.Key{ID: "evaluator", Public: bytes.Repeat([]byte{byte(i + 1)}, epoch.KeySize)}})
	}
	c.Commit(c.Propose("HospitalA", contract.RegistryFound, text(all)))
	c.story.closed = c.Ledger.Now().Unix()/60 - 10
}

// History adds blocks until about n transactions more are in them: anchors, consents of
// several shapes, requests permitted and denied, releases, receipts, amendments,
// withdrawals, closings, and now and then a conflict or a transaction that too few endorse.
func (c *Chain) History(n int) {
	c.t.Helper()
	for n > 0 {
		c.Ledger.Advance(time.Duration(200+c.random.IntN(2000)) * time.Millisecond)
		if c.random.IntN(10) == 0 {
			c.Ledger.Advance(time.Minute)
		}
		var pending []*Pending
		for range min(n, 1+c.random.IntN(c.options.PerBlock)) {
			if p := c.next(); p != nil {
				pending = append(pending, p)
			}
		}
		if len(pending) == 0 {
			continue
		}
		for i, code := range c.Commit(pending...) {
			c.note(pending[i], code == 0)
		}
		n -= len(pending)
	}
}

// next proposes something; nil if there is nothing of the kind drawn.
func (c *Chain) next() *Pending {
	hospital := c.Orgs[c.random.IntN(2)].MSP
	switch draw := c.random.IntN(100); {
	case draw < 12:
		return c.Propose(hospital, contract.RecordAnchor, text(contract.Anchoring{Records: []contract.AnchorDraft{
			{ID: c.id(16), Root: record.Hash([]byte(c.id(16))), Parts: 1 + c.random.IntN(30), Bytes: 1 + c.random.Int64N(1<<20)},
		}}))
	case draw < 26:
		g := granted{custodian: hospital, Grant: contract.Grant{ID: c.id(16), Requester: "Insurer", Handle: "1-" + c.id(32), Provision: c.provision(), Evidence: c.id(32)}}
		return c.Propose(hospital, contract.ConsentGrant, text(g.Grant))
	case draw < 60:
		return c.request()
	case draw < 74 && len(c.story.permits) > 0:
		i := c.random.IntN(len(c.story.permits))
		a := c.story.permits[i]
		return c.maybe(a.Custodian, contract.AccessRelease, contract.Releasing{Releases: []contract.ReleaseOrder{
			{Permit: a.ID, Requester: a.Requester, Handle: a.Handle, Manifest: c.id(32)},
		}})
	case draw < 86 && len(c.story.released) > 0:
		a := c.story.released[c.random.IntN(len(c.story.released))]
		return c.maybe(a.Requester, contract.AccessReceive, contract.Receiving{Receipts: []contract.ReceiptOrder{
			{Permit: a.ID, Custodian: a.Custodian, Manifest: a.Claim, Outcome: access.Opened},
		}})
	case draw < 90 && len(c.story.grants) > 0:
		g := c.story.grants[c.random.IntN(len(c.story.grants))]
		return c.maybe(g.custodian, contract.ConsentWithdraw, contract.Withdrawal{ID: g.ID, Requester: g.Requester, Handle: g.Handle, Reason: "patient-request"})
	case draw < 94 && len(c.story.grants) > 0:
		g := c.story.grants[c.random.IntN(len(c.story.grants))]
		return c.maybe(g.custodian, contract.ConsentAmend, contract.Amendment{
			ID: g.ID, Version: 2, Requester: g.Requester, Handle: g.Handle, Provision: c.provision(), Evidence: g.Evidence,
		})
	case draw < 97:
		ripe := (c.Ledger.Now().Unix()-registry.MaxSkew)/60 - 1
		return c.maybe(c.Orgs[c.random.IntN(4)].MSP, contract.RegistryClose, contract.Closing{Through: ripe})
	case draw < 98:
		return c.Propose("Insurer", contract.AccessRequest, text(c.asking("HospitalA", "1-"+c.id(32))), "Insurer") // too few endorse
	}
	return nil
}

func (c *Chain) provision() consent.Provision {
	p := consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Laboratory, record.Claim)}
	switch c.random.IntN(3) {
	case 0:
		p.Purposes = consent.PurposesOf(consent.HPAYMT)
	case 1:
		p.Provisions = []consent.Provision{{Type: consent.Deny, Classes: record.ClassesOf(record.Claim)}}
	}
	return p
}

func (c *Chain) request() *Pending {
	custodian, handle := c.Orgs[c.random.IntN(2)].MSP, "1-"+c.id(32)
	if len(c.story.grants) > 0 && c.random.IntN(4) > 0 {
		g := c.story.grants[c.random.IntN(len(c.story.grants))]
		custodian, handle = g.custodian, g.Handle
	}
	return c.Propose("Insurer", contract.AccessRequest, text(c.asking(custodian, handle)))
}

func (c *Chain) asking(custodian, handle string) access.Request {
	return access.Request{
		ID: c.id(16), Custodian: custodian, Handle: handle, Purpose: consent.CLMATTCH, Action: consent.Access,
		Classes: record.ClassesOf(record.Laboratory, record.Condition),
	}
}

// maybe proposes what the rules may refuse.
func (c *Chain) maybe(msp, function string, in any) *Pending {
	p, err := c.TryPropose(msp, function, text(in))
	var refused *ledgertest.ResponseError
	if err != nil && !errors.As(err, &refused) {
		c.t.Fatal(err)
	}
	return p
}

// note remembers what a block brought about.
func (c *Chain) note(p *Pending, valid bool) {
	if !valid {
		return
	}
	s := &c.story
	switch p.Tx.Args[0] {
	case contract.ConsentGrant:
		g := granted{custodian: p.Tx.Creator.MSP}
		c.decode(p.Tx.Args[1], &g.Grant)
		s.grants = append(s.grants, g)
	case contract.AccessRequest:
		var a access.Access
		c.decode(string(p.Tx.Response), &a)
		if a.Permitted() {
			s.permits = append(s.permits, a)
		}
	case contract.AccessRelease:
		var in contract.Releasing
		c.decode(p.Tx.Args[1], &in)
		for i, a := range s.permits {
			if a.ID == in.Releases[0].Permit {
				a.Claim = in.Releases[0].Manifest // borrowed to carry the manifest
				s.released = append(s.released, a)
				s.permits = append(s.permits[:i:i], s.permits[i+1:]...)
				return
			}
		}
	case contract.AccessReceive:
		var in contract.Receiving
		c.decode(p.Tx.Args[1], &in)
		for i, a := range s.released {
			if a.ID == in.Receipts[0].Permit {
				s.released = append(s.released[:i:i], s.released[i+1:]...)
				return
			}
		}
	case contract.ConsentWithdraw, contract.ConsentAmend:
		var in struct{ ID string }
		c.decode(p.Tx.Args[1], &in)
		for i, g := range s.grants {
			if g.ID == in.ID {
				s.grants = append(s.grants[:i:i], s.grants[i+1:]...)
				return
			}
		}
	}
}

// Find is the block and index of the n-th valid transaction of a function.
func (c *Chain) Find(function string, n int) (block, index int) {
	c.t.Helper()
	for i, b := range c.Blocks {
		for j := range b.Data.Data {
			if b.Metadata.Metadata[2][j] != 0 || c.configs[uint64(i)] {
				continue
			}
			if p := c.Open(i, j); len(p.Args) > 0 && string(p.Args[0]) == function {
				if n--; n < 0 {
					return i, j
				}
			}
		}
	}
	c.t.Fatalf("replaytest: no such transaction of %s", function)
	return 0, 0
}

func (c *Chain) id(bytes int) string {
	b := make([]byte, bytes)
	for i := range b {
		b[i] = byte(c.random.Uint32())
	}
	return hex.EncodeToString(b)
}

func (c *Chain) decode(doc string, into any) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(doc), into); err != nil {
		c.t.Fatal(err)
	}
}

func text(doc any) string {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("replaytest: %v", err))
	}
	return string(b)
}
