package erasure_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"yitong/chaincode/contract"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/proof"
	"yitong/gateway/keys"
	"yitong/gateway/seal"
	"yitong/gateway/share"
	"yitong/gateway/vault"
	"yitong/test/consortium"
	"yitong/test/patient"
)

func refused(t *testing.T, err error, code refusal.Code) {
	t.Helper()
	if r, ok := client.Refusal(err); !ok || r.Code != code {
		t.Fatalf("got %v, want a refusal with code %s", err, code)
	}
}

func TestARecordIsErasedForGood(t *testing.T) {
	c := consortium.Shared(t)
	hospital, insurer, regulator := c.Client(t, consortium.HospitalA), c.Client(t, consortium.Insurer), c.Client(t, consortium.Regulator)
	p := patient.Synthetic(t, 31)
	r := c.Submit(t, p).GetRecord()
	c.Grant(t, p, consortium.ForPayment("laboratory"))
	permit := c.Ask(t, p, "laboratory").GetId()
	opened, _, err := c.Open(t.Context(), t, permit)
	if err != nil || len(opened) == 0 {
		t.Fatalf("opened %d parts, %v", len(opened), err)
	}
	before := prove(t, c, permit)

	// Everything that the hospital has on its disks but the key store: vault, peer, ledger, databases.
	backup := t.TempDir()
	home := c.Member(t, consortium.HospitalA).Dir()
	copyAll(t, home, backup)
	if n := openable(t, home, backup, r.GetId()); n != len(r.GetParts()) {
		t.Fatalf("before the erasure %d of %d parts open: the test shows nothing", n, len(r.GetParts()))
	}

	hold := &yitongv1.HoldRequest{Custodian: consortium.HospitalA, Id: r.GetId(), Reason: "case-7"}
	_, err = hospital.Erasures.Hold(t.Context(), hold)
	refused(t, err, refusal.KindNotAllowed)
	if _, err := regulator.Erasures.Hold(t.Context(), hold); err != nil {
		t.Fatal(err)
	}
	erase := &yitongv1.EraseRequest{Id: r.GetId(), Reason: string(record.PatientRequest)}
	_, err = hospital.Erasures.Erase(t.Context(), erase)
	refused(t, err, record.OnHold)
	if _, err := regulator.Erasures.Unhold(t.Context(), &yitongv1.UnholdRequest{Custodian: consortium.HospitalA, Id: r.GetId()}); err != nil {
		t.Fatal(err)
	}
	answer, err := hospital.Erasures.Erase(t.Context(), erase)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.GetRequesters(); !answer.GetErasure().GetWhole() || answer.GetCommit() == nil || len(got) != 1 || got[0].GetRequester() != consortium.InsurerMSP || !got[0].GetTold() {
		t.Errorf("erased %v", answer)
	}

	_, _, err = c.Open(t.Context(), t, permit)
	refused(t, err, record.Gone)
	if rest, _, err := c.Open(t.Context(), t, c.Ask(t, p, "laboratory").GetId()); err != nil || len(rest) != 0 {
		t.Errorf("a new permit opens %d parts, %v", len(rest), err)
	}
	notices, err := insurer.Erasures.Notices(t.Context(), &yitongv1.NoticesRequest{})
	if err != nil || len(notices.GetNotices()) != 1 || len(notices.GetNotices()[0].GetParts()) != len(opened) || notices.GetNotices()[0].GetRecordId() != r.GetId() {
		t.Errorf("the insurer's notices are %v, %v", notices, err)
	}
	_, err = insurer.Erasures.Acknowledge(t.Context(), &yitongv1.AcknowledgeRequest{Custodian: consortium.HospitalA, Id: r.GetId(), Fate: string(record.Deleted)})
	if err != nil {
		t.Fatal(err)
	}
	var words contract.AcknowledgementPage
	err = c.Ledger(t, consortium.Regulator, consortium.Chaincode).Evaluate(t.Context(), contract.RecordAcknowledgements,
		contract.AcknowledgementsQuery{Custodian: consortium.HospitalAMSP, ID: r.GetId()}, &words)
	if err != nil || len(words.Acknowledgements) != 1 || words.Acknowledgements[0].Fate != record.Deleted || words.Acknowledgements[0].Requester != consortium.InsurerMSP {
		t.Errorf("on the ledger: %+v, %v", words, err)
	}

	if n := openable(t, home, backup, r.GetId()); n != 0 {
		t.Errorf("%d of %d parts open out of the backup", n, len(r.GetParts()))
	}
	for name, file := range map[string][]byte{"made before the erasure": before, "made after it": prove(t, c, permit)} {
		shown, err := proof.Verify(bytes.NewReader(file), consortium.Genesis(t, c.Blocks(t, consortium.Regulator)))
		if err != nil || !shown.Access.Permitted() || shown.Release == nil || shown.Receipt == nil {
			t.Errorf("the proof %s: %+v, %v", name, shown, err)
		}
	}
}

