package share

import (
	"context"
	"errors"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/disclosure"
	"yitong/chaincode/registry"
)

// answerPace is how often a gateway looks for orders that it hasn't answered.
const answerPace = time.Minute

// KeepAnswering answers orders to this member, until the gateway is closed. A regulator
// that orders and never fetches could otherwise call the silence a refusal once the term
// is over. A member that reviews orders answers by itself.
func (g *Gateway) KeepAnswering() {
	if g.Review || g.Self.Kind == registry.Regulator {
		return
	}
	g.work.Go(func() {
		ticker := time.NewTicker(answerPace)
		defer ticker.Stop()
		for {
			if err := g.AnswerOrders(g.ctx); err != nil && g.ctx.Err() == nil {
				g.Log.Warn("orders to disclose could not be answered", "error", err)
			}
			select {
			case <-ticker.C:
			case <-g.ctx.Done():
				return
			}
		}
	})
}

// AnswerOrders answers every order to this member that is open and unanswered. Trouble
// with one doesn't keep it from the others.
func (g *Gateway) AnswerOrders(ctx context.Context) error {
	var failed error
	for bookmark, more := "", true; more; more = bookmark != "" {
		page, err := g.Disclosures(ctx, g.Self.MSP, bookmark, contract.MaxPage)
		if err != nil {
			return errors.Join(failed, err)
		}
		for _, d := range page.Disclosures {
			if d.Answer == nil && d.Conclusion == nil {
				failed = errors.Join(failed, g.answerOrder(ctx, d.Order))
			}
		}
		bookmark = page.Bookmark
	}
	return failed
}

func (g *Gateway) answerOrder(ctx context.Context, o disclosure.Order) error {
	defer g.orders.lock(o.ID)()
	name := contract.DisclosureQuery{Holder: o.Holder, Regulator: o.Regulator, Order: o.ID}
	d, err := g.disclosure(ctx, name)
	if err != nil || d.Answer != nil || d.Conclusion != nil { // answered since it was listed
		return err
	}
	_, kept, err := g.behind(o)
	if err != nil {
		return err
	}
	_, err = g.comply(ctx, name, kept)
	return err
}
