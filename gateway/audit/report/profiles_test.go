package report_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"yitong/gateway/audit/auditevent"
)

// profiled holds an event against what FHIR R4 and the profiles of BALP 1.1.4 ask for
// (their StructureDefinitions, read by hand), and says what it lacks.
func profiled(v auditevent.Event) (problems []string) {
	want := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	want(v.ResourceType == "AuditEvent", "resourceType")
	want(regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`).MatchString(v.ID), "id %q", v.ID)
	want(v.Type.System != "" && v.Type.Code != "", "type")
	want(slices.Contains([]string{"C", "R", "U", "D", "E"}, v.Action), "action %q", v.Action)
	want(slices.Contains([]string{"0", "4", "8", "12"}, v.Outcome), "outcome %q", v.Outcome)
	want(regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(v.Recorded), "recorded %q", v.Recorded)
	want(len(v.Agent) > 0, "an agent")
	for _, a := range v.Agent {
		want(a.Who.Identifier != nil || len(a.Who.Extension) == 1, "who of an agent, or why not")
		want(a.Network == nil || a.Network.Address != "" || len(a.Network.Extension) == 1, "network of an agent, or why not")
	}
	want(v.Source.Observer.Identifier != nil || len(v.Source.Observer.Extension) == 1, "source.observer, or why not")
	want(v.Source.Site != "", "source.site")
	for _, e := range v.Entity {
		want(e.What != nil || len(e.Detail) > 0, "what of an entity (invariant: name, query or what)")
		for _, d := range e.Detail {
			want(d.Type != "" && d.ValueString != "", "a detail's type and value")
		}
	}
	for _, p := range profilesOf(v) {
		_, name, _ := strings.Cut(p, "IHE.BasicAudit.")
		problems = append(problems, byProfile[name](v)...)
	}
	return problems
}

var byProfile = map[string]func(auditevent.Event) []string{
	"AuthZconsent": func(v auditevent.Event) []string {
		c := claims{v: v}
		c.typed("110113", "AuthZ-Consent", "E")
		for _, code := range []string{"110150", "IRCP", "PROV", "authserver"} {
			c.want(c.agents(code) == 1, "exactly one agent %s", code)
		}
		c.want(c.agent("authserver").Who.Identifier != nil && *c.agent("authserver").Who.Identifier == *v.Source.Observer.Identifier, "the authoriser as observer")
		c.want(c.agent("IRCP").Requestor && !c.agent("PROV").Requestor && !c.agent("authserver").Requestor, "the user as requestor")
		c.want(c.agent("110150").Network != nil && c.agent("IRCP").Network == nil && c.agent("PROV").Network == nil && c.agent("authserver").Network == nil, "a network of the client alone")
		c.want(c.entities("1") == 1 && c.entities("Consent") >= 1 && len(v.Entity) == c.entities("1")+c.entities("Consent"), "patient and consent and nothing else")
		return c.problems
	},
	"PrivacyDisclosure.Source": func(v auditevent.Event) []string {
		c := claims{v: v}
		c.typed("110106", "disclose", "R")
		c.disclosed("110153")
		return c.problems
	},
	"PrivacyDisclosure.Recipient": func(v auditevent.Event) []string {
		c := claims{v: v}
		c.typed("110107", "disclose", "C")
		c.disclosed("110152")
		return c.problems
	},
}

type claims struct {
	v        auditevent.Event
	problems []string
}

func (c *claims) want(ok bool, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

func (c *claims) typed(code, subtype, action string) {
	c.want(c.v.Type.Code == code && c.v.Action == action && len(c.v.Subtype) >= 1 && c.v.Subtype[0].Code == subtype, "type %s, subtype %s, action %s", code, subtype, action)
}

func (c *claims) disclosed(observer string) {
	c.want(c.agents("110153") == 1 && c.agents("110152") == 1, "one source and one recipient")
	c.want(c.agent("110153").Network != nil && c.agent("110152").Network != nil, "the network of both")
	c.want(c.agent(observer).Who.Identifier != nil && *c.agent(observer).Who.Identifier == *c.v.Source.Observer.Identifier, "agent %s as observer", observer)
	c.want(len(c.v.Entity) >= 2 && c.entities("1") == 1, "a patient and what was disclosed")
}

func (c *claims) agents(code string) (n int) {
	for _, a := range c.v.Agent {
		if a.Type.Coding[0].Code == code {
			n++
		}
	}
	return n
}

func (c *claims) agent(code string) auditevent.Agent {
	for _, a := range c.v.Agent {
		if a.Type.Coding[0].Code == code {
			return a
		}
	}
	return auditevent.Agent{}
}

func (c *claims) entities(code string) (n int) {
	for _, e := range c.v.Entity {
		if e.Type.Code == code {
			n++
		}
	}
	return n
}

func profilesOf(v auditevent.Event) []string {
	if v.Meta == nil {
		return nil
	}
	return v.Meta.Profile
}
