package failpoint_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yitong/gateway/failpoint"
)

func TestNothingHappensUntilATestArms(t *testing.T) {
	failpoint.Reach("a moment")
	var at []string
	failpoint.Arm(func(a string) { at = append(at, a) })
	failpoint.Reach("another")
	if len(at) != 1 || at[0] != "another" {
		t.Errorf("reached %v", at)
	}
}

// Only test/consortium arms: what is built for service has no call of Arm.
func TestNothingThatIsBuiltForServiceArms(t *testing.T) {
	const call = "failpoint" + ".Arm("
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(raw), call) {
			return err
		}
		if found++; !strings.HasPrefix(filepath.ToSlash(path), "../../test/") {
			t.Errorf("%s arms failpoints", path)
		}
		return nil
	})
	if err != nil || found == 0 {
		t.Errorf("%d calls found, %v", found, err) // the control: there is one
	}
}
