// Package events is the feed of what concerns the member, for its own software: requests
// put to it and decisions on its own, consents given, changed and withdrawn, releases,
// receipts, break-glass and its reviews, erasures, holds, orders to disclose, permits and
// keys that end soon.
//
//	own peer ──block──▶ teller ──events──▶ one SQL transaction ──▶ List, Watch
//	                                       with number and hash      │
//	                                                                 └▶ a worker for each subscription ──POST──▶ webhook
//	                                                                    its position kept with what came of it
//
// # The feed
//
// Events derive from the blocks alone, and time from the minutes that the ledger closes, so
// a feed that is thrown away and made anew is the same, position by position and id by id.
// A position is block, transaction and place in it. A block's events and the checkpoint
// commit together: a kill at any point neither loses nor doubles one. A block that isn't the
// next, or doesn't name the hash of the one before, stops the feed (Problem); nothing is
// skipped. What an audit entry is told as (gateway/audit/projection), an event is made of:
// the two can't disagree.
//
// An event holds ids and handles, as the ledger does, and no patient. Whoever receives one
// asks the gateway for the rest, under its own rights.
//
// # Webhooks
//
// Deliveries are those of Standard Webhooks (standardwebhooks.com): a POST of
//
//	{"type": "consent.withdrawn", "timestamp": "…", "data": {the event, as in events.proto}}
//
// with the headers webhook-id (the event's id), webhook-timestamp (seconds since 1970) and
// webhook-signature. To verify one:
//
//  1. Take the secret without its "whsec_" and decode the base64: that is the key.
//  2. HMAC-SHA-256 with it over webhook-id + "." + webhook-timestamp + "." + the body's bytes
//     as they came; encode in base64.
//  3. Compare, in constant time, with each of the header's space-separated "v1,…": one equal
//     is enough. There are two while a secret is being rotated.
//  4. Refuse a timestamp more than five minutes off, and take a webhook-id once.
//
// Each event is delivered at least once, under the same id, in order, and the next only
// after a 2xx for the one before. What fails is tried again, after longer and longer pauses
// (their length partly chance), for days; then, or at once by 410 Gone, the subscription is
// disabled, the log says so as an error, and Enable has it go on where it stopped. Redeliver
// goes back to any position.
//
// The threats: a URL that leads into the member's own network (every address is looked at as
// it is called, after the name was resolved; only public ones are, and those that the
// configuration allows), redirects (not followed), a receiver that is slow or answers without
// end (each has its own worker, its time is bounded, what it says isn't read), a forged
// delivery (signed), a replayed one (timestamp, id), a stolen database (secrets are in the
// key store).
//
// # Other forms
//
// Webhooks.Formats has deliveries written otherwise. A FHIR R4 notification is one: Bundle
// (type history) whose first entry is a Parameters of SubscriptionStatus (R4 backport) with
// the subscription's id, status, type event-notification, eventsSinceSubscriptionStart
// (Subscription.Count + 1) and notificationEvent (eventNumber, and as focus the resource that
// Event.Object names: Consent/ID for consent.*, Task/ID for access.*), "id-only", nothing
// else; with no event (Ping) a handshake. The format's name goes into SubscribeRequest.format.
package events
