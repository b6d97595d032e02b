package api

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
	"yitong/gateway/identity"
	"yitong/gateway/identity/scope"
	"yitong/gateway/outbox"
	"yitong/gateway/policy"
	"yitong/gateway/share"
)

// KeyReused refuses a call whose idempotency key was used for another one.
const KeyReused refusal.Code = "key-reused"

// idempotencyKey is the metadata in which a caller names a write (over HTTP the header
// Idempotency-Key). The answer's header says the name that it has.
const idempotencyKey = "idempotency-key"

// handling is what the door does with a method's calls so that a write happens once.
type handling int

const (
	_ handling = iota
	// It writes nothing that another call could do twice.
	reads
	// It is entered in the outbox: a repeat gets the first one's answer, and what was cut off
	// is carried on without its caller.
	recorded
	// The same, but it is not carried on without its caller unless something of it was handed
	// to the orderers: what it is for doesn't wait.
	waits
	// It writes, and what it writes makes the repeat harmless; unaccompanied says how.
	unaccompanied
)

// method is how a method of the API is handled.
type method struct {
	handling
	// names says that the message's id is chosen by the caller and names what is made: it is the
	// idempotency key of a call that brings no other.
	names bool
	// why a method that writes isn't recorded.
	why string
}

// methods lists every method of the API, as Service.Method. One that isn't here fails a test.
var methods = map[string]method{
	"Records.Submit":  {handling: unaccompanied, names: true, why: "the content doesn't fit; share's catalogue carries it by the record's id"},
	"Records.List":    {handling: reads},
	"Records.Retract": {handling: recorded},

	"Consents.Grant":    {handling: recorded, names: true},
	"Consents.Amend":    {handling: recorded},
	"Consents.Withdraw": {handling: recorded},
	"Consents.List":     {handling: reads},
	"Consents.History":  {handling: reads},

	"Directives.Get":    {handling: reads},
	"Directives.Search": {handling: reads},
	"Requests.Get":      {handling: reads},
	"Requests.Search":   {handling: reads},

	"Patients.Prepare": {handling: reads},
	"Patients.Direct":  {handling: recorded},
	"Patients.Recover": {handling: recorded},

	"Policies.Show": {handling: reads},
	"Policies.Set":  {handling: recorded},

	"Accesses.Request": {handling: recorded, names: true},
	"Accesses.Open":    {handling: unaccompanied, why: "it delivers to who asks; release and receipt are carried by share, by the permit's id"},
	"Accesses.Get":     {handling: reads},
	"Accesses.List":    {handling: reads},

	"Emergencies.Open":    {handling: waits, names: true},
	"Emergencies.List":    {handling: reads},
	"Emergencies.Review":  {handling: recorded},
	"Emergencies.Resolve": {handling: recorded},
	"Emergencies.Watch":   {handling: reads},
	"Emergencies.History": {handling: reads},
	"Emergencies.Rates":   {handling: reads},

	"Erasures.Erase":       {handling: recorded},
	"Erasures.Hold":        {handling: recorded},
	"Erasures.Unhold":      {handling: recorded},
	"Erasures.Due":         {handling: reads},
	"Erasures.Pending":     {handling: reads},
	"Erasures.Notices":     {handling: reads},
	"Erasures.Acknowledge": {handling: recorded},

	"Members.List": {handling: reads},
	"Members.Move": {handling: recorded},

	"Audit.History":         {handling: reads},
	"Audit.Entries":         {handling: reads},
	"Audit.Consent":         {handling: reads},
	"Audit.Disclosures":     {handling: reads},
	"Audit.Denials":         {handling: reads},
	"Audit.Unreceipted":     {handling: reads},
	"Audit.Expiring":        {handling: reads},
	"Audit.Changes":         {handling: reads},
	"Audit.Digest":          {handling: reads},
	"Audit.Rebuild":         {handling: unaccompanied, why: "it makes the projection anew, as often as one likes"},
	"Audit.Export":          {handling: reads},
	"Audit.OrderDisclosure": {handling: recorded, names: true},
	"Audit.Orders":          {handling: reads},
	"Audit.AnswerOrder":     {handling: recorded},

	"Node.Status": {handling: reads},

	"Handles.Epochs": {handling: reads},
	"Handles.Roll":   {handling: waits},
	"Handles.Counts": {handling: reads},

	"Heights.List": {handling: reads},

	"Keys.List":   {handling: reads},
	"Keys.Rotate": {handling: waits},

	"Lodgings.Get": {handling: reads},

	"Callers.Whoami": {handling: reads},
	"Callers.Why":    {handling: reads},

	"Contents.List": {handling: reads},
	"Contents.Read": {handling: reads},

	"Uploads.Create": {handling: unaccompanied, names: true, why: "it answers with the upload of that id"},
	"Uploads.Append": {handling: unaccompanied, why: "it says from where it adds, and nothing is added twice"},
	"Uploads.Get":    {handling: reads},
	"Uploads.Finish": {handling: unaccompanied, why: "the upload's id is its record's, which share's catalogue carries"},
	"Uploads.Cancel": {handling: unaccompanied, why: "what is gone stays gone"},

	"Events.List":          {handling: reads},
	"Events.Watch":         {handling: reads},
	"Events.Subscribe":     {handling: unaccompanied, why: "the same id again answers with what there is; its secret is shown once"},
	"Events.Unsubscribe":   {handling: unaccompanied, why: "what is gone stays gone"},
	"Events.Subscriptions": {handling: reads},
	"Events.Deliveries":    {handling: reads},
	"Events.Redeliver":     {handling: unaccompanied, why: "a delivery is told by its position, and may come twice"},
	"Events.Enable":        {handling: unaccompanied, why: "what is enabled stays enabled"},
	"Events.RotateSecret":  {handling: unaccompanied, why: "the secret is shown once; who lost it has another made"},
	"Events.Ping":          {handling: unaccompanied, why: "a ping may come twice"},

	"Outbox.List":    {handling: reads},
	"Backups.Create": {handling: reads},
	"Outbox.Show":    {handling: reads},
	"Outbox.Retry":   {handling: unaccompanied, why: "it has an entry tried, which is carried out once"},
	"Outbox.Drop":    {handling: unaccompanied, why: "what is dropped is gone"},

	// Between members' gateways: each names what it is about by an id on the ledger, or of a
	// record, and says the same when it is asked again.
	"Exchange.Release":   {handling: unaccompanied, why: "one release for a permit, chosen once"},
	"Exchange.Disclose":  {handling: unaccompanied, why: "one answer to an order"},
	"Exchange.Height":    {handling: reads},
	"Tombstones.Erased":  {handling: unaccompanied, why: "a notice is kept by record and tombstone"},
	"Escrow.Deposit":     {handling: unaccompanied, why: "a lodging is kept by record and epoch"},
	"Escrow.Index":       {handling: unaccompanied, why: "the index is kept by handle"},
	"Escrow.Recover":     {handling: unaccompanied, why: "it delivers to who asks; what it writes it names by the permit"},
	"Escrow.Share":       {handling: unaccompanied, why: "what it writes it names by the permit"},
	"Escrow.Forget":      {handling: unaccompanied, why: "what is forgotten is gone"},
	"Escrow.Alive":       {handling: reads},
	"Evaluator.Evaluate": {handling: unaccompanied, why: "a counted question: every evaluation is one"},
}

