package identity

import (
	"testing"

	"yitong/test/consortium"
)

func TestMain(m *testing.M) { consortium.Main(m) }
