package api

// BetweenGateways are the services that gateways offer each other.
var BetweenGateways = betweenGateways
