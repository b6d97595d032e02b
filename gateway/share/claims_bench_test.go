package share_test

import (
	"testing"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/gateway/share"
)

// BenchmarkRequest shows what keeping the claim reference costs a request beside one
// without: one write of the key store, shared by those at the same time. The ledger here
// costs next to nothing; on a network a request takes some hundred milliseconds.
func BenchmarkRequest(b *testing.B) {
	for name, reference := range map[string]string{"without a claim reference": "", "with one": "claim 77"} {
		b.Run(name, func(b *testing.B) {
			c := newConsortium(b)
			b.SetParallelism(32)
			b.ResetTimer()
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					_, _, err := c.gateways[insurer].Request(b.Context(), share.Claim{
						Custodian: "HospitalA", Patient: chen, Purpose: consent.CLMATTCH, Action: consent.Access,
						Classes: record.ClassesOf(record.Laboratory), Reference: reference,
					})
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