// once has a call that writes carried out once (package outbox).
func (d door) once(ctx context.Context, full string, req any, handler grpc.UnaryHandler) (any, error) {
	m := methods[short(full)]
	asked, ok := req.(proto.Message)
	if d.outbox == nil || !ok || m.handling != recorded && m.handling != waits {
		return handler(ctx, req)
	}
	key, given, err := idempotencyOf(ctx, asked, m)
	if err != nil {
		return nil, err
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(asked)
	if err != nil {
		return nil, err
	}
	call := outbox.Call{Caller: entryCaller(ctx), Method: full, Key: key, Body: body, Alone: m.handling == waits}
	out, _, err := d.outbox.Carry(ctx, call, func(ctx context.Context, e outbox.Entry) outbox.Outcome {
		return d.attempt(ctx, e, !given, func(ctx context.Context) (any, error) {
			return handler(ctx, req)
		})
	})
	switch {
	case errors.Is(err, outbox.ErrReused) && given:
		return nil, refusal.New(KeyReused, "this idempotency key was used for another request", "the same request again, or a new key")
	case errors.Is(err, outbox.ErrReused):
		return nil, refusal.New(refusal.Exists, "the id names another request of this caller", "the same request again, or a new id")
	case errors.Is(err, outbox.ErrFull):
		return nil, status.Error(codes.Unavailable, "the outbox is full, nothing was begun: try again later, and tell whoever runs this gateway")
	case err != nil && ctx.Err() != nil:
		return nil, status.FromContextError(ctx.Err()).Err()
	case err != nil:
		d.log.Error("a write was turned away", "method", full, "error", err)
		return nil, status.Error(codes.Unavailable, "the gateway can't note what it is asked, nothing was begun: try again later, and tell whoever runs this gateway")
	case !out.Final:
		return nil, goesOn(out.Err)
	}
	return d.answered(full, out.Answer)
}

// goesOn says of a write that failed for now that it isn't over.
func goesOn(err error) error {
	s := status.Convert(err).Proto()
	s.Message += "; the gateway keeps this call and goes on by itself, the same call again under the same id or key tells how it ended"
	return status.ErrorProto(s)
}

// attempt carries an entry out, and says what became of it. forget: a refusal need not be
// kept, because the caller's own id names the call, and what is refused has not happened.
func (d door) attempt(ctx context.Context, e outbox.Entry, forget bool, call func(context.Context) (any, error)) (out outbox.Outcome) {
	reply, err := func() (reply any, err error) {
		defer d.contain(ctx, e.Method, &err) // here nobody else would
		return call(share.Under(ctx, e.ID))
	}()
	if err = statusOf(err); err != nil {
		out = outbox.Outcome{Final: final(err), Forget: forget, Code: codeFor(err), Err: err}
		if out.Answer.Refusal, err = proto.Marshal(status.Convert(err).Proto()); err != nil {
			out.Final = false
		}
		return out
	}
	out = outbox.Outcome{Final: true, Code: codes.OK.String()}
	if out.Answer.Message, err = proto.Marshal(reply.(proto.Message)); err != nil {
		return outbox.Outcome{Code: codes.Internal.String(), Err: err}
	}
	return out
}

// answered is an answer that was kept.
func (d door) answered(full string, a outbox.Answer) (any, error) {
	if a.Refusal != nil {
		s := new(spb.Status)
		if err := proto.Unmarshal(a.Refusal, s); err != nil {
			return nil, fmt.Errorf("reading the answer that was kept: %w", err)
		}
		return nil, status.ErrorProto(s)
	}
	m, err := descriptorOf(full)
	if err != nil {
		return nil, err
	}
	reply := newMessage(m.Output())
	if err := proto.Unmarshal(a.Message, reply); err != nil {
		return nil, fmt.Errorf("reading the answer that was kept: %w", err)
	}
	return reply, nil
}

func descriptorOf(full string) (protoreflect.MethodDescriptor, error) {
	name := protoreflect.FullName("yitong.v1." + short(full))
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, fmt.Errorf("the API has no method %s: %w", name, err)
	}
	return d.(protoreflect.MethodDescriptor), nil
}

