package handle_test

import (
	"fmt"
	"slices"
	"testing"
)

// A town's register against one handle on the ledger. Who has one evaluator's private key and makes
// another up for the rest finds nobody. Who has them all finds the patient: keep that in mind of two
// thieves, of evaluators that collude, and of a quantum computer, which finds each private key from the
// public one on the ledger (docs/threat-model.md).
func TestAHandleFallsToAllEvaluatorsKeysAndToNoFewer(t *testing.T) {
	keys := newKeys(t, 2)
	town := make([]string, 64)
	for i := range town {
		town[i] = fmt.Sprintf("https://id.example/resident|%018d", i)
	}
	const patient = 41
	wanted := derive(t, relation, keys, town[patient])[0]

	for stolen := range keys {
		guessed := newKeys(t, 2)
		guessed[stolen] = keys[stolen]
		if i := slices.Index(derive(t, relation, guessed, town...), wanted); i >= 0 {
			t.Errorf("the key of evaluator %d alone finds person %d", stolen, i)
		}
		if i := slices.Index(derive(t, relation, keys[stolen:stolen+1], town...), wanted); i >= 0 {
			t.Errorf("the output of evaluator %d alone finds person %d", stolen, i)
		}
	}
	if i := slices.Index(derive(t, relation, keys, town...), wanted); i != patient {
		t.Errorf("the control: all keys find person %d, not %d", i, patient)
	}
}
