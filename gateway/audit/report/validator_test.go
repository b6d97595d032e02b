package report_test

import (
	"os/exec"
	"testing"
)

// validate has the validator of the npm package fhir (4.12.0, on HL7's own R4
// definitions) read a Bundle from standard input.
const validate = `const {Fhir} = require("fhir");
const bundle = JSON.parse(require("fs").readFileSync(0));
const result = new Fhir().validate(bundle, {errorOnUnexpected: true});
for (const m of result.messages.filter(m => m.severity === "error" || m.severity === "fatal")) console.log(m.location, m.message);
process.exit(result.valid ? 0 : 1);`

// The R4 definitions find no fault in any AuditEvent, nor an element that they don't
// know. It takes node and the package: NODE_PATH=… after "npm install fhir@4.12.0".
func TestAuditEventsAreValidR4(t *testing.T) {
	if err := exec.Command("node", "-e", `require("fhir")`).Run(); err != nil {
		t.Skip(`no node with the package fhir here: npm install fhir@4.12.0, and name its node_modules in NODE_PATH`)
	}
	entries, asOf := trail(t)
	node := exec.Command("node", "-e", validate)
	in, err := node.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	doc := write(t, "fhir-bundle", "", entries, asOf)
	go func() {
		defer in.Close()
		_, _ = in.Write(doc) // what doesn't arrive is not valid JSON
	}()
	if out, err := node.CombinedOutput(); err != nil {
		t.Errorf("%v\n%.4000s", err, out)
	}
}