// final says whether an error is an answer that a repeat would get as well. Whatever passes
// by itself isn't one, nor is what nobody expected.
func final(err error) bool {
	if _, later := retryOf(err); later {
		return false
	}
	if r, ok := RefusalOf(err); ok {
		return r.Code != refusal.StaleClock && r.Code != refusal.MinuteClosed
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.OutOfRange, codes.Unimplemented:
		return true
	}
	return false
}

// codeFor is an error's stable code: the refusal's, or gRPC's.
func codeFor(err error) string {
	if r, ok := RefusalOf(err); ok {
		return string(r.Code)
	}
	return status.Code(err).String()
}

// idempotencyOf is the idempotency key of a call, and whether the caller gave it as one.
func idempotencyOf(ctx context.Context, asked proto.Message, m method) (key string, given bool, err error) {
	md, _ := metadata.FromIncomingContext(ctx)
	switch keys := md.Get(idempotencyKey); {
	case len(keys) > 1:
		return "", false, refusal.New(refusal.Malformed, "the call brings more than one idempotency key", "one")
	case len(keys) == 1:
		if outbox.CheckKey(keys[0]) != nil {
			return "", false, refusal.New(refusal.Malformed, "the idempotency key can't be used", "1 to 64 of A-Z a-z 0-9 _ . -")
		}
		return "given." + keys[0], true, nil
	}
	if id, ok := asked.(interface{ GetId() string }); ok && m.names && access.CheckID(id.GetId()) == nil {
		return "id." + id.GetId(), false, nil
	}
	key = outbox.Random()
	_ = grpc.SetTrailer(ctx, metadata.Pairs(idempotencyKey, key)) // a caller that isn't told has no way to ask again
	return "given." + key, false, nil
}

// onceStream gives a submission without an id the one that follows from its idempotency key:
// the same key names the same record.
func (d door) onceStream(ctx context.Context, full string) (context.Context, error) {
	m := methods[short(full)]
	if d.outbox == nil || !m.names {
		return ctx, nil
	}
	key, given, err := idempotencyOf(ctx, nil, m)
	if err != nil || !given {
		return ctx, err
	}
	return share.Under(ctx, d.outbox.ID(entryCaller(ctx), full, key)), nil
}

// bearerKept is the holder of a token, as the outbox keeps it. The token itself it doesn't.
type bearerKept struct {
	Name    string      `json:"name,omitempty"`
	Role    access.Role `json:"role,omitempty"`
	Service string      `json:"service,omitempty"`
	Scopes  []string    `json:"scopes,omitempty"`
	Issuer  string      `json:"issuer,omitempty"`
}

