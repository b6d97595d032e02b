// Package sharing_test holds the main job against a real consortium: what goes in
// comes out, exactly as far as the consent covers it.
package sharing_test

import (
	"testing"

	"yitong/test/consortium"
)

func TestMain(m *testing.M) { consortium.Main(m) }
