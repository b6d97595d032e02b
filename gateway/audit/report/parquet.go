package report

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/parquet-go/parquet-go"
)

// parquetRow is an entry in the Parquet file: the columns of the CSV, typed. What an entry hasn't is
// empty or null. The names are part of the format.
type parquetRow struct {
	Number          int64      `parquet:"number"`
	Block           int64      `parquet:"block"`
	Index           int32      `parquet:"transaction_index"`
	Transaction     string     `parquet:"transaction"`
	Claimed         *time.Time `parquet:"time_claimed,optional,timestamp(millisecond)"`
	Kind            string     `parquet:"kind,dict"`
	Action          string     `parquet:"action,dict"`
	Outcome         string     `parquet:"outcome,dict"`
	Reason          string     `parquet:"reason,dict"`
	Member          string     `parquet:"member,dict"`
	Agent           string     `parquet:"agent,dict"`
	User            string     `parquet:"user"`
	UserRole        string     `parquet:"user_role,dict"`
	Role            string     `parquet:"role,dict"`
	AccessPoint     string     `parquet:"access_point,dict"`
	Function        string     `parquet:"function,dict"`
	Validation      string     `parquet:"validation,dict"`
	Endorsers       []string   `parquet:"endorsers,list"`
	Custodian       string     `parquet:"custodian,dict"`
	Requester       string     `parquet:"requester,dict"`
	Handle          string     `parquet:"handle"`
	Object          string     `parquet:"object"`
	Version         int32      `parquet:"version"`
	Purpose         string     `parquet:"purpose,dict"`
	Classes         []string   `parquet:"classes,list"`
	PolicyConsent   string     `parquet:"policy_consent"`
	PolicyVersion   int32      `parquet:"policy_version"`
	PolicyProvision string     `parquet:"policy_provision,dict"`
}

// rowGroup is how many entries lie together: what a reader skips at once.
const rowGroup = 50_000

// columnar writes Apache Parquet, compressed by Zstandard. The file's own metadata says which
// member made it and on which block of the ledger it stands.
func columnar(w io.Writer, r Report) error {
	out := parquet.NewGenericWriter[parquetRow](w, parquet.Compression(&parquet.Zstd), parquet.MaxRowsPerRowGroup(rowGroup),
		parquet.CreatedBy("yitong", "1", ""),
		parquet.KeyValueMetadata("audit_source", r.Source.Member), parquet.KeyValueMetadata("channel", r.Source.Channel),
		parquet.KeyValueMetadata("ledger_height", strconv.FormatUint(r.AsOf.Blocks, 10)), parquet.KeyValueMetadata("ledger_block_hash", fmt.Sprintf("%x", r.AsOf.Hash)))
	rows := make([]parquetRow, 0, 1000)
	flush := func() error {
		_, err := out.Write(rows)
		rows = rows[:0]
		return err
	}
	for e, err := range r.Entries {
		if err != nil {
			return err
		}
		one := parquetRow{
			Number: e.Number, Block: int64(e.Block), Index: int32(e.Index), Transaction: e.Transaction, Kind: string(e.Kind), Action: string(e.Action),
			Outcome: string(e.Outcome), Reason: e.Reason, Member: e.Member, Agent: e.Agent, User: e.User, UserRole: e.UserRole, Role: e.Role, AccessPoint: e.AccessPoint, Function: e.Function,
			Validation: e.Validation, Endorsers: e.Endorsers, Custodian: e.Custodian, Requester: e.Requester, Handle: e.Handle, Object: e.Object,
			Version: int32(e.Version), Purpose: e.Purpose, Classes: e.Classes, PolicyConsent: e.Policy.Consent, PolicyVersion: int32(e.Policy.Version), PolicyProvision: e.Policy.Path,
		}
		if !e.Claimed.IsZero() {
			claimed := e.Claimed.UTC()
			one.Claimed = &claimed
		}
		if rows = append(rows, one); len(rows) == cap(rows) {
			if err := flush(); err != nil {
				return fmt.Errorf("writing Parquet: %w", err)
			}
		}
	}
	if err := flush(); err != nil {
		return fmt.Errorf("writing Parquet: %w", err)
	}
	if err := out.Close(); err != nil {
		return fmt.Errorf("writing Parquet: %w", err)
	}
	return nil
}
