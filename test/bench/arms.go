package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	fabricclient "github.com/hyperledger/fabric-gateway/pkg/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/access"
	"yitong/chaincode/consent"
	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/consortium"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// arm is one thing that is measured.
type arm struct {
	name    string
	items   int // that one call of do gets done
	do      func(ctx context.Context) outcome
	against string // the arm that it is to cost no more than, "" for none
}

// outcome is how one call ended.
type outcome int

const (
	done    outcome = iota
	failed          // it certainly didn't happen
	unknown         // it may have happened
)

// The arms, by name.
const (
	armFloor    = "floor"
	armControl  = "floor'"
	armRequest  = "request"
	armAccess   = "access"
	armAnchor   = "anchor"
	armAnchor64 = "anchor64"

	armRequestFull = "request+"
	armAccessFull  = "access+"
	armGrant       = "grant"
	armGrantSigned = "grant+"
	armAsk         = "ask"
	armAskUnseen   = "ask+"
)

// batch is how many anchors go into one transaction of anchor64: the most that
// chaincode takes.
const batch = 64

func (w *world) arms() []arm {
	bare := w.contract(w.asInsurer, floorChaincode)
	asInsurer := w.contract(w.asInsurer, consortium.Chaincode)
	asCustodian := w.contract(w.asCustod, consortium.Chaincode)
	var turn atomic.Uint64
	next := func() patient { return w.patients[turn.Add(1)%patientCount] }
	nextFull := func() patient { return w.guarded[turn.Add(1)%patientCount] }
	value := bytes.Repeat([]byte("x"), floorSize)

	put := func(ctx context.Context) outcome {
		return w.submit(ctx, bare, "put", []byte(randomHex(16)), value)
	}
	request := func(next func() patient, types record.Types) func(context.Context) outcome {
		return func(ctx context.Context) outcome {
			p := next()
			return w.submit(ctx, asInsurer, contract.AccessRequest, document(access.Request{
				ID: client.NewID(), Custodian: p.custodian, Handle: p.handle, Purpose: consent.CLMATTCH, Action: consent.Access,
				Classes: record.ClassesOf(record.Laboratory), Types: types, Claim: randomHex(32),
			}))
		}
	}
	anchor := func(n int) func(context.Context) outcome {
		return func(ctx context.Context) outcome {
			var in contract.Anchoring
			for range n {
				root, _ := record.ParseHash(randomHex(32))
				in.Records = append(in.Records, contract.AnchorDraft{ID: client.NewID(), Root: root, Parts: 7, Bytes: 65536})
			}
			return w.submit(ctx, asCustodian, contract.RecordAnchor, document(in))
		}
	}
	whole := func(next func() patient) func(context.Context) outcome {
		return func(ctx context.Context) outcome { return w.share(ctx, next()) }
	}
	return []arm{
		{armFloor, 1, put, ""},
		{armControl, 1, put, ""},
		{armRequest, 1, request(next, 0), ""},
		{armAccess, 1, whole(next), ""},
		{armAnchor, 1, anchor(1), ""},
		{armAnchor64, batch, anchor(batch), ""},

		{armRequestFull, 1, request(nextFull, record.TypesOf(record.FHIR)), armRequest},
		{armAccessFull, 1, whole(nextFull), armAccess},
		{armGrant, 1, func(ctx context.Context) outcome { return w.attest(ctx, asCustodian) }, ""},
		{armGrantSigned, 1, func(ctx context.Context) outcome { return w.direct(ctx, asCustodian, custodian, "1-"+randomHex(32)) }, armGrant},
		{armAsk, 1, func(ctx context.Context) outcome { return w.ask(ctx, next().id) }, ""},
		{armAskUnseen, 1, func(ctx context.Context) outcome { return w.ask(ctx, numbered("unseen", turn.Add(1))) }, armAsk},
	}
}

func document(in any) []byte {
	doc, err := json.Marshal(in, json.Deterministic(true))
	if err != nil {
		panic(err) // of our own making, always encodable
	}
	return doc
}

// submit sends one transaction, waits for its commit and notes what became of it.
func (w *world) submit(ctx context.Context, c *fabricclient.Contract, function string, args ...[]byte) outcome {
	proposal, err := c.NewProposal(function, fabricclient.WithBytesArguments(args...))
	if err != nil {
		return w.sent.trouble(failed, err)
	}
	tx, err := proposal.EndorseWithContext(ctx)
	if err != nil {
		return w.sent.trouble(failed, err)
	}
	id := proposal.TransactionID()
	commit, err := tx.SubmitWithContext(ctx)
	if err != nil {
		w.sent.unknown(id)
		return w.sent.trouble(unknown, err)
	}
	s, err := commit.StatusWithContext(ctx)
	if err != nil {
		w.sent.unknown(id)
		return w.sent.trouble(unknown, err)
	}
	if !s.Successful {
		return w.sent.trouble(failed, errors.New(s.Code.String()))
	}
	w.sent.acknowledge(id)
	return done
}

// share has the insurer's software request an access and open what it permits.
func (w *world) share(ctx context.Context, p patient) outcome {
	id := client.NewID()
	answer, err := w.insurer.Accesses.Request(ctx, requestFor(p, id))
	if err != nil {
		w.sent.unknownAccess(id)
		return w.sent.trouble(fateOf(err), err)
	}
	if answer.GetAccess().GetOutcome() != "permit" {
		w.sent.unknownAccess(id)
		return w.sent.trouble(failed, errors.New("denied"))
	}
	var content bytes.Buffer
	summary, err := w.insurer.Open(ctx, id, p.custodian, into(&content))
	if err != nil {
		w.sent.unknownAccess(id)
		return w.sent.trouble(fateOf(err), err)
	}
	if !bytes.Equal(content.Bytes(), p.content) {
		w.sent.unknownAccess(id)
		return w.sent.trouble(failed, errors.New("what was opened is not what was submitted"))
	}
	w.sent.acknowledgeAccess(id, answer.GetCommit().GetTransactionId(), summary.GetReceipt().GetTransactionId())
	return done
}

// fateOf tells a gateway's refusal from an answer that leaves things open.
func fateOf(err error) outcome {
	if _, ok := client.Refusal(err); ok {
		return failed
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Unknown:
		return unknown
	}
	return failed
}

// into writes every part to one place.
func into(w io.Writer) client.Part {
	return func(*yitongv1.Part) (io.Writer, error) { return w, nil }
}
