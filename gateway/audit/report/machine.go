package report

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ndjson writes one AuditEvent a line (FHIR bulk data's format).
func ndjson(w io.Writer, r Report) error {
	lines := json.NewEncoder(w)
	for e, err := range r.Entries {
		if err != nil {
			return err
		}
		if err := lines.Encode(r.event(e)); err != nil {
			return fmt.Errorf("writing AuditEvents: %w", err)
		}
	}
	return nil
}

// bundle writes one collection of AuditEvents, streamed. Its identifier is the block that
// it stands on.
func bundle(w io.Writer, r Report) error {
	_, err := fmt.Fprintf(w, `{"resourceType":"Bundle","identifier":{"system":"urn:yitong:block","value":"%d.%x"},"type":"collection","timestamp":%q`,
		r.AsOf.Blocks, r.AsOf.Hash, r.Made.UTC().Format(time.RFC3339))
	if err != nil {
		return err
	}
	begin := `,"entry":[`
	for e, err := range r.Entries {
		if err != nil {
			return err
		}
		doc, err := json.Marshal(r.event(e))
		if err != nil {
			return fmt.Errorf("writing AuditEvents: %w", err)
		}
		// Identified within this system alone, hence a URN and no address.
		if _, err := fmt.Fprintf(w, `%s{"fullUrl":"urn:yitong:entry:%d","resource":%s}`, begin, e.Number, doc); err != nil {
			return err
		}
		begin = ","
	}
	if begin == "," {
		begin = "]"
	} else {
		begin = "" // FHIR knows no empty list
	}
	_, err = io.WriteString(w, begin+"}\n")
	return err
}

var columns = []string{"number", "block", "transaction_index", "transaction", "time_claimed", "kind", "action", "outcome", "reason", "member", "agent", "user", "user_role", "role",
	"access_point", "function", "validation", "endorsers", "custodian", "requester", "handle", "object", "version", "purpose", "classes", "policy_consent",
	"policy_version", "policy_provision", "audit_source", "ledger_height", "ledger_block_hash"}

// table writes CSV (RFC 4180). The user is a salted digest or a key, or where a
// member's own software acted the name on its certificate, in the role software.
func table(w io.Writer, r Report) error {
	c := csv.NewWriter(w)
	if err := c.Write(columns); err != nil {
		return err
	}
	height, hash := strconv.FormatUint(r.AsOf.Blocks, 10), fmt.Sprintf("%x", r.AsOf.Hash)
	for e, err := range r.Entries {
		if err != nil {
			return err
		}
		claimed := ""
		if !e.Claimed.IsZero() {
			claimed = e.Claimed.Format(time.RFC3339)
		}
		row := []string{strconv.FormatInt(e.Number, 10), strconv.FormatUint(e.Block, 10), strconv.Itoa(e.Index), e.Transaction, claimed, string(e.Kind), string(e.Action), string(e.Outcome), e.Reason, e.Member, e.Agent, e.User, e.UserRole, e.Role,
			e.AccessPoint, e.Function, e.Validation, strings.Join(e.Endorsers, " "), e.Custodian, e.Requester, e.Handle, e.Object, number(e.Version), e.Purpose, strings.Join(e.Classes, " "), e.Policy.Consent,
			number(e.Policy.Version), e.Policy.Path, r.Source.Member, height, hash}
		for i := range row {
			row[i] = inert(row[i])
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// inert keeps a spreadsheet from taking text for a formula: a text that begins as one
// does, in either width, is given a quote before (OWASP, CSV injection). Some of it is chosen by whoever
// may send a transaction.
func inert(s string) string {
	first, _ := utf8.DecodeRuneInString(s)
	if s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + s
	}
	return s
}
