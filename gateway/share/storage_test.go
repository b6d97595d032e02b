package share_test

import (
	"bytes"
	"errors"
	"testing"

	"yitong/chaincode/access"
	"yitong/chaincode/record"
	"yitong/gateway/seal"
	"yitong/gateway/share"
)

// A storage provider holds every sealed part, old ones too, and gives what it likes: another part, the
// same part of the record's older version, the sealed part of another patient, less, more, nothing. The
// requester opens none of it and says so on the ledger; the truth, given again, is opened by nobody
// else's permit.
func TestAStorageProviderSwapsRollsBackAndTruncatesInVain(t *testing.T) {
	type stock struct{ old []byte } // what the provider has kept
	cases := map[string]func(s stock, parts [][]byte){
		"the older version of the part": func(s stock, parts [][]byte) { parts[0] = s.old },
		"two parts exchanged":           func(s stock, parts [][]byte) { parts[0], parts[1] = parts[1], parts[0] },
		"one part twice":                func(s stock, parts [][]byte) { parts[1] = parts[0] },
		"half a part":                   func(s stock, parts [][]byte) { parts[0] = parts[0][:len(parts[0])/2] },
		"nothing":                       func(s stock, parts [][]byte) { parts[0] = nil },
		"the part and some more":        func(s stock, parts [][]byte) { parts[0] = append(bytes.Clone(parts[0]), 0) },
		"the padding cut off": func(s stock, parts [][]byte) {
			parts[0] = append(bytes.Clone(parts[0][:2000]), parts[0][len(parts[0])-16:]...)
		},
	}
	for name, tamper := range cases {
		t.Run(name, func(t *testing.T) {
			c := newConsortium(t)
			c.tick()
			first := c.submit(bundle(6))
			c.grant(toPayers())
			var seen stock
			c.deliver = func(d share.Delivery) share.Delivery {
				seen.old = bytes.Clone(d.(*delivery).parts[0])
				return d
			}
			before := c.request(record.Laboratory, record.Condition)
			if _, err := c.gateways[insurer].Open(t.Context(), "HospitalA", before.ID, opened{}.sink); err != nil {
				t.Fatal(err)
			}
			_, _, err := c.gateways[hospitalA].Submit(t.Context(), share.Submission{Patient: chen, MediaType: share.FHIR, Supersedes: first.ID}, bytes.NewReader(bundle(7)))
			if err != nil {
				t.Fatal(err)
			}

			a := c.request(record.Laboratory, record.Condition)
			c.deliver = func(d share.Delivery) share.Delivery {
				if n := len(d.(*delivery).parts); n != 2 {
					t.Fatalf("%d parts are delivered, want 2", n)
				}
				tamper(seen, d.(*delivery).parts)
				return d
			}
			parts := opened{}
			_, err = c.gateways[insurer].Open(t.Context(), "HospitalA", a.ID, parts.sink)
			var part *seal.PartError
			if !errors.As(err, &part) {
				t.Fatalf("got %v, want an error that names the part", err)
			}
			for class, content := range parts {
				if bytes.Contains(content.Bytes(), []byte(`"value":6,`)) {
					t.Errorf("the old %s was opened", class)
				}
			}
			entry, err := c.gateways[regulator].Access(t.Context(), hospitalA, insurer, a.ID)
			if err != nil {
				t.Fatal(err)
			}
			if entry.Receipt == nil || entry.Receipt.Outcome != access.Failed {
				t.Errorf("the receipt is %+v, want failed", entry.Receipt)
			}
		})
	}
}
