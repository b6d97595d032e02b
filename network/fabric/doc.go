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
// Every connection is TLS, and a listener asks its client for a certificate:
//   - a peer takes any member's (gossip, delivery, gateway service);
//   - an ordering node takes any member's with raft. With SmartBFT it asks for
//     none of those who fetch blocks or send transactions, because Fabric 3.1's
//     SmartBFT can't catch up otherwise (see ordererSettings); they are known by
//     their signatures, and the ordering nodes among each other by the very
//     certificates in the channel's configuration;
//   - an ordering node's admin port takes the member's administrator's alone;
//   - a chaincode server and the peer beside it know each other by the very
//     certificate;
//   - an operations port takes the member's own, save for GET /healthz, which
//     Fabric serves to anyone.
//
// Peers refuse proposals that are two minutes older or newer than their clock.
//
// # Crashes
//
// Creation is all or nothing: everything is made aside, moved in place, and
// topology.yaml is written last. Whatever happens later, Open and Start repeat
// only the steps that the ledger doesn't show as done. Killing this process
// with SIGKILL leaves no process behind (see package supervisor).
package fabric
