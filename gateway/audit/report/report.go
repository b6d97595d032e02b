// Package report writes answers of the history for other systems and for people, and
// signs them.
//
//	fhir-bundle, fhir-ndjson   AuditEvents (package auditevent)
//	csv                        one line an entry; safe to open in a spreadsheet
//	parquet                    the same, for a warehouse
//	html                       a report to read and to print, English or Chinese
//
// Every export says, inside and in the statement that is signed beside it, on which block
// of the ledger it stands. Whoever has the export, the statement and the member's key from
// the registry can check that the export is what the member said; whoever has the ledger
// can check that what it said is true.
package report

import (
	"fmt"
	"io"
	"iter"
	"time"

	"yitong/gateway/audit/auditevent"
	"yitong/gateway/audit/history"
)

// Report is what is to be written.
type Report struct {
	Source   auditevent.Source
	Name     string // of the member that reports
	AsOf     history.AsOf
	Made     time.Time
	Language string            // "en" or "zh"; of the HTML report
	Wanted   [][2]string       // what was asked for: name of the criterion, value
	Names    map[string]string // of members, by MSP id
	Gateways map[string]string // addresses of the members' gateways, by MSP id
	Entries  iter.Seq2[history.Entry, error]
}

// Formats lists what can be written.
var Formats = []string{"fhir-bundle", "fhir-ndjson", "csv", "parquet", "html"}

// Write writes a report in a format.
func Write(w io.Writer, format string, r Report) error {
	switch format {
	case "fhir-bundle":
		return bundle(w, r)
	case "fhir-ndjson":
		return ndjson(w, r)
	case "csv":
		return table(w, r)
	case "parquet":
		return columnar(w, r)
	case "html":
		return page(w, r)
	}
	return fmt.Errorf("there is no format %q; there are %v", format, Formats)
}

// event writes an entry as an AuditEvent.
func (r Report) event(e history.Entry) auditevent.Event {
	other := e.Requester
	if e.Member == e.Requester {
		other = e.Custodian
	}
	return auditevent.Of(e, r.Source, r.Gateways[other])
}

// name is what a member is called.
func (r Report) name(msp string) string {
	if n := r.Names[msp]; n != "" {
		return n
	}
	return msp
}
