// Package share is what a member's gateway does: the use cases of sharing a
// medical record under consent, in the order in which they happen.
//
//	hospital   Submit     split, seal, keep, anchor
//	           Grant      a patient's consent onto the ledger; Amend, Withdraw
//	insurer    Request    ask; the ledger decides and records the decision
//	hospital   BreakGlass the same in an emergency, without consent; Review, Resolve by a regulator
//	           Open       have the keys released, verify, open, receipt
//	hospital   Release    check the permit, commit the release, then wrap and send
//	           Erase      tombstone on the ledger, keys destroyed, requesters told
//	insurer    Acknowledge  what became of what it had opened
//
// Nothing here decides whether access is allowed: chaincode does, by the rules in
// chaincode/consent and chaincode/access. What this package guards is the order.
// A key is wrapped only after the release that names it is committed; a part is
// handed to the caller only after it is verified against the anchor on the
// member's own peer.
//
// Every use case that writes is named by an id that the caller may choose. What
// it needs to finish is kept in the key store before the ledger is asked, so that
// after a crash at any point, or a lost answer, the same call again completes it
// once; Resume finishes by itself what needs no caller.
package share

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/registry"
	"yitong/gateway/handle"
	"yitong/gateway/keys"
	"yitong/gateway/ledger"
	"yitong/gateway/retention"
	"yitong/gateway/seal"
	"yitong/gateway/vault"
)

// ErrUnavailable says that another member's gateway couldn't be reached. Nothing
// is lost: the same call again goes on from there.
var ErrUnavailable = errors.New("the other member's gateway can't be reached")

// Ledger is the part of *ledger.Ledger that the use cases need.
type Ledger interface {
	Submit(ctx context.Context, function string, in, out any) (ledger.Commit, error)
	Evaluate(ctx context.Context, function string, in, out any, opts ...ledger.Option) error
	Height(ctx context.Context) (uint64, error)
}

// Submitter submits transactions under one identity of the member.
type Submitter interface {
	Submit(ctx context.Context, function string, in, out any) (ledger.Commit, error)
}

// Exchange reaches the other members' gateways.
type Exchange interface {
	// Evaluate has an evaluator evaluate blinded identifiers, 32 bytes each. What is over
	// the quota is an *Exceeded.
	Evaluate(ctx context.Context, evaluator registry.Member, r handle.Relation, blinded [][]byte) (handle.Evaluation, error)
	// Release asks a custodian to let a permit's keys go.
	Release(ctx context.Context, custodian registry.Member, q ReleaseQuery) (Delivery, error)
	// Disclose asks a holder for what an order of this regulator's is about. The order
	// stands in a block below height.
	Disclose(ctx context.Context, holder registry.Member, order string, height uint64) (Disclosed, error)
	// Erased tells a requester that what it was released is erased. It returns nil once the
	// requester's gateway has found the tombstone on its own peer.
	Erased(ctx context.Context, requester registry.Member, n Notice) error
}

// Delivery is what a custodian sends for a permit.
type Delivery interface {
	// Manifest names the parts that follow.
	Manifest() *seal.Manifest
	// Part reads the sealed bytes of the next part, in the manifest's order, from where
	// what the requester holds ends.
	Part() (io.Reader, error)
	Close() error
}

// Config is what a Gateway is made of.
type Config struct {
	Self   registry.Candidate // MSP, name, kind and address; keys are filled in
	Ledger Ledger
	// Clinicians submits under a certificate with the role of a clinician; nil where the
	// member has none, which then breaks no glass.
	Clinicians Submitter
	Keys       *keys.Store
	Vault      vault.Vault
	Exchange   Exchange
	Now        func() time.Time // default time.Now
	Log        *slog.Logger     // default slog.Default()
	// Channel names the ledger; handles are derived for it alone.
	Channel string
	// Evaluator says that this member is to evaluate from the founding on (package handle).
	// Who evaluates later, the evaluators agree on by the ledger.
	Evaluator bool
	// Quota bounds what this member, as an evaluator, evaluates for each other one.
	Quota Quota
	// Gather is how long a release, receipt or anchor waits for others to share its
	// transaction while none is on its way. Default 20 ms. While one is, it waits for
	// that, but no longer than ten times as long.
	Gather time.Duration
	// Holders are the other members' gateways as keepers of what is in escrow; nil does
	// without escrow.
	Holders Holders
	Escrow  EscrowPolicy
	// Review keeps what a regulator orders until this member's own software answers
	// (AnswerDisclosure). By default an order is complied with at once.
	Review bool
	// Retention says how long this hospital keeps what. By default everything is kept.
	Retention retention.Policy
	// NoCopies keeps nothing of what is opened (copies.go).
	NoCopies bool
	// Uploads bounds what is uploaded piece by piece.
	Uploads UploadPolicy
	// Sweep is how often is looked for what falls due. Default an hour.
	Sweep time.Duration
	// Current says why nothing may be released on what the own peer has now; nil, or a nil
	// error, is no reason.
	Current func() error
}

