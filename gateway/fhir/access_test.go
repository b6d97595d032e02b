package fhir_test

import (
	"net/http"
	"strings"
	"testing"

	"yitong/cmd/yitong/gatewaytest"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/fhir"
)

// Who shows nothing reads what is for everybody, and is told how to be let in, as FHIR.
func TestStrangersReadTheMetadataAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	stranger := open(t, dir, "hospital-a", "")
	stranger.http.Transport.(*http.Transport).TLSClientConfig.Certificates = nil
	stranger.do("GET", "/metadata", "").want(t, 200)
	for _, path := range []string{"/Patient", "/DocumentReference?status=current", "/Binary/x", "/Bundle/x", "/Consent", "/nothing"} {
		r := stranger.do("GET", path, "").want(t, 401)
		if code, _ := r.issue(t); code != "unauthenticated" || !strings.HasPrefix(r.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: %s, %q", path, code, r.Header.Get("WWW-Authenticate"))
		}
	}
	if r := stranger.do("POST", "", aBundle()); r.StatusCode != 401 {
		t.Errorf("a stranger's record is answered %d", r.StatusCode)
	}
}

// The policy decides by the person's role, as over gRPC; when the permit has ended, what it opened is
// gone, and the answer says why.
func TestRolesAndPermitsDecideWhatIsRead(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	hospital, insurer := open(t, dir, "hospital-a", ""), open(t, dir, "insurer", "")
	created := post(hospital, "/DocumentReference", aDocument([]byte("%PDF"), "")).want(t, 201)
	id := strings.TrimPrefix(created.Header.Get("Location"), hospital.base+"/DocumentReference/")
	other := post(hospital, "/DocumentReference", aDocument([]byte("%PDF-1.7"), "")).want(t, 201).Header.Get("Location")
	access := share(t, hospital, insurer, "laboratory")
	at := "/Binary/" + id + "-" + fhir.Shortened(access)
	insurer.do("GET", at, "").want(t, 200)

	handler, auditor := open(t, dir, "insurer", "claims-handler"), open(t, dir, "insurer", "auditor")
	handler.do("GET", at, "").want(t, 200)
	if code, _ := auditor.do("GET", at, "").want(t, 403).issue(t); code != "not-allowed" {
		t.Errorf("an auditor who reads is answered %s", code)
	}
	if code, _ := post(open(t, dir, "hospital-a", "auditor"), "/Bundle", aBundle()).want(t, 403).issue(t); code != "not-allowed" {
		t.Errorf("an auditor who submits is answered %s", code)
	}
	if code, _ := post(insurer, "/Bundle", aBundle()).want(t, 403).issue(t); code != "kind-not-allowed" {
		t.Errorf("an insurer who submits is answered %s", code)
	}

	who := &yitongv1.Patient{System: mrnSystem, Value: mrnValue}
	consents, err := hospital.grpc.Consents.List(t.Context(), &yitongv1.ListConsentsRequest{Patient: who, Requester: "insurer"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = hospital.grpc.Consents.Withdraw(t.Context(), &yitongv1.WithdrawRequest{Id: consents.GetConsents()[0].GetId(), Patient: who, Requester: "insurer", Reason: "patient-request"})
	if err != nil {
		t.Fatal(err)
	}
	// Of the other document: what was asked this second is remembered, and the clock here stands still.
	unread := strings.Replace(strings.TrimPrefix(other, hospital.base), "/DocumentReference/", "/Binary/", 1) + "-" + fhir.Shortened(access)
	if code, _ := insurer.do("GET", unread, "").want(t, 410).issue(t); code != "consent-changed" {
		t.Errorf("after the withdrawal it is %s", code)
	}
	hospital.do("GET", "/Binary/"+id, "").want(t, 200) // its own it keeps
}
