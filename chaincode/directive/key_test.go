package directive

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"testing"

	"yitong/chaincode/refusal"
)

// Under a point of small order a signature that nobody made holds for one document in eight at least.
func TestAKeyThatAnybodySignsWithIsNone(t *testing.T) {
	forged := make([]byte, ed25519.SignatureSize) // R is the neutral point, S is 0
	forged[0] = 1
	for _, point := range smallOrders {
		for _, sign := range []byte{0, 0x80} {
			public, err := hex.DecodeString(point)
			if err != nil {
				t.Fatal(err)
			}
			public[31] |= sign
			holds := 0
			for n := range 200 {
				if ed25519.Verify(public, fmt.Append(nil, n), forged) {
					holds++
				}
			}
			t.Logf("%x: holds for %d of 200", public, holds)
			if holds == 0 {
				t.Errorf("%x isn't such a point", public)
			}
			k := Key{Algorithm: Ed25519, Public: public}
			wantCode(t, k.Check(), refusal.Malformed)
		}
	}
}
