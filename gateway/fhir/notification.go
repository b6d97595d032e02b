package fhir

import (
	"encoding/hex"
	"strconv"
	"strings"

	"yitong/gateway/events"
)

// DeliveryFormat is the name under which [Notify] is asked for.
const DeliveryFormat = deliveryFormat

type parameters struct {
	ResourceType string      `json:"resourceType"`
	Meta         *Meta       `json:"meta"`
	Parameter    []parameter `json:"parameter"`
}

type parameter struct {
	Name           string      `json:"name"`
	ValueCode      string      `json:"valueCode,omitempty"`
	ValueString    string      `json:"valueString,omitempty"`
	ValueCanonical string      `json:"valueCanonical,omitempty"`
	ValueInstant   string      `json:"valueInstant,omitempty"`
	ValueReference *Reference  `json:"valueReference,omitempty"`
	Part           []parameter `json:"part,omitempty"`
}

// notification is a Bundle of R4's backport.
type notification struct {
	ResourceType string              `json:"resourceType"`
	Type         string              `json:"type"`
	Entry        []notificationEntry `json:"entry"`
}

type notificationEntry struct {
	FullURL  string         `json:"fullUrl"`
	Resource any            `json:"resource,omitempty"`
	Request  historyRequest `json:"request"`
	Response bundleResponse `json:"response"`
}

// Notify writes a delivery of the feed of events as the backport of subscriptions has it: whose
// subscription, how many events so far, and which resource the event is about; no event is a
// handshake. Addresses are below the façade's base, which receivers know.
func Notify(s events.Subscription, e *events.Event) (contentType string, body []byte, err error) {
	kind, count := "event-notification", s.Count+1
	if e == nil {
		kind, count = "handshake", s.Count
	}
	about := statusParameters(s.ID, "active", kind, criteriaOf(s.Types), count)
	status := "Subscription/" + s.ID + "/$status"
	out := notification{ResourceType: "Bundle", Type: "history"}
	if e == nil {
		out.Entry = []notificationEntry{{FullURL: "urn:uuid:" + uuid(s.ID), Resource: about, Request: historyRequest{"GET", status}, Response: bundleResponse{Status: "200"}}}
		return mediaType, marshal(out), nil
	}
	event := parameter{Name: "notification-event", Part: []parameter{
		{Name: "event-number", ValueString: strconv.FormatInt(count, 10)}, {Name: "timestamp", ValueInstant: instant(e.Time)},
	}}
	focus := focusOf(e)
	if focus != "" {
		event.Part = append(event.Part, parameter{Name: "focus", ValueReference: &Reference{Reference: focus}})
	}
	event.Part = append(event.Part, parameter{Name: "event-type", ValueString: string(e.Type)})
	about.Parameter = append(about.Parameter, event)
	out.Entry = []notificationEntry{{FullURL: "urn:uuid:" + uuid(s.ID), Resource: about, Request: historyRequest{"GET", status}, Response: bundleResponse{Status: "200"}}}
	if focus != "" {
		out.Entry = append(out.Entry, notificationEntry{FullURL: focus, Request: historyRequest{"GET", focus}, Response: bundleResponse{Status: "200"}})
	}
	return mediaType, marshal(out), nil
}

func statusParameters(id, status, kind, topic string, count int64) parameters {
	return parameters{ResourceType: "Parameters", Meta: &Meta{Profile: []string{backportStatus}}, Parameter: []parameter{
		{Name: "subscription", ValueReference: &Reference{Reference: "Subscription/" + id}}, {Name: "topic", ValueCanonical: topic}, {Name: "status", ValueCode: status},
		{Name: "type", ValueCode: kind}, {Name: "events-since-subscription-start", ValueString: strconv.FormatInt(count, 10)},
	}}
}

// focusOf is the resource that an event is about, "" where the façade has none.
func focusOf(e *events.Event) string {
	if !isLedgerID(e.Object) {
		return ""
	}
	group, _, _ := strings.Cut(string(e.Type), ".")
	switch group {
	case "consent":
		return "Consent/" + e.Object
	case "access", "emergency":
		return "Task/" + e.Object
	}
	return ""
}

// uuid is an id of 32 hexadecimal digits in the form of RFC 9562.
func uuid(id string) string {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != 16 {
		return "00000000-0000-0000-0000-000000000000"
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}
