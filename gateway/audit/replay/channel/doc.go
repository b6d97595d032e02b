// Package channel is a Fabric channel's configuration as it stands at one height,
// and what follows from it: who is who, which policies hold, and whether a block
// was signed by those who may.
//
//	first block ─▶ Config ─▶ Update by a configuration block ─▶ Config ─▶ …
//	                 │
//	                 ├ Identity: certificate, organisation, role
//	                 ├ Policy:   signature policies and implicit ones, by path
//	                 └ VerifyBlock: the ordering nodes' signatures
//
// It is written for somebody who has the first block's digest and trusts nobody: a
// configuration is believed only if the update that led to it carries the signatures
// that the configuration before asked for (Fabric: common/configtx), and a block only
// if those who ordered under the configuration in force signed it.
//
// It follows Fabric 3.1 with the channel capability V1_4_3 or later (msp, common/policies,
// common/cauthdsl, common/configtx, protoutil), with two differences, both stricter:
// every signature that a block carries has to be good, not only enough of them; and what
// Fabric leaves unsigned in a block has to be empty. A certificate is tested at the moment
// it begins to hold, as Fabric does; that it held when it was used is for the caller to
// ask (Identity.HeldAt), because only he knows the time.
//
// A Config doesn't change and is safe for concurrent use.
package channel
