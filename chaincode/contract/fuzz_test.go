package contract_test

import (
	"maps"
	"slices"
	"sync"
	"testing"

	"yitong/chaincode/refusal"
)

// Whatever an argument is, the door answers: with a refusal that has a code and says what
// would be allowed, or with success. It never panics and never fails otherwise.
func FuzzEveryFunctionAnswersEveryArgument(f *testing.F) {
	seeds := newWorld(f)
	functions := slices.Sorted(maps.Keys(may))
	examples := seeds.examples(seeds.permitted(patient))
	for i, function := range functions {
		f.Add(i, text(f, examples[function]))
	}
	f.Add(0, `{"admit":{},"suspend":null}`)
	f.Add(0, "{\"a\":\xff}")
	f.Add(1, `{"bookmark":"AAAA","size":-9223372036854775808}`)
	// The inputs share a world like that of the seeds; nothing they do is committed.
	var once sync.Once
	var w *world
	f.Fuzz(func(t *testing.T, n int, argument string) {
		once.Do(func() {
			w = newWorld(t)
			w.examples(w.permitted(patient))
		})
		function := functions[uint(n)%uint(len(functions))]
		_, err := w.Endorse(t.Context(), w.Client(callerOf(function)), []string{hospitalA}, function, argument)
		if err == nil {
			return
		}
		if r, ok := refusal.Parse(err.Error()); !ok || r.Code == "" || r.Allowed == "" {
			t.Errorf("%s answers %v", function, err)
		}
	})
}
