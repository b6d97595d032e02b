// Package fhir_test drives the FHIR façade of real gateways, over TLS with the members' own client
// certificates: by hand, by a public FHIR client library, and with resources that others wrote; and
// holds what it answers against HL7's definitions with validators that others wrote.
package fhir_test

import (
	"testing"

	"yitong/test/consortium"
)

func TestMain(m *testing.M) { consortium.Main(m) }
