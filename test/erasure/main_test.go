// Package erasure_test holds the end of a record against a real consortium: held, unheld, erased and
// acknowledged, with the trail of what happened before still provable, and no backup that opens it.
package erasure_test

import (
	"testing"

	"yitong/test/consortium"
)

func TestMain(m *testing.M) { consortium.Main(m) }
