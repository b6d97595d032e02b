// Package door_test tries at a member's doors what callers could try who are let in, or
// who aren't: gateways as they are, over mutual TLS, on a ledger in the same process. The
// rows are those of the attack catalogue in the project's design; docs/hardening.md says
// which test is for which.
package door_test
