// Package replay_test holds the replay against the blocks of a real consortium.
package history

import (
	"testing"

	"yitong/test/consortium"
)

func TestMain(m *testing.M) { consortium.Main(m) }
