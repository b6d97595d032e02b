package handle_test

import (
	"encoding/hex"
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"yitong/gateway/handle"
)

// Two relationships of one patient, and two epochs of one relationship, have no more in
// common than chance has: half of the bits, and no four bytes anywhere.
func TestHandlesOfOnePatientHaveNothingInCommon(t *testing.T) {
	keys := newKeys(t, 2)
	ids := make([]string, handle.MaxBatch)
	for i := range ids {
		ids[i] = fmt.Sprintf("urn:oid:1.2.156|%06d", i)
	}
	elsewhere, later := relation, relation
	elsewhere.Requester, later.Epoch = "HospitalB", 2
	here := derive(t, relation, keys, ids...)
	for name, other := range map[string][]string{
		"another relationship": derive(t, elsewhere, keys, ids...), "another epoch": derive(t, later, keys, ids...),
	} {
		ones := 0
		for i := range ids {
			a, b := pseudonym(here[i]), pseudonym(other[i])
			for at := 0; at+8 <= len(a); at++ {
				if strings.Contains(b, a[at:at+8]) {
					t.Errorf("%s of a patient shares %q", name, a[at:at+8])
				}
			}
			x, _ := hex.DecodeString(a)
			y, _ := hex.DecodeString(b)
			for j := range x {
				ones += bits.OnesCount8(x[j] ^ y[j])
			}
		}
		// Of 64 x 256 fair bits half differ, with a standard deviation of 64: five of them.
		if n := len(ids) * 256; ones < n/2-320 || ones > n/2+320 {
			t.Errorf("to %s %d of %d bits differ", name, ones, n)
		}
	}
}
