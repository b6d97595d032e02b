package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// webRoute is one question: where it is asked, which gRPC method answers it, and which
// field of its message each parameter goes to.
type webRoute struct {
	path    string
	method  string // as the policy names it: "Audit.Entries"
	summary string
	params  []webParam
	patient string // field for PatientHeader; "" if the question is about none
}

// webParam is a parameter of the query or, if the path has it in braces, of the path. Its
// form follows from the field.
type webParam struct {
	name, field, about string
}

func params(lists ...[]webParam) []webParam { return slices.Concat(lists...) }

func period(field string) []webParam {
	return []webParam{{"from", field + ".start", "no earlier than (RFC 3339)"}, {"until", field + ".end", "before (RFC 3339)"}}
}

var (
	paged   = []webParam{{"size", "page.size", "how many at most: 1 to 100, 50 by default"}, {"bookmark", "page.bookmark", "nextBookmark of the page before"}}
	newest  = []webParam{{"newest_first", "newest_first", "newest first: true or false"}}
	between = []webParam{{"custodian", "custodian", "name or MSP id of the hospital that keeps the records"}, {"requester", "requester", "name or MSP id of who asked"}}
	filters = []webParam{
		{"handle", "filter.handle", "a relationship, by its handle"},
		{"member", "filter.member", "name or MSP id of who did it"},
		{"custodian", "filter.custodian", "name or MSP id of the hospital that keeps the records"},
		{"requester", "filter.requester", "name or MSP id of who asked"},
		{"object", "filter.object", "id of a consent, access, record, motion or member"},
		{"kind", "filter.kinds", "request, release, receipt, consent, …; may be repeated"},
		{"outcome", "filter.outcomes", "success, denied, failed or invalid; may be repeated"},
		{"purpose", "filter.purpose", "HL7 v3 PurposeOfUse code"},
		{"reason", "filter.reason", "code of the rule, the withdrawal, the retraction"},
	}
)

// webRoutes are all questions. Each reads.
var webRoutes = []webRoute{
	{"/v1/audit/entries", "Audit.Entries", "The audit trail, by whatever the filter says", params(filters, period("filter.time"), newest, paged), "filter.patient"},
	{"/v1/audit/consents/{id}", "Audit.Consent", "The life of one consent: every version", params([]webParam{{"id", "id", "of the consent, 32 hexadecimal digits"}}, paged), ""},
	{"/v1/audit/disclosures", "Audit.Disclosures", "Everything let go about a patient (45 CFR 164.528; PIPL article 45, GDPR article 15)",
		params([]webParam{{"handle", "handle", "a relationship, by its handle"}}, period("time"), newest, paged), "patient"},
	{"/v1/audit/denials", "Audit.Denials", "Requests denied, counted by reason", params(between, period("time")), ""},
	{"/v1/audit/unreceipted", "Audit.Unreceipted", "Releases that were never acknowledged", params(between, []webParam{{"before", "before", "released before (RFC 3339)"}}, paged), ""},
	{"/v1/audit/expiring", "Audit.Expiring", "Consents in force that end soon", params(between, period("within"), paged), ""},
	{"/v1/audit/changes", "Audit.Changes", "Days on which a member asked unlike its days before", params([]webParam{{"member", "member", "name or MSP id"}}, period("time")), ""},
	{"/v1/audit/orders", "Audit.Orders", "Orders to disclose, and what came of them", params([]webParam{{"holder", "holder", "name or MSP id of who is to disclose"}, {"open", "open", "only those without a conclusion: true or false"}}, period("time"), paged), ""},
	{"/v1/audit/digest", "Audit.Digest", "Digest of the projection, to compare with another member's at the same height", nil, ""},
	{"/v1/audit/export", "Audit.Export", "The audit trail for other systems and for people; signed in trailers",
		params([]webParam{{"format", "format", "fhir-bundle, fhir-ndjson, csv, parquet or html"}, {"language", "language", "of the report: en or zh"}}, filters, period("filter.time")), "filter.patient"},
	{"/v1/emergencies/open", "Emergencies.List", "Break-glass that is unreviewed, overdue or unresolved",
		params([]webParam{{"requester", "requester", "name or MSP id of the hospital that broke the glass"}}), ""},
	{"/v1/emergencies/history", "Emergencies.History", "Break-glass with its reviews",
		params(between, []webParam{{"state", "state", "unreviewed, overdue, accepted, rejected or unresolved"}}, period("time"), newest, paged), ""},
	{"/v1/emergencies/rates", "Emergencies.Rates", "How often each hospital broke the glass, and the days on which it did unlike before",
		params([]webParam{{"member", "member", "name or MSP id"}}, period("time")), ""},
	{"/v1/erasures/pending", "Erasures.Pending", "Erasures that aren't carried out, or not acknowledged by every requester", nil, ""},
	{"/v1/erasures/due", "Erasures.Due", "What falls due by the hospital's retention policy",
		params([]webParam{{"within_seconds", "within_seconds", "also what falls due within so many seconds; 0 is as long as the warning"}}, paged), ""},
	{"/v1/erasures/notices", "Erasures.Notices", "What custodians erased of which this member opened copies", nil, ""},
	{"/v1/whoami", "Callers.Whoami", "As whom this gateway sees the caller", nil, ""},
	{"/v1/why", "Callers.Why", "What the member's policy says of a call that the caller could make, and by which rule",
		params([]webParam{{"method", "method", "of the API: Accesses.Request"}, {"purpose", "purpose", "HL7 v3 PurposeOfUse code that the call would name"}, {"class", "classes", "data class that it would name; may be repeated"}}), ""},
	{"/v1/events/list", "Events.List", "What concerns this member, by pages; GET /v1/events streams the same (text/event-stream)",
		[]webParam{{"after", "after", "position after which to begin; none is the beginning"}, {"type", "types", "consent.withdrawn, access.*, …; may be repeated"}, {"limit", "limit", "how many at most: 1 to 1000, 100 by default"}}, ""},
	{"/v1/events/subscriptions", "Events.Subscriptions", "Webhooks that events are delivered to, and how they are", []webParam{{"id", "id", "only this one"}}, ""},
	{"/v1/events/subscriptions/{id}/deliveries", "Events.Deliveries", "What was tried for a webhook, the newest first", params([]webParam{{"id", "id", "of the webhook"}}, paged), ""},
	{"/v1/handles/counts", "Handles.Counts", "Evaluations of handles that the evaluators accounted for, by day",
		params([]webParam{{"evaluator", "evaluator", "name or MSP id of who evaluated"}, {"member", "member", "name or MSP id of who was evaluated for"}}), ""},
}

