package ledgertest

import (
	"fmt"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// Proposal is what a client asks endorsers to simulate. Propose fills it; a test may
// change it before endorsement, as a lying client may.
type Proposal struct {
	ID        string
	Creator   Identity
	Timestamp time.Time
	Args      []string // function first
	Transient map[string][]byte
}

// Tx is an endorsed transaction.
type Tx struct {
	Proposal
	Endorsers []string // MSP ids
	Response  []byte   // payload
	Event     *peer.ChaincodeEvent
	RWSet     *kvrwset.KVRWSet
	Calls     Calls // of the first endorser

	Code  peer.TxValidationCode // after Commit
	Block uint64                // likewise
}

// Calls counts the round trips that a chaincode made to its peer.
type Calls struct {
	GetState, GetMultipleStates, Range, Paginated, History, Put, Delete, Policy int
}

// RWSetBytes is the read-write set as it would be signed: equal bytes, equal set.
func (tx *Tx) RWSetBytes() []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(tx.RWSet)
	if err != nil {
		panic(fmt.Sprintf("ledgertest: marshal read-write set: %v", err))
	}
	return b
}

// Writes lists the keys that the transaction writes, in order.
func (tx *Tx) Writes() []string {
	var keys []string
	for _, w := range tx.RWSet.Writes {
		keys = append(keys, w.Key)
	}
	return keys
}

// ResponseError is an endorser's refusal: the chaincode answered with a status of 400 or more.
type ResponseError struct {
	Endorser string // MSP id
	Status   int32
	Message  string
}

func (e *ResponseError) Error() string {
	return fmt.Sprintf("chaincode response %d, %s", e.Status, e.Message)
}

// DivergedError says that two endorsers simulated the same proposal differently.
type DivergedError struct{ Endorsers [2]string }

func (e *DivergedError) Error() string {
	return fmt.Sprintf("the results of %s and %s differ", e.Endorsers[0], e.Endorsers[1])
}

// InvalidError says that a transaction was committed as invalid.
type InvalidError struct {
	TxID string
	Code peer.TxValidationCode
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("transaction %s is invalid: %s", e.TxID, e.Code)
}
