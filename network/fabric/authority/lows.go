package authority

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
)

// lowS signs with the smaller of the two S that verify. Fabric's MSP rewrites
// a certificate with a high S before it hashes it, so a file with one would not
// be byte for byte what the ledger shows as its signer.
type lowS struct{ *ecdsa.PrivateKey }

func (k lowS) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	der, err := k.PrivateKey.Sign(random, digest, opts)
	if err != nil {
		return nil, err
	}
	var sig struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &sig); err != nil {
		return nil, fmt.Errorf("reading signature: %w", err)
	}
	order := k.Curve.Params().N
	if sig.S.Cmp(new(big.Int).Rsh(order, 1)) > 0 {
		sig.S.Sub(order, sig.S)
	}
	return asn1.Marshal(sig)
}
