package report_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"yitong/gateway/audit/auditevent"
	"yitong/gateway/fhir/profiletest"
)

// profiled holds an event against what FHIR R4 asks for, read by hand, and the profiles of BALP 1.1.4
// that it claims, and says what it lacks.
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
	doc, err := json.Marshal(v)
	want(err == nil, "JSON: %v", err)
	_, lacks := profiletest.Check(doc)
	return append(problems, lacks...)
}

func profilesOf(v auditevent.Event) []string {
	if v.Meta == nil {
		return nil
	}
	return v.Meta.Profile
}
