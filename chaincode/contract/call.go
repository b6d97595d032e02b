package contract

import (
	"errors"
	"fmt"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

// call is one invocation, from the door to the answer: begin, want what is needed, fetch
// it all at once, decide, put what changes, answer.
type call struct {
	reading
	writing
	stub   shim.ChaincodeStubInterface
	right  right
	msp    string         // of the caller
	at     record.Instant // the transaction's timestamp
	now    record.Instant // the endorser's clock; to refuse by
	caller *slot[registry.Member]
	closed *slot[bool]
}

// begin opens an invocation of a function: who calls, when, and that its timestamp is
// near enough to the clock if it writes.
func begin(stub shim.ChaincodeStubInterface, clock Clock, right right) (*call, error) {
	caller, err := creator(stub)
	if err != nil {
		return nil, err
	}
	timestamp, err := stub.GetTxTimestamp()
	if err != nil {
		return nil, fmt.Errorf("read transaction timestamp: %w", err)
	}
	c := &call{stub: stub, right: right, msp: caller, at: record.Instant(timestamp.GetSeconds()), now: clock()}
	if right.writes {
		if err := registry.CheckSkew(c.at, c.now); err != nil {
			return nil, err
		}
		c.closed = want[bool](&c.reading, closedKey(c.at.Minute()))
	}
	c.caller = want[registry.Member](&c.reading, memberKey(c.msp))
	return c, nil
}

// fetch reads everything wanted in one round trip, and refuses a caller without the right
// and, if the function writes, a transaction of a closed minute. That the closing was read
// is what invalidates the transaction if the minute is closed before it commits.
func (c *call) fetch() error {
	if err := c.reading.fetch(c.stub); err != nil {
		return err
	}
	if err := c.right.check(c.msp, c.caller.doc); err != nil {
		return err
	}
	if c.closed != nil && c.closed.doc != nil {
		return refusal.New(refusal.MinuteClosed, fmt.Sprintf("minute %d is closed", c.at.Minute()), "a new transaction, dated now")
	}
	return nil
}

// member is the caller, once fetched.
func (c *call) member() registry.Member { return *c.caller.doc }

// answer sends the writes and encodes the result.
func (c *call) answer(result any) (string, error) {
	if err := c.flush(c.stub); err != nil {
		return "", err
	}
	text, err := encode(result)
	return string(text), err
}

// creator is the MSP id in the certificate that signed the proposal. The peer has checked
// certificate and signature before it calls the chaincode.
func creator(stub shim.ChaincodeStubInterface) (string, error) {
	raw, err := stub.GetCreator()
	if err != nil {
		return "", fmt.Errorf("read creator: %w", err)
	}
	var id msp.SerializedIdentity
	if err := proto.Unmarshal(raw, &id); err != nil {
		return "", fmt.Errorf("read creator: %w", err)
	}
	if err := registry.CheckMSP(id.Mspid); err != nil {
		return "", errors.New("read creator: its MSP id is not usable as part of a key")
	}
	return id.Mspid, nil
}
