package registry_test

import (
	"testing"

	"yitong/chaincode/consent"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

func TestWhichPoliciesAreUsable(t *testing.T) {
	site := func(id string, origins ...string) registry.RelyingParty {
		return registry.RelyingParty{ID: id, Origins: origins}
	}
	for _, test := range []struct {
		name   string
		policy registry.Policy
		want   refusal.Code
	}{
		{"none", registry.Policy{}, ""},
		{"a wallet's signature", registry.Policy{Assurance: consent.Wallet}, ""},
		{"an assurance nobody knows", registry.Policy{Assurance: 7}, refusal.Malformed},
		{"a site", registry.Policy{RelyingParties: []registry.RelyingParty{site("h.example", "https://h.example", "https://my.h.example:8443")}}, ""},
		{"two sites in order", registry.Policy{RelyingParties: []registry.RelyingParty{site("a.example", "https://a.example"), site("b.example", "https://b.example")}}, ""},
		{"two sites out of order", registry.Policy{RelyingParties: []registry.RelyingParty{site("b.example", "https://b.example"), site("a.example", "https://a.example")}}, refusal.Malformed},
		{"one site twice", registry.Policy{RelyingParties: []registry.RelyingParty{site("a.example", "https://a.example"), site("a.example", "https://a.example")}}, refusal.Malformed},
		{"an empty list", registry.Policy{RelyingParties: []registry.RelyingParty{}}, refusal.Malformed},
		{"nine sites", registry.Policy{RelyingParties: make([]registry.RelyingParty, 9)}, refusal.TooLarge},
		{"no origin", registry.Policy{RelyingParties: []registry.RelyingParty{site("h.example")}}, refusal.Malformed},
		{"an origin elsewhere", registry.Policy{RelyingParties: []registry.RelyingParty{site("h.example", "https://evil.example")}}, refusal.Malformed},
		{"an origin that only ends alike", registry.Policy{RelyingParties: []registry.RelyingParty{site("h.example", "https://evilh.example")}}, refusal.Malformed},
		{"an origin without TLS", registry.Policy{RelyingParties: []registry.RelyingParty{site("h.example", "http://h.example")}}, refusal.Malformed},
		{"an origin with a path", registry.Policy{RelyingParties: []registry.RelyingParty{site("h.example", "https://h.example/")}}, refusal.Malformed},
		{"an origin with a user", registry.Policy{RelyingParties: []registry.RelyingParty{site("h.example", "https://u@h.example")}}, refusal.Malformed},
		{"an id with a port", registry.Policy{RelyingParties: []registry.RelyingParty{site("h.example:1", "https://h.example")}}, refusal.Malformed},
		{"an id in capitals", registry.Policy{RelyingParties: []registry.RelyingParty{site("H.example", "https://H.example")}}, refusal.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := registry.Member{MSP: "H", Gateway: "h:1"}
			after, _, changed, err := registry.Update{Policy: &test.policy}.Apply(m, registry.Keys{}, registry.Spent{}, 1)
			if codeOf(err) != test.want {
				t.Fatalf("refused as %v, want %q", err, test.want)
			}
			if err == nil && (!after.Policy.Equal(test.policy) || changed.Member == test.policy.Equal(registry.Policy{}) || changed.Keys()) {
				t.Errorf("became %+v, changed %+v", after, changed)
			}
		})
	}
}

func TestAPolicyLeavesTheRestOfAMemberAlone(t *testing.T) {
	m := registry.Member{MSP: "H", Name: "h", Kind: registry.Hospital, Gateway: "h:1", Status: registry.Active}
	gateway := "h:2"
	m, _, _, err := registry.Update{Policy: &registry.Policy{Assurance: consent.Passkey}}.Apply(m, registry.Keys{}, registry.Spent{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, _, _, err = registry.Update{Gateway: &gateway}.Apply(m, registry.Keys{}, registry.Spent{}, 1)
	if err != nil || m.Policy.Assurance != consent.Passkey || m.Gateway != gateway {
		t.Errorf("%+v, %v", m, err)
	}
}
