package fhir

import (
	"slices"
	"strings"
	"testing"
	"time"

	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/events"
)

const aSubscription = `{"resourceType":"Subscription","status":"requested","reason":"claims desk","criteria":"urn:yitong:topic:access.*",
	"channel":{"type":"rest-hook","endpoint":"https://insurer.example/hook","payload":"application/fhir+json",
		"_payload":{"extension":[{"url":"http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content","valueCode":"id-only"}]}}}`

func subscribe(doc string) (*yitongv1.SubscribeRequest, error) {
	e, err := parse([]byte(doc), subscriptionKind)
	if err != nil {
		return nil, err
	}
	if err := validate(e, subscriptionKind); err != nil {
		return nil, err
	}
	return readSubscribe(e)
}

func TestASubscriptionIsReadAndWritten(t *testing.T) {
	for criteria, types := range map[string][]string{
		"urn:yitong:topic:access.*": {"access.*"}, "urn:yitong:topic:*": nil, "Consent?": {"consent.*"}, "Task": {"access.*", "emergency.*"},
		"urn:yitong:topic:consent.granted,consent.withdrawn": {"consent.granted", "consent.withdrawn"},
	} {
		in, err := subscribe(strings.Replace(aSubscription, "urn:yitong:topic:access.*", criteria, 1))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(in.GetTypes(), types) || in.GetUrl() != "https://insurer.example/hook" || in.GetFormat() != "fhir-r4" || in.GetDescription() != "claims desk" {
			t.Errorf("%s is read as %v", criteria, in)
		}
		out := marshal(subscriptionOut(&yitongv1.Subscription{Id: strings.Repeat("a", 32), Url: in.GetUrl(), Types: in.GetTypes(), Status: "active", Format: "fhir-r4"}))
		again, err := subscribe(string(out))
		if err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if !slices.Equal(again.GetTypes(), types) {
			t.Errorf("%s comes back as %v", criteria, again.GetTypes())
		}
	}
}

func TestWhatASubscriptionCannotHaveIsRefusedWithItsElement(t *testing.T) {
	for _, c := range []struct{ name, old, new, where string }{
		{"another channel", "rest-hook", "websocket", "Subscription.channel.type"},
		{"other criteria", "urn:yitong:topic:access.*", "Observation?code=1", "Subscription.criteria"},
		{"criteria with parameters", "urn:yitong:topic:access.*", "Task?status=rejected", "Subscription.criteria"},
		{"whole resources", "id-only", "full-resource", "Subscription.channel.payload.extension"},
		{"XML", `"payload":"application/fhir+json"`, `"payload":"application/fhir+xml"`, "Subscription.channel.payload"},
		{"headers", `"type":"rest-hook"`, `"header":["Authorization: Bearer x"],"type":"rest-hook"`, "Subscription.channel.header"},
		{"nowhere to", `"endpoint":"https://insurer.example/hook",`, "", "Subscription.channel.endpoint"},
		{"off already", "requested", "off", "Subscription.status"},
	} {
		_, err := subscribe(strings.Replace(aSubscription, c.old, c.new, 1))
		if err == nil {
			t.Errorf("%s: it was taken", c.name)
		} else if f := faultOf(err); f.Expression != c.where {
			t.Errorf("%s: refused at %s: %s", c.name, f.Expression, f.Message)
		}
	}
}

// Notifications are valid R4, say what they are about, and hold nothing of it.
func TestNotificationsNameWhatTheyAreAbout(t *testing.T) {
	s := events.Subscription{ID: strings.Repeat("a", 32), Types: events.Filter{"consent.*"}, Count: 6}
	object := strings.Repeat("b", 32)
	for kind, c := range map[string]struct {
		event        *events.Event
		focus, count string
	}{
		"handshake":          {nil, "", "6"},
		"event-notification": {&events.Event{Type: events.ConsentWithdrawn, Object: object, Time: time.Unix(1_800_000_000, 0), Handle: "1-secret"}, "Consent/" + object, "7"},
	} {
		mime, body, err := Notify(s, c.event)
		if err != nil || mime != mediaType {
			t.Fatal(mime, err)
		}
		e, err := parse(body, "Bundle")
		if err == nil {
			err = validate(e, "Bundle")
		}
		if err != nil {
			t.Fatalf("%v in %s", err, body)
		}
		told := map[string]string{}
		for _, p := range e.at("entry", 0, "resource").list("parameter") {
			told[p.str("name")] = p.str("valueCode") + p.str("valueString") + p.str("valueCanonical")
			for _, part := range p.list("part") {
				told[part.str("name")] = part.str("valueString") + part.get("valueReference").str("reference")
			}
		}
		if told["type"] != kind || told["events-since-subscription-start"] != c.count || told["focus"] != c.focus || told["topic"] != "urn:yitong:topic:consent.*" {
			t.Errorf("it tells %v", told)
		}
		if strings.Contains(string(body), "secret") {
			t.Error("it names the patient's handle")
		}
		if got := e.at("entry", 1, "fullUrl").text(); got != c.focus {
			t.Errorf("the second entry is %q", got)
		}
	}
	for kind, want := range map[events.Type]string{events.AccessRequested: "Task/" + object, events.EmergencyOpened: "Task/" + object, events.RecordErased: "", events.MemberChanged: ""} {
		if got := focusOf(&events.Event{Type: kind, Object: object}); got != want {
			t.Errorf("%s is about %q", kind, got)
		}
	}
}
