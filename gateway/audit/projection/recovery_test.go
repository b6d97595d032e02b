package projection

import (
	"encoding/json"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/contract"
	"yitong/gateway/ledger"
)

func TestARecoveryIsToldAsOneOfItsAccess(t *testing.T) {
	value, err := json.Marshal(access.Recovery{Permit: "p", Manifest: "m", Regulator: "R"})
	if err != nil {
		t.Fatal(err)
	}
	for object, told := range map[string]Action{"p": Recovered, "another": Changed} { // a document that says otherwise than its key is unreadable
		w := ledger.Write{Namespace: "yitong", ObjectType: "recovery", Attributes: []string{"H", "B", object}, Value: value}
		effects := read(ledger.Transaction{Chaincode: "yitong", Function: contract.AccessRecover, Writes: []ledger.Write{w}}, "yitong")
		e := effects[0].Entry
		if len(effects) != 1 || e.Kind != KindRecovery || e.Action != told || e.Custodian != "H" || e.Requester != "B" || e.Object != object || (e.Outcome == Success) != (told == Recovered) {
			t.Errorf("under key %q it is told as %+v", object, e)
		}
	}
}
