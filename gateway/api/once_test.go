package api_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"yitong/gateway/api"
)

// Whoever adds a method says whether it writes: one that does is recorded in the outbox, or
// says why a repeat of it is harmless (methods in once.go).
func TestEveryMethodSaysWhetherItWrites(t *testing.T) {
	listed := slices.Collect(maps.Keys(api.Methods))
	for _, method := range everyMethod() {
		name := strings.Replace(strings.TrimPrefix(method, "/yitong.v1."), "/", ".", 1)
		how, ok := api.Methods[name]
		if !ok {
			t.Errorf("%s is in no table: add it to `methods` in gateway/api/once.go (reads, recorded, waits, or unaccompanied with a reason)", name)
		}
		if how != "" && how != "reads" && how != "recorded" && how != "waits" && len(how) < len("unaccompanied: because") {
			t.Errorf("%s doesn't say why it isn't recorded", name)
		}
		listed = slices.DeleteFunc(listed, func(l string) bool { return l == name })
	}
	if len(listed) > 0 {
		t.Errorf("the API has no %v", listed)
	}
}
