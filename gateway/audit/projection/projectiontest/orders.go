package projectiontest

import (
	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/gateway/ledger"
)

// disclose orders that something be opened, or goes on with an order: an answer, or a
// conclusion with or without one.
func (g *generator) disclose() ledger.Transaction {
	if len(g.orders) > 2 {
		o := &g.orders[0]
		key := []string{o.Order.Holder, o.Order.Regulator, o.Order.ID}
		if o.Answer == nil && g.IntN(3) > 0 {
			o.Answer = &disclosure.Answer{Order: o.Order.ID, Word: disclosure.Given, At: g.at()}
			if g.IntN(4) == 0 {
				o.Answer.Word, o.Answer.Reason = disclosure.Refused, "privileged"
			}
			return g.callBy(access.RecordsOfficer, o.Order.Holder, contract.DisclosureAnswer, Put(*o.Answer, "answer", key...))
		}
		c := disclosure.Conclusion{Order: o.Order.ID, Outcome: disclosure.Withheld, At: g.at()}
		if o.Answer != nil && o.Answer.Word == disclosure.Given {
			c.Outcome = disclosure.Disclosed
		}
		g.orders = g.orders[1:]
		return g.callBy(access.Auditor, "RegulatorMSP", contract.DisclosureConclude, Put(c, "conclusion", key...))
	}
	a, digest := g.out[0], g.digests[0]
	o := disclosure.Order{
		Draft:     disclosure.Draft{ID: g.hex(32), Subject: disclosure.Subject{What: disclosure.Manifest, Custodian: a.Custodian, Requester: a.Requester, ID: a.ID}, Reason: "case-" + g.hex(4)},
		Regulator: "RegulatorMSP", Holder: a.Custodian, Digest: digest, At: g.at(), Due: g.at() + disclosure.Term,
	}
	g.orders = append(g.orders, disclosure.Disclosure{Order: o})
	return g.callBy(access.Auditor, "RegulatorMSP", contract.DisclosureOrder, Put(o, "order", o.Holder, o.Regulator, o.ID))
}
