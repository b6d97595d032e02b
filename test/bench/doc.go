// Command bench measures Yitong beside its own bounds and prints ratios.
//
//	go run ./test/bench            everything; about 25 minutes on two idle cores
//	go run ./test/bench --short    the same with fewer rounds; 2 to 4 minutes
//	go run ./test/bench --json     one JSON document on standard output, the text on standard error
//	go run ./test/bench --profile DIR   CPU profiles of every gateway and chaincode server
//
// # What is measured
//
// On one network (the default topology: four members, a peer, a gateway and a
// SmartBFT ordering node each, endorsement by the majority), in one run:
//
//	floor     a bare chaincode, one PutState of 100 bytes under a fresh key: what any
//	          transaction costs under this policy, consensus and batching
//	floor'    the same again: the control
//	request   access:Request to its decision, committed
//	access    the whole access through the gateways, as an insurer's software does it: Request
//	          and Open of a small record over gRPC; decision, release and receipt are committed
//	          when it ends, and the content was compared with what the hospital submitted
//	anchor    record:Anchor, one record in a transaction
//	anchor64  the same, 64 records in a transaction; counted in records
//
// And what privacy costs, beside the arm that does the same without it:
//
//	request+  request to a hospital that demands the patient's own signature: the consent is signed by
//	          a wallet and narrowed to a record type; beside request
//	access+   the whole access of such a patient, whose record has 24 parts, of which one is covered:
//	          the manifest proves it, and its handle is known; beside access
//	grant     consent:Grant, a relationship's first, attested by the hospital
//	grant+    consent:Direct, likewise, signed by the patient: chaincode verifies the signature; beside grant
//	ask       Request through the gateway about a patient whose handle is known
//	ask+      the same about one never seen, so that the handle is derived first; beside ask
//
// floor, request, anchor and anchor64 go through one driver (fabric-gateway,
// submit and wait for the commit): floor and request share one connection and one
// identity. access is driven by the same loop.
//
// Then, without the ledger, the benchmarks that lie beside the code of
// chaincode/consent and gateway/seal, each in processes of its own.
//
// # How
//
// The unit is a ratio within one run. For each number of clients the arms take
// turns, in an order drawn anew each round; a round gives one ratio for each arm,
// to the floor of the same round, and what is printed is the median of the rounds
// with a 95 % interval by bootstrap. The ratio of floor' to floor is the control:
// unless its interval holds 1 and is narrower than 0.06, the machine was too noisy
// for the other ratios to mean much, and the text says so.
//
// A turn is a closed loop. As many completions as there are clients (twice as many
// from 32 on) pass unmeasured, then a fixed number is measured, then what is under
// way is let go. The driver runs on the same cores as the network; CPU seconds a
// request, of all processes and by kind of process, are therefore shown too, and
// how much of the machine other processes used meanwhile: that survives a noisy
// neighbour better than throughput does. Warm-up is a number of requests, not a
// time. Latencies of a closed loop hide stalls, so at the end floor, request and
// access are driven once more at 50 % and 70 % of the throughput measured, at a
// constant rate, and latency counts from the moment a request was due.
//
// Whatever fails counts as failed and is not in the throughput; what may or may
// not have happened counts apart, as unknown. After the run the insurer's peer is
// read block by block: every acknowledged transaction must be there once, valid,
// and nothing else that was sent by this program may be, but what was unknown. An
// access that was acknowledged must have its decision, its release and its receipt.
//
// It ends with 0 if all of that holds, whether or not the aims are met: those are
// printed as met or missed by the unfavourable end of the interval.
//
// # Limits
//
// The ledger is young, everything runs on this machine over loopback, and a disk's
// own speed is in the figures. Throughput here says nothing about a cluster's.
package main