// descriptor is that of the route's method.
func (r webRoute) descriptor() protoreflect.MethodDescriptor {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(yitongv1.File_yitong_v1_yitong_proto.Package() + "." + protoreflect.FullName(r.method))
	if err != nil {
		panic(err) // the routes are written down above, and all of them are tested
	}
	return d.(protoreflect.MethodDescriptor)
}

func newMessage(d protoreflect.MessageDescriptor) proto.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err) // of a method that is tested
	}
	return t.New().Interface()
}

// read makes the message that a request asks with.
func (r webRoute) read(in *http.Request) (proto.Message, error) {
	m := newMessage(r.descriptor().Input())
	return m, r.bind(m, in)
}

// bind reads a request's parameters into a message. What isn't known is refused: a filter
// with a slip of the pen would answer another question.
func (r webRoute) bind(into proto.Message, in *http.Request) error {
	given := in.URL.Query()
	for _, p := range r.params {
		values := given[p.name]
		delete(given, p.name)
		if strings.Contains(r.path, "{"+p.name+"}") {
			values = append(values, in.PathValue(p.name))
		}
		if err := set(into.ProtoReflect(), p, values); err != nil {
			return err
		}
	}
	if err := r.checkPeriod(into.ProtoReflect()); err != nil {
		return err
	}
	if len(given) > 0 {
		var names []string
		for _, p := range r.params {
			names = append(names, p.name)
		}
		return refusal.New(refusal.Malformed, fmt.Sprintf("there is no parameter %.40q", slices.Sorted(maps.Keys(given))[0]), strings.Join(names, ", "))
	}
	return r.bindPatient(into, in.Header.Values(PatientHeader))
}

// checkPeriod refuses a time that ends before it begins: an empty answer would read as "nothing
// happened".
func (r webRoute) checkPeriod(m protoreflect.Message) error {
	for _, p := range r.params {
		path, bounds := strings.CutSuffix(p.field, ".start")
		if !bounds {
			continue
		}
		m, field := descend(m, path)
		period := m.Get(field).Message().Interface().(*yitongv1.Period)
		if start, end := period.GetStart(), period.GetEnd(); start != nil && end != nil && !start.AsTime().Before(end.AsTime()) {
			return refusal.New(refusal.Malformed, "from doesn't lie before until", "a time that begins before it ends, or only one of the two")
		}
	}
	return nil
}

func (r webRoute) bindPatient(into proto.Message, given []string) error {
	if len(given) == 0 {
		return nil
	}
	system, value, ok := strings.Cut(given[0], "|")
	if r.patient == "" || len(given) > 1 || !ok || value == "" {
		return refusal.New(refusal.Malformed, "the header "+PatientHeader+" can't be read here", "once, as system|value, where a question is about a patient")
	}
	m, field := descend(into.ProtoReflect(), r.patient)
	m.Set(field, protoreflect.ValueOfMessage((&yitongv1.Patient{System: system, Value: value}).ProtoReflect()))
	return nil
}

// descend finds a field by its path, making the messages on the way.
func descend(m protoreflect.Message, path string) (protoreflect.Message, protoreflect.FieldDescriptor) {
	for {
		name, rest, deeper := strings.Cut(path, ".")
		field := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if !deeper {
			return m, field
		}
		m, path = m.Mutable(field).Message(), rest
	}
}

func set(m protoreflect.Message, p webParam, values []string) error {
	if len(values) == 0 {
		return nil
	}
	m, field := descend(m, p.field)
	if !field.IsList() && len(values) > 1 {
		return refusal.New(refusal.Malformed, p.name+" is given more than once", "once")
	}
	for _, text := range values {
		v, err := valueOf(field, text)
		if err != nil {
			return refusal.New(refusal.Malformed, p.name+" can't be read", p.about)
		}
		if field.IsList() {
			m.Mutable(field).List().Append(v)
		} else {
			m.Set(field, v)
		}
	}
	return nil
}

func valueOf(field protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	switch field.Kind() {
	case protoreflect.BoolKind:
		v, err := strconv.ParseBool(text)
		return protoreflect.ValueOfBool(v), err
	case protoreflect.Int32Kind:
		v, err := strconv.ParseInt(text, 10, 32)
		return protoreflect.ValueOfInt32(int32(v)), err
	case protoreflect.Int64Kind:
		v, err := strconv.ParseInt(text, 10, 64)
		return protoreflect.ValueOfInt64(v), err
	case protoreflect.MessageKind: // the one that is a parameter is a time
		v, err := time.Parse(time.RFC3339, text)
		return protoreflect.ValueOfMessage(timestamppb.New(v).ProtoReflect()), err
	}
	return protoreflect.ValueOfString(text), nil
}
