package contract

import (
	"fmt"

	"github.com/hyperledger/fabric-chaincode-go/v2/shim"
)

// writing gathers what an invocation writes, until all of it is decided. A refused
// invocation has written nothing.
type writing struct{ writes []write }

type write struct {
	key     string
	doc     any
	policy  []byte // key-level endorsement policy to set, nil to leave
	deleted bool
}

// put writes a document.
func (w *writing) put(key string, doc any) { w.writes = append(w.writes, write{key: key, doc: doc}) }

// create writes a document under a new key, and who has to endorse its changes.
func (w *writing) create(key string, doc any, policy []byte) {
	w.writes = append(w.writes, write{key: key, doc: doc, policy: policy})
}

// delete removes a key.
func (w *writing) delete(key string) { w.writes = append(w.writes, write{key: key, deleted: true}) }

// flush sends the writes, several in one message.
func (w *writing) flush(stub shim.ChaincodeStubInterface) error {
	if len(w.writes) > 1 {
		stub.StartWriteBatch()
	}
	for _, one := range w.writes {
		if err := one.send(stub); err != nil {
			return fmt.Errorf("write %q: %w", one.key, err)
		}
	}
	if len(w.writes) > 1 {
		if err := stub.FinishWriteBatch(); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

func (w write) send(stub shim.ChaincodeStubInterface) error {
	if w.deleted {
		return stub.DelState(w.key)
	}
	value, err := encode(w.doc)
	if err != nil {
		return err
	}
	if err := stub.PutState(w.key, value); err != nil || w.policy == nil {
		return err
	}
	return stub.SetStateValidationParameter(w.key, w.policy)
}
