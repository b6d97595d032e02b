package seal_test

import (
	"bytes"
	"strings"
	"testing"

	"yitong/chaincode/record"
	"yitong/gateway/seal"
)

// What a DocumentReference is marked with, the Binary that it names is too.
func TestABinaryIsAsSensitiveAsWhatNamesIt(t *testing.T) {
	const bundle = `{"resourceType":"Bundle","type":"collection","entry":[
	{"fullUrl":"urn:uuid:1","resource":{"resourceType":"DocumentReference","id":"d","status":"current","securityLabel":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]}],"content":[{"attachment":{"url":"NAME"}}]}},
	{"fullUrl":"urn:uuid:2","resource":{"resourceType":"Binary","id":"b","contentType":"text/plain"CONTEXT,"data":"c2VjcmV0"}}]}`
	for _, c := range []struct {
		name, called, context string
		marked                bool
	}{
		{"by its fullUrl", "urn:uuid:2", "", true},
		{"by its type and id", "Binary/b", "", true},
		{"by its security context", "urn:uuid:9", `,"securityContext":{"reference":"DocumentReference/d"}`, true},
		{"by the fullUrl of its security context", "urn:uuid:9", `,"securityContext":{"reference":"urn:uuid:1"}`, true},
		{"not at all", "urn:uuid:9", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			drafts, err := seal.Split([]byte(strings.NewReplacer("NAME", c.called, "CONTEXT", c.context).Replace(bundle)))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range drafts {
				if bytes.Contains(d.Content, []byte("c2VjcmV0")) && d.Labels.Has(record.PSY) != c.marked {
					t.Errorf("the Binary is labelled %v", d.Labels.Codes())
				}
			}
		})
	}
}