// blocks are all that the regulator's peer has.
func prove(t *testing.T, c *consortium.Consortium, permit string) []byte {
	t.Helper()
	raw := c.Blocks(t, consortium.Regulator)
	file, err := proof.Build(t.Context(), proof.Blocks(raw), consortium.Genesis(t, raw), consortium.Chaincode, permit)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// keyStore is where a member's key store lies within its folder.
const keyStore = "gateway/state/keys.db"

// copyAll copies a member's folder while it runs, but for the key store. What goes away meanwhile is
// left out: nothing of it holds a record.
func copyAll(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		if !d.Type().IsRegular() || name == keyStore {
			return nil
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), raw, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// buckets are those of the key store that anything like a key could be in.
var buckets = []string{
	"secrets", "retired", "records", "partkeys", "patients", "handles", "consents", "claims", "users", "releases", "receipts",
	"lodgings", "kept", "escrowindex", "erasures", "receivers", "opened", "warned",
}

var keyLike = regexp.MustCompile(`"([A-Za-z0-9+/]{43}=|[0-9a-f]{64})"`)

// known keeps what is known of a record from before it was erased, which is anything but its keys.
var known = map[string]share.Record{}

// openable tries to open a record's sealed parts out of a backup with everything that the member's key
// store holds now, and returns how many opened.
func openable(t *testing.T, home, backup, id string) int {
	t.Helper()
	store := openStore(t, home)
	defer store.Close()
	if raw, err := store.Get("records", id); err == nil {
		var r share.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Parts) > 0 {
			known[id] = r
		}
	}
	var candidates []seal.Key
	for _, bucket := range buckets {
		all, err := store.List(bucket)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range all {
			if len(v) == len(seal.Key{}) {
				candidates = append(candidates, seal.Key(v))
			}
			for _, m := range keyLike.FindAllSubmatch(v, -1) {
				raw, err := base64.StdEncoding.DecodeString(string(m[1]))
				if len(m[1]) == 64 {
					raw, err = hex.DecodeString(string(m[1]))
				}
				if err == nil && len(raw) == len(seal.Key{}) {
					candidates = append(candidates, seal.Key(raw))
				}
			}
		}
	}
	n := 0
	for _, p := range known[id].Parts {
		name := vault.NameOf(id, p.Index).String()
		raw, err := os.ReadFile(filepath.Join(backup, "gateway/state/vault", name[:2], name))
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(candidates, func(k seal.Key) bool {
			return seal.Open(io.Discard, bytes.NewReader(raw), k, seal.AD{Record: id, Part: p.Index, Class: p.Class}, seal.SealedOf(p.Part)) == nil
		}) {
			n++
		}
	}
	return n
}

// openStore opens a copy of a member's key store. The gateway may write meanwhile: a copy that is torn
// is taken again.
func openStore(t *testing.T, home string) *keys.Store {
	t.Helper()
	passphrase, err := os.ReadFile(filepath.Join(home, "gateway/passphrase"))
	if err != nil {
		t.Fatal(err)
	}
	passphrase, _, _ = bytes.Cut(passphrase, []byte("\n"))
	for try := 1; ; try++ {
		raw, err := os.ReadFile(filepath.Join(home, keyStore))
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), "keys.db")
		if err := os.WriteFile(copied, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := keys.Open(copied, bytes.TrimRight(passphrase, "\r"))
		if err == nil {
			return store
		}
		if try == 20 || !errors.Is(err, keys.ErrCorrupt) {
			t.Fatal(err)
		}
	}
}
