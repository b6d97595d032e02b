package fhir

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// nobody is a gateway that has nothing.
type nobody struct{ asked []proto.Message }

func (n *nobody) Invoke(_ context.Context, _ string, in, out any, _ ...grpc.CallOption) error {
	n.asked = append(n.asked, in.(proto.Message))
	if members, ok := out.(*yitongv1.ListMembersResponse); ok {
		members.Members = people
	}
	return nil
}

func (*nobody) NewStream(context.Context, *grpc.StreamDesc, string, ...grpc.CallOption) (grpc.ClientStream, error) {
	return nil, status.Error(codes.Unavailable, "nobody is there")
}

// Whatever is searched for, the answer is a Bundle or says what is wrong, no link names the patient,
// and what reaches the gateway is what it can be asked.
func FuzzSearch(f *testing.F) {
	for _, query := range []string{
		"patient.identifier=https://hospital-a.example/mrn|p-1&status=active&_count=2", "period=ge2026-11-21&period=lt2027&date=sa2026", "_lastUpdated=ap2026-11&_sort=-_lastUpdated",
		"subtype=AuthZ-Consent&outcome=8,4&entity.identifier=urn:yitong:access|0123456789abcdef0123456789abcdef", "agent:identifier=urn:yitong:member|Insurer&type=http://dicom.nema.org/resources/ontology/DCM|110106",
		"identifier=urn:yitong:consent|0123456789abcdef0123456789abcdef", "_id=1.0.5", "business-status=denied&authored-on=gt2026-01-01T00:00:00Z", `identifier=a\|b|c\,d`, "_count=0&_summary=count", "url=https://x&criteria=urn:yitong:topic:*",
	} {
		for _, kind := range []string{"Consent", "AuditEvent", "Task", "Subscription", "List"} {
			f.Add(kind, query)
		}
	}
	f.Fuzz(func(t *testing.T, kind, query string) {
		switch kind {
		case "Consent", "AuditEvent", "Task", "Subscription", "List":
		default:
			return
		}
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		behind := &nobody{}
		in := httptest.NewRequest("POST", "https://gateway.example/fhir/"+kind+"/_search", strings.NewReader(form.Encode()))
		in.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		out := httptest.NewRecorder()
		New(Config{Member: "hospital-a", Kind: "hospital", Secret: make([]byte, 32)}, behind).ServeHTTP(out, in)
		var answer struct {
			ResourceType string
			Link         []struct{ Relation, URL string }
		}
		if err := json.Unmarshal(out.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%d %v: %s", out.Code, err, out.Body)
		}
		if out.Code == 200 && answer.ResourceType != "Bundle" || out.Code != 200 && (answer.ResourceType != "OperationOutcome" || out.Code >= 500) {
			t.Fatalf("%d: %s", out.Code, out.Body)
		}
		for _, l := range answer.Link {
			if strings.Contains(l.URL, "patient") {
				t.Fatalf("a link names the patient: %s", l.URL)
			}
		}
		for _, m := range behind.asked {
			if _, err := proto.Marshal(m); err != nil {
				t.Fatalf("the gateway is asked what no message holds: %v", err)
			}
		}
	})
}
