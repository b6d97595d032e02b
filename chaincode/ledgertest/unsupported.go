package ledgertest

import (
	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

var _ shim.ChaincodeStubInterface = (*stub)(nil)

// unsupported stops a test whose chaincode uses what this ledger doesn't have, rather than
// let it pass on an answer that no peer would give.
func unsupported(call string) { panic("ledgertest: " + call + " is not supported") }

func (s *stub) InvokeChaincode(string, [][]byte, string) *peer.Response {
	unsupported("InvokeChaincode")
	panic("unreachable")
}

func (s *stub) GetQueryResult(string) (shim.StateQueryIteratorInterface, error) {
	unsupported("GetQueryResult")
	panic("unreachable")
}

func (s *stub) GetQueryResultWithPagination(string, int32, string) (shim.StateQueryIteratorInterface, *peer.QueryResponseMetadata, error) {
	unsupported("GetQueryResultWithPagination")
	panic("unreachable")
}

func (s *stub) GetPrivateData(string, string) ([]byte, error) {
	unsupported("GetPrivateData")
	panic("unreachable")
}

func (s *stub) GetMultiplePrivateData(string, ...string) ([][]byte, error) {
	unsupported("GetMultiplePrivateData")
	panic("unreachable")
}

func (s *stub) GetPrivateDataHash(string, string) ([]byte, error) {
	unsupported("GetPrivateDataHash")
	panic("unreachable")
}

func (s *stub) PutPrivateData(string, string, []byte) error {
	unsupported("PutPrivateData")
	panic("unreachable")
}

func (s *stub) DelPrivateData(string, string) error {
	unsupported("DelPrivateData")
	panic("unreachable")
}

func (s *stub) PurgePrivateData(string, string) error {
	unsupported("PurgePrivateData")
	panic("unreachable")
}

func (s *stub) SetPrivateDataValidationParameter(string, string, []byte) error {
	unsupported("SetPrivateDataValidationParameter")
	panic("unreachable")
}

func (s *stub) GetPrivateDataValidationParameter(string, string) ([]byte, error) {
	unsupported("GetPrivateDataValidationParameter")
	panic("unreachable")
}

func (s *stub) GetPrivateDataByRange(string, string, string) (shim.StateQueryIteratorInterface, error) {
	unsupported("GetPrivateDataByRange")
	panic("unreachable")
}

func (s *stub) GetPrivateDataByPartialCompositeKey(string, string, []string) (shim.StateQueryIteratorInterface, error) {
	unsupported("GetPrivateDataByPartialCompositeKey")
	panic("unreachable")
}

func (s *stub) GetPrivateDataQueryResult(string, string) (shim.StateQueryIteratorInterface, error) {
	unsupported("GetPrivateDataQueryResult")
	panic("unreachable")
}

func (s *stub) GetSignedProposal() (*peer.SignedProposal, error) {
	unsupported("GetSignedProposal")
	panic("unreachable")
}