// entryCaller is the caller that the door let in, as the outbox keeps it.
func entryCaller(ctx context.Context) outbox.Caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	who := c.user()
	e := outbox.Caller{Member: c.msp, User: who.Name, Role: string(who.Role), Units: c.units}
	if c.cert != nil {
		e.Cert = c.cert.Raw
		if e.User == "" {
			e.User = c.cert.Subject.CommonName // of the member's software: two systems' keys are two
		}
	}
	if b := c.bearer; b != nil {
		k := bearerKept{Name: b.Name, Role: b.Role, Service: b.Service, Issuer: b.Issuer}
		for _, s := range b.Scopes {
			k.Scopes = append(k.Scopes, s.String())
		}
		e.Details, _ = json.Marshal(k) // strings always marshal
		if b.Service != "" {
			e.User, e.Role = b.Service, policy.Service
		}
	}
	return e
}

// callerAgain is the caller of an entry that is carried on.
func callerAgain(e outbox.Caller) (c caller, err error) {
	c = caller{msp: e.Member, units: e.Units}
	if e.Cert != nil {
		if c.cert, err = x509.ParseCertificate(e.Cert); err != nil {
			return c, err
		}
		if c.holder, err = personOf(c.cert); err != nil {
			return c, err
		}
	}
	if e.Details == nil {
		return c, nil
	}
	var k bearerKept
	if err := json.Unmarshal(e.Details, &k); err != nil {
		return c, err
	}
	c.bearer = &identity.Bearer{Name: k.Name, Role: k.Role, Service: k.Service, Issuer: k.Issuer}
	for _, text := range k.Scopes {
		s, err := scope.Parse(text)
		if err != nil {
			return c, err
		}
		c.bearer.Scopes = append(c.bearer.Scopes, s)
	}
	return c, nil
}

// Carrier carries on entries of the outbox without their callers (outbox.Resume). Each is
// asked about as if its caller called again: revocations, what services may have, and the
// policy may have changed.
// on says whether a transaction of one is on the ledger; then what was allowed has happened,
// and only its end is still to be kept.
func Carrier(c Config, on func(ctx context.Context, txID string) bool) func(context.Context, outbox.Entry) outbox.Outcome {
	d, all := newDoor(c), handlers{}
	register(all, c)
	return func(ctx context.Context, e outbox.Entry) outbox.Outcome {
		return d.attempt(ctx, e, false, func(ctx context.Context) (any, error) {
			h, ok := all[e.Method]
			if !ok {
				return nil, status.Error(codes.Unimplemented, "this gateway's version has no such method any more")
			}
			as, err := callerAgain(e.Caller)
			if err != nil {
				return nil, err
			}
			ctx = share.By(context.WithValue(ctx, callerKey{}, as), as.user())
			return h.desc.Handler(h.impl, ctx, func(to any) error {
				asked, ok := to.(proto.Message)
				if !ok {
					return errors.New("the method takes no message")
				}
				if err := proto.Unmarshal(e.Request, asked); err != nil {
					return fmt.Errorf("reading the request that was kept: %w", err)
				}
				if err := d.stillMay(as, short(e.Method), asked); err != nil && !d.happened(ctx, e, on) {
					return err
				}
				return nil
			}, nil)
		})
	}
}

// stillMay refuses what a caller may do no more: certificates are revoked, services taken off
// the list or given less, and policies changed while a call waits.
func (d door) stillMay(c caller, method string, asked proto.Message) error {
	if err := c.revoked(d.revocations); err != nil {
		return err
	}
	if c.bearer != nil {
		if d.tokens == nil {
			return status.Error(codes.Unauthenticated, "this gateway takes no tokens any more")
		}
		now, err := d.tokens.Still(*c.bearer)
		if err != nil {
			return status.Error(codes.Unauthenticated, err.Error())
		}
		c.bearer = &now
	}
	return d.allowed(c, method, asked)
}

// happened says whether a transaction of an entry is on the ledger.
func (d door) happened(ctx context.Context, e outbox.Entry, on func(context.Context, string) bool) bool {
	shown, err := d.outbox.Show(ctx, e.Number)
	if err != nil {
		return false
	}
	for _, tx := range shown.Transactions {
		if on(ctx, tx) {
			return true
		}
	}
	return false
}

// handlers are the unary methods that are registered, by their full name.
type handlers map[string]unaryHandler

type unaryHandler struct {
	desc grpc.MethodDesc
	impl any
}

// RegisterService is what a generated Register function calls.
func (h handlers) RegisterService(s *grpc.ServiceDesc, impl any) {
	for _, m := range s.Methods {
		h["/"+s.ServiceName+"/"+m.MethodName] = unaryHandler{m, impl}
	}
}