// Gateway carries out one member's use cases. It is safe for concurrent use.
type Gateway struct {
	Config
	ring     ring
	eval     evaluating
	almanac  almanac
	settled  sync.Map // handles that nothing is to be carried to any more
	misnamed sync.Map // by releaseName: how often a break-glass permit was said to be of somebody else
	salts    []byte
	members  *directory
	clock    closings
	records  locks // by record id
	permits  locks // by releaseName
	orders   locks // by order id
	signing  locks // by relationship

	rotating sync.Mutex // one change of keys at a time
	copies   locks      // by custodian and record id
	taking   locks      // by copyName

	uploading locks // by record id
	appending appends

	standings standings
	lists     *lists

	anchoring *batcher[catalogued, ledger.Commit]
	releasing *batcher[releaseOrder, releaseCommit]
	receiving *batcher[receiptOrder, ledger.Commit]
	looking   *batcher[lookup, contract.AccessEntry]
	verifying *batcher[anchored, *record.Anchor]
	keeping   *batcher[claimed, string]
	naming    *batcher[acting, string]
	noting    *batcher[*seal.Manifest, struct{}]
	permitted recent
	told      recent        // of permits that another member's peer committed, before the own one
	lodgings  chan struct{} // something is to be carried into escrow

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup

	unanchored sync.Map // ids of records whose anchors aren't on the ledger yet, since Resume

	interrupt func(at string) error // tests cut erasures short by it
}

// batchSize is how many releases, receipts, anchors or look-ups go into one
// transaction or query: chaincode takes no more.
const batchSize = 64

// New makes a gateway over an opened key store and vault. At the first start it
// makes the member's keys. Close ends it.
func New(c Config) (*Gateway, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Gather == 0 {
		c.Gather = 20 * time.Millisecond
	}
	c.Uploads = c.Uploads.withDefaults()
	if c.Sweep == 0 {
		c.Sweep = time.Hour
	}
	if c.Quota.PerDay <= 0 || c.Quota.Burst <= 0 {
		c.Quota = DefaultQuota
	}
	g := &Gateway{Config: c, lodgings: make(chan struct{}, 1), members: newDirectory(c.Ledger, c.Now), lists: newLists(c.Keys)}
	if err := g.loadSecrets(); err != nil {
		return nil, fmt.Errorf("loading the member's keys: %w", err)
	}
	g.ctx, g.stop = context.WithCancel(context.Background())
	g.anchoring = newBatcher(g.ctx, batchSize, c.Gather, 10*c.Gather, g.anchorAll)
	g.releasing = newBatcher(g.ctx, batchSize, c.Gather, 10*c.Gather, g.releaseAll)
	g.receiving = newBatcher(g.ctx, batchSize, c.Gather, 10*c.Gather, g.receiveAll)
	g.looking = newBatcher(g.ctx, batchSize, c.Gather/10, c.Gather, g.lookUpAll)
	g.verifying = newBatcher(g.ctx, batchSize, c.Gather/10, c.Gather, g.anchorsOf)
	g.keeping = newBatcher(g.ctx, batchSize, 0, c.Gather, g.keepClaims)
	g.naming = newBatcher(g.ctx, batchSize, 0, c.Gather, g.keepUsers)
	g.noting = newBatcher(g.ctx, batchSize, 0, c.Gather, g.noteAll)
	return g, nil
}

// Close waits for what is under way to reach the ledger, for as long as ctx
// allows, and ends the background work.
func (g *Gateway) Close(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.anchoring.close()
		g.releasing.close()
		g.receiving.close()
		g.looking.close()
		g.verifying.close()
		g.keeping.close()
		g.naming.close()
		g.noting.close()
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("work under way was cut off; it goes on at the next start: %w", ctx.Err())
	}
	last, cancel := context.WithTimeout(ctx, lastAccount)
	defer cancel()
	if aerr := g.Account(last); aerr != nil {
		g.Log.Warn("evaluations are accounted for at the next start", "error", aerr)
	}
	g.stop()
	g.work.Wait()
	<-done
	return err
}

// now is this gateway's own clock, to the second.
func (g *Gateway) now() record.Instant { return record.At(g.Now()) }
