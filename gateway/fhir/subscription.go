package fhir

import (
	"net/http"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// The canonicals of R4's backport of subscriptions (hl7.org/fhir/uv/subscriptions-backport, 1.1.0).
const (
	backport         = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
	backportProfile  = backport + "backport-subscription"
	backportStatus   = backport + "backport-subscription-status-r4"
	backportContent  = backport + "backport-payload-content"
	topicPrefix      = "urn:yitong:topic:"
	secretExtension  = "urn:yitong:extension:webhook-secret"
	deliveryFormat   = "fhir-r4" // of the events' own service
	maxSubscription  = 64 << 10  // bytes
	subscriptionKind = "Subscription"
)

// topicsOf are the criteria that R4 writes as a search, in the feed's own types.
var topicsOf = map[string][]string{"Consent": {"consent.*"}, "Task": {"access.*", "emergency.*"}}

// subscriptions is FHIR's Subscription: the feed of events of this member (service Events), posted
// to a URL as R4's backport has it. A notification names what it is about and holds nothing else.
func (f *facade) subscriptions() resource {
	return resource{
		kind: subscriptionKind, profiles: []string{backportProfile},
		documentation: "R4 backport of subscriptions: rest-hook with payload application/fhir+json and the content id-only. The criteria are a topic, " + topicPrefix + "TYPE or GROUP.* of the feed of events (as " +
			topicPrefix + "access.requested, " + topicPrefix + "consent.*, " + topicPrefix + "*), or Consent? or Task? without parameters. Deliveries are signed as Standard Webhooks has it; " +
			"the secret is in the answer to the creation, as extension " + secretExtension + " of the channel, and never again. Headers of one's own aren't sent. $status as in the backport; no $events: Events.Redeliver, or GET /v1/events. A deletion ends it.",
		read: readSubscription, create: createSubscription, remove: removeSubscription, search: searchSubscriptions,
		params: []param{
			{name: "status", kind: "token", doc: "active, error or off"}, {name: "url", kind: "uri", doc: "where it is delivered to"}, {name: "criteria", kind: "string", doc: "the topic"},
		},
		operations: []operation{{name: "status", definition: "http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-status", instance: true, reads: true, serve: subscriptionStatus}},
	}
}

type subscriptionResource struct {
	ResourceType string              `json:"resourceType"`
	ID           string              `json:"id"`
	Meta         *Meta               `json:"meta"`
	Status       string              `json:"status"`
	End          string              `json:"end,omitempty"`
	Reason       string              `json:"reason"`
	Criteria     string              `json:"criteria"`
	Error        string              `json:"error,omitempty"`
	Channel      subscriptionChannel `json:"channel"`
}

type subscriptionChannel struct {
	Extension []stringExtension `json:"extension,omitempty"`
	Type      string            `json:"type"`
	Endpoint  string            `json:"endpoint"`
	Payload   string            `json:"payload"`
	Content   *extended         `json:"_payload"`
}

type stringExtension struct {
	URL         string `json:"url"`
	ValueString string `json:"valueString"`
}

type extended struct {
	Extension []consentExtension `json:"extension"`
}

// readSubscribe reads a Subscription that asks for events.
func readSubscribe(e *element) (*yitongv1.SubscribeRequest, error) {
	r := &reading{}
	const at = subscriptionKind
	r.only(e, at, "resourceType", "meta", "language", "text", "status", "contact", "end", "reason", "criteria", "channel")
	in := &yitongv1.SubscribeRequest{Format: deliveryFormat, Description: e.str("reason")}
	if s := e.str("status"); s != "requested" && s != "active" {
		r.refuse(at+".status", "a subscription that is asked for begins", "requested")
	}
	criteria := e.str("criteria")
	kind, query, search := strings.Cut(criteria, "?")
	topic, isTopic := strings.CutPrefix(criteria, topicPrefix)
	switch {
	case isTopic && topic == "*":
	case isTopic && topic != "":
		in.Types = strings.Split(topic, ",")
	case topicsOf[kind] != nil && (!search || query == ""):
		in.Types = topicsOf[kind]
	default:
		r.refuse(at+".criteria", "there is no such topic", topicPrefix+"TYPE, "+topicPrefix+"GROUP.*, "+topicPrefix+"*, Consent? or Task?")
	}
	for _, x := range e.get("_criteria").list("extension") {
		if strings.HasSuffix(x.str("url"), "filter-criteria") {
			r.refuse(at+".criteria.extension", "topics here have no filters", "a narrower topic")
		}
	}
	if t := e.str("end"); t != "" {
		span, ok := parseDate(t)
		if !ok {
			r.refuse(at+".end", "this is no instant", "yyyy-mm-ddThh:mm:ssZ")
		}
		in.End = timestamppb.New(span.start)
	}
	c := e.get("channel")
	r.only(c, at+".channel", "type", "endpoint", "payload")
	if c.str("type") != "rest-hook" {
		r.refuse(at+".channel.type", "there is no such channel here", "rest-hook; GET /v1/events streams")
	}
	if in.Url = c.str("endpoint"); in.Url == "" {
		r.refuse(at+".channel.endpoint", "where to isn't said", "an https URL")
	}
	if p := c.str("payload"); p != mediaType {
		r.refuse(at+".channel.payload", "notifications are FHIR in JSON", mediaType)
	}
	for _, x := range c.get("_payload").list("extension") {
		if x.str("url") == backportContent && x.str("valueCode") != "id-only" {
			r.refuse(at+".channel.payload.extension", "a notification names what it is about and holds nothing of it", "id-only")
		}
	}
	return in, r.err()
}

// subscriptionOut is a webhook as FHIR's. One that was made elsewhere, in another form, is told too.
func subscriptionOut(s *yitongv1.Subscription) subscriptionResource {
	out := subscriptionResource{
		ResourceType: subscriptionKind, ID: s.GetId(), Meta: &Meta{Profile: []string{backportProfile}}, Status: subscriptionState(s.GetStatus()), Reason: s.GetDescription(), Error: s.GetProblem(),
		End: instant(timeOf(s.GetEnd())), Criteria: criteriaOf(s.GetTypes()),
		Channel: subscriptionChannel{Type: "rest-hook", Endpoint: s.GetUrl(), Payload: mediaType, Content: &extended{[]consentExtension{{backportContent, "id-only"}}}},
	}
	if out.Reason == "" {
		out.Reason = "events of this member"
	}
	return out
}

func criteriaOf(types []string) string {
	if len(types) == 0 {
		return topicPrefix + "*"
	}
	return topicPrefix + strings.Join(types, ",")
}

func subscriptionState(status string) string {
	switch status {
	case "failing":
		return "error"
	case "disabled":
		return "off"
	}
	return "active"
}

// webhooks lists those that deliver FHIR.
func (c *call) webhooks(id string) (found []*yitongv1.Subscription, err error) {
	out, err := yitongv1.NewEventsClient(c.conn).Subscriptions(c.ctx(), &yitongv1.SubscriptionsRequest{Id: id})
	for _, s := range out.GetSubscriptions() {
		if s.GetFormat() == deliveryFormat {
			found = append(found, s)
		}
	}
	return found, err
}

// webhook is the one that the address names.
func (c *call) webhook() (*yitongv1.Subscription, error) {
	if !isLedgerID(c.id) {
		return nil, notFound()
	}
	found, err := c.webhooks(c.id)
	if err == nil && len(found) == 0 {
		err = notFound()
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

func readSubscription(c *call) (answer, error) {
	s, err := c.webhook()
	if err != nil {
		return answer{}, err
	}
	return answer{resource: subscriptionOut(s)}, nil
}

func createSubscription(c *call) (answer, error) {
	e, err := c.received(subscriptionKind, maxSubscription)
	if err != nil {
		return answer{}, err
	}
	in, err := readSubscribe(e)
	if err != nil {
		return answer{}, err
	}
	made, err := yitongv1.NewEventsClient(c.conn).Subscribe(c.ctx(), in)
	if err != nil {
		return answer{}, at(subscriptionKind, err)
	}
	out := subscriptionOut(made.GetSubscription())
	if made.GetSecret() != "" {
		out.Channel.Extension = []stringExtension{{secretExtension, made.GetSecret()}}
	}
	return answer{status: http.StatusCreated, resource: out, location: subscriptionKind + "/" + out.ID}, nil
}

func removeSubscription(c *call) (answer, error) {
	if _, err := c.webhook(); err != nil {
		return answer{}, err
	}
	_, err := yitongv1.NewEventsClient(c.conn).Unsubscribe(c.ctx(), &yitongv1.UnsubscribeRequest{Id: c.id})
	return answer{status: http.StatusNoContent}, err
}

func searchSubscriptions(c *call, q query) (page, error) {
	all, err := c.webhooks("")
	if err != nil {
		return page{}, err
	}
	var p page
	for _, s := range all {
		out := subscriptionOut(s)
		keeps := !slices.ContainsFunc(q.criteria, func(cr criterion) bool {
			switch cr.param.name {
			case "_id":
				return !slices.Contains(codesOf(cr.values), out.ID)
			case "status":
				return !slices.Contains(codesOf(cr.values), out.Status)
			case "url":
				return !slices.Contains(cr.values, out.Channel.Endpoint)
			case "criteria":
				return !slices.ContainsFunc(cr.values, func(v string) bool { return strings.HasPrefix(out.Criteria, v) })
			}
			return false
		})
		if keeps {
			p.entries = append(p.entries, entry{id: out.ID, resource: out})
		}
	}
	n := len(p.entries)
	p.total = &n
	return p, nil
}

// subscriptionStatus is the backport's $status.
func subscriptionStatus(c *call) (answer, error) {
	s, err := c.webhook()
	if err != nil {
		return answer{}, err
	}
	about := statusParameters(s.GetId(), subscriptionState(s.GetStatus()), "query-status", criteriaOf(s.GetTypes()), s.GetCount())
	n := 1
	return answer{resource: searchBundle{
		ResourceType: "Bundle", Type: "searchset", Total: &n,
		Entry: []bundleEntry{{Resource: marshal(about), Search: &bundleSearch{"match"}}},
	}}, nil
}
