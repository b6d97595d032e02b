package api

// BetweenGateways are the services that gateways offer each other.
var BetweenGateways = betweenGateways

// Methods tell how each method is handled, and why.
var Methods = func() map[string]string {
	all := map[string]string{}
	for name, m := range methods {
		all[name] = map[handling]string{reads: "reads", recorded: "recorded", waits: "waits", unaccompanied: "unaccompanied: " + m.why}[m.handling]
	}
	return all
}()
