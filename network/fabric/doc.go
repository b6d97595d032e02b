// Package fabric turns a topology into a running Hyperledger Fabric network on
// this machine, in Go alone: no Docker, no shell, none of Fabric's command line
// tools beyond the peer and orderer daemons.
//
//	binaries, err := fabric.Install(ctx, report)      // peer and orderer, built once
//	n, err := fabric.Open(dir, topology, options)     // create or resume; takes the lock
//	err = n.Start(ctx)                                // orderers, peers, channel, chaincode
//	identity := n.Member("hospital-a").Gateway()
//	...
//	n.Close()
//
// One directory holds the whole network:
//
//	DIR/lock                      held while the network is open
//	DIR/topology.yaml             what was created; its presence means creation finished
//	DIR/genesis.block             the channel's first block
//	DIR/bin/                      the program's own executable, copied
//	DIR/builder/bin/              detect, build, release: links to it
//	DIR/chaincodes.json           deployed chaincodes and their ports
//	DIR/logs/, DIR/run/           one log and pid file per process
//	DIR/members/NAME/ca, tlsca    the member's certificate authorities
//	DIR/members/NAME/{admin,gateway,client}   identities
//	DIR/members/NAME/trust/MSP.pem            every member's TLS authority, by MSP id
//	DIR/members/NAME/{peer,orderer-NAME}      configuration, MSP folder, data
//	DIR/members/NAME/chaincode/LABEL          connection and TLS material
//
// # Who can talk to whom
//
// Every connection is TLS, and every listener asks its client for a
// certificate: peers and ordering nodes accept any member's (gossip, delivery,
// gateway service), the ordering nodes' admin port only the member's
// administrator, a chaincode server only the peer beside it, operations ports
// only the member itself (GET /healthz excepted, which Fabric serves to anyone
// on TLS). Proposals older or newer than two minutes are refused by the peers.
//
// # Crashes
//
// Creation is all or nothing: everything is made aside, moved in place, and
// topology.yaml is written last. Whatever happens later, Open and Start repeat
// only the steps that the ledger doesn't show as done. Killing this process
// with SIGKILL leaves no process behind (see package supervisor).
package fabric
