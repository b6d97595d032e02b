// Package replay_test holds the replay against the blocks of a real consortium.
package replay_test

import (
	"testing"

	"yitong/test/consortium"
)

func TestMain(m *testing.M) { consortium.Main(m) }
