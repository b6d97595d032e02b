package api_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"yitong/chaincode/access"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/network/fabric/authority"
)

func TestAPersonIsLetInByARoleThatIsKnown(t *testing.T) {
	own, other := newAuthority(t, "own"), newAuthority(t, "other")
	address := serve(t, own, api.Trust{"OwnMSP": root(t, own), "OtherMSP": root(t, other)})
	for _, test := range []struct {
		name string
		by   *authority.Authority
		attr map[string]string
		want codes.Code
	}{
		{"a clinician", own, map[string]string{access.RoleAttribute: "clinician"}, codes.OK},
		{"somebody of no role", own, nil, codes.OK},
		{"another attribute", own, map[string]string{"role": "gateway"}, codes.OK},
		{"a role that nobody knows", own, map[string]string{access.RoleAttribute: "superuser"}, codes.Unauthenticated},
		{"an empty role", own, map[string]string{access.RoleAttribute: ""}, codes.Unauthenticated},
		{"another member's clinician", other, map[string]string{access.RoleAttribute: "clinician"}, codes.PermissionDenied},
	} {
		t.Run(test.name, func(t *testing.T) {
			person, err := test.by.Person("dr.li", test.attr)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := tls.X509KeyPair(person.Cert, person.Key)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := api.Dial(address, &tls.Config{RootCAs: pool(t, own), ServerName: "127.0.0.1", Certificates: []tls.Certificate{cert}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			got := status.Code(conn.Invoke(t.Context(), "/yitong.v1.Accesses/Get", &emptypb.Empty{}, &emptypb.Empty{}))
			if got == codes.PermissionDenied || got == codes.Unauthenticated || test.want != codes.OK {
				if got != test.want {
					t.Errorf("got %s, want %s", got, test.want)
				}
			}
		})
	}
}

// What the policy doesn't let a role do never gets as far as a handler, and the answer
// names the rule or that there is none.
func TestTheDoorAsksThePolicy(t *testing.T) {
	own := newAuthority(t, "own")
	address := serve(t, own, api.Trust{"OwnMSP": root(t, own)})
	for _, test := range []struct {
		name, role, method string
		asked              proto.Message
		denied             string // part of the answer; "" where the door lets it in
	}{
		{"a records officer lists records", "records-officer", "Records/List", &yitongv1.ListRecordsRequest{}, ""},
		{"an operator doesn't", "operator", "Records/List", &yitongv1.ListRecordsRequest{}, "operator may not call Records.List here (denied: no rule permits it)"},
		{"a clinician asks to treat", "clinician", "Accesses/Request", &yitongv1.AccessRequest{Purpose: "TREAT"}, ""},
		{"a clinician doesn't ask for payment", "clinician", "Accesses/Request", &yitongv1.AccessRequest{Purpose: "HPAYMT"}, "no rule permits"},
		{"an auditor answers no order", "auditor", "Audit/AnswerOrder", &yitongv1.AnswerOrderRequest{}, "forbidden by auditors-answer-no-orders (default.cedar:"},
		{"a stream is asked about too", "operator", "Accesses/Open", &yitongv1.OpenRequest{}, "operator may not call Accesses.Open"},
	} {
		t.Run(test.name, func(t *testing.T) {
			person, err := own.Person("li", map[string]string{access.RoleAttribute: test.role})
			if err != nil {
				t.Fatal(err)
			}
			cert, err := tls.X509KeyPair(person.Cert, person.Key)
			if err != nil {
				t.Fatal(err)
			}
			conn, err := api.Dial(address, &tls.Config{RootCAs: pool(t, own), ServerName: "127.0.0.1", Certificates: []tls.Certificate{cert}})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			err = conn.Invoke(t.Context(), "/yitong.v1."+test.method, test.asked, &emptypb.Empty{})
			text := status.Convert(err).Message()
			if denied := status.Code(err) == codes.PermissionDenied && strings.Contains(text, "policy"); denied != (test.denied != "") || !strings.Contains(text, test.denied) {
				t.Errorf("%v", err)
			}
		})
	}
}
