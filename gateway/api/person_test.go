package api_test

import (
	"crypto/tls"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"yitong/chaincode/access"
	"yitong/gateway/api"
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
