package channel

import (
	"crypto/elliptic"
	"math/big"
)

// halfOrders are half the curves' orders, by size in bits: the highest S that Fabric takes.
var halfOrders = func() map[int][]byte {
	out := map[int][]byte{}
	for _, c := range []elliptic.Curve{elliptic.P224(), elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		out[c.Params().BitSize] = new(big.Int).Rsh(c.Params().N, 1).Bytes()
	}
	return out
}()
