package fhir_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"testing"

	"yitong/test/consortium"
	"yitong/test/fhir/door"
	"yitong/test/patient"
)

// A public FHIR client library does all that it can do: it knows nothing of us but the façade's
// address and a client certificate.
func TestAPublicClientDrivesTheFacade(t *testing.T) {
	if !packages(t, "fhir-kit-client", "undici") {
		t.Skip("no fhir-kit-client here")
	}
	c := consortium.Shared(t)
	p := patient.Synthetic(t, 4210)
	c.Submit(t, p)
	at := func(member string) object {
		d := door.Open(t, c, nil, member, "")
		return object{"base": d.Base, "ca": d.Profile.CA, "cert": d.Profile.Cert, "key": d.Profile.Key, "serverName": d.Profile.ServerName}
	}
	var consents list
	for n := range 3 {
		consents = append(consents, permit(p.ID, fmt.Sprint("4210-", n), "laboratory", "claim"))
	}
	given, err := json.Marshal(object{
		"hospital": at(consortium.HospitalA), "insurer": at(consortium.Insurer), "patient": p.ID.GetSystem() + "|" + p.ID.GetValue(),
		"consents": consents, "narrower": permit(p.ID, "", "claim")["provision"], "task": request(p.ID, "laboratory"),
	})
	if err != nil {
		t.Fatal(err)
	}
	node := exec.CommandContext(t.Context(), "node", "testdata/client.mjs")
	node.Stdin = bytes.NewReader(given)
	if out, err := node.CombinedOutput(); err != nil || !bytes.HasSuffix(out, []byte("done\n")) {
		t.Errorf("%v\n%.6000s", err, out)
	}
}
