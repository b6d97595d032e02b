// Package operations_test runs a real consortium as its operators do: it backs gateways up
// and loses them, asks how they are while things fail, changes their configuration, and
// follows a call to its transaction.
package operations_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"yitong/chaincode/refusal"
	"yitong/cmd/yitong/client"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/backup"
	"yitong/gateway/node"
	"yitong/test/consortium"
	"yitong/test/patient"
)

func TestMain(m *testing.M) { consortium.Main(m) }

// configOf is a member's gateway's configuration.
func configOf(t *testing.T, c *consortium.Consortium, member string) (path string, config node.Config) {
	t.Helper()
	path = filepath.Join(c.Member(t, member).Dir(), "gateway", "node.yaml")
	config, err := node.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, config
}

// backUp takes a backup of a gateway that runs.
func backUp(t *testing.T, c *consortium.Consortium, member string, in *yitongv1.CreateBackupRequest) []byte {
	t.Helper()
	all, err := tryToBackUp(t, c, member, in)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func tryToBackUp(t *testing.T, c *consortium.Consortium, member string, in *yitongv1.CreateBackupRequest) ([]byte, error) {
	t.Helper()
	stream, err := c.Client(t, member).Backups.Create(t.Context(), in)
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all.Bytes(), nil
		}
		if err != nil {
			return all.Bytes(), err
		}
		all.Write(m.GetContent())
	}
}

// readBy says whether a backup opens for somebody.
func readBy(t *testing.T, doc []byte, id age.Identity) bool {
	t.Helper()
	_, err := backup.Read(bytes.NewReader(doc), "", id)
	if err != nil && !errors.Is(err, backup.ErrKey) {
		t.Fatal(err)
	}
	return err == nil
}

// recovery bounds how long a call may need to complete after a fault.
const recovery = 2 * time.Minute

// F20: a gateway is backed up while it runs, is killed, loses everything, and comes back: its
// records open again, what was erased since stays erased, and what isn't in the backup is told.
func TestAGatewayComesBackFromItsBackup(t *testing.T) {
	c := consortium.Start(t)
	kept, erased, late := patient.Synthetic(t, 900), patient.Synthetic(t, 901), patient.Synthetic(t, 902)
	c.Submit(t, kept)
	gone := c.Submit(t, erased).GetRecord().GetId()
	for _, p := range []patient.Patient{kept, erased} {
		c.Grant(t, p, consortium.ForPayment("laboratory"))
	}
	me, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	readers(t, c, me)
	whole := backUp(t, c, consortium.HospitalA, &yitongv1.CreateBackupRequest{WithAudit: true})
	t.Logf("the backup has %d bytes", len(whole))
	// After the backup: one record is erased, another comes.
	if _, err := c.Client(t, consortium.HospitalA).Erasures.Erase(t.Context(), &yitongv1.EraseRequest{Id: gone, Reason: "patient-request"}); err != nil {
		t.Fatal(err)
	}
	lost := c.Submit(t, late).GetRecord().GetId()

	_, config := configOf(t, c, consortium.HospitalA)
	quiet, say := slog.New(slog.DiscardHandler), func(string, ...any) {}
	if _, err := node.Restore(t.Context(), config, bytes.NewReader(whole), []age.Identity{me}, say, quiet); !errors.Is(err, node.ErrNotEmpty) {
		t.Errorf("over a gateway that runs it is restored: %v", err)
	}
	// The vault of an older day, to go with a key store of this one: kept for the second part.
	old := filepath.Join(t.TempDir(), "old")
	if _, err := backup.Read(bytes.NewReader(whole), old, me); err != nil {
		t.Fatal(err)
	}

	supervisor := c.Network().Supervisor()
	if err := supervisor.Hold("gateway-" + consortium.HospitalA); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(config.State); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	r, err := node.Restore(t.Context(), config, bytes.NewReader(whole), []age.Identity{me}, say, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("restored after %s; %s old; warnings: %q", r.Took, r.Age, r.Warnings)
	h := r.Holdings
	if h.Records != 2 || len(h.Missing) != 0 || !slices.Equal(h.Erased, []string{gone}) || !slices.Equal(h.Lost, []string{lost}) || r.Again != 1 || r.Height <= r.Header.Height || len(r.Warnings) != 3 {
		t.Errorf("it is told %+v, %q", r, r.Warnings)
	}
	if err := supervisor.Release("gateway-" + consortium.HospitalA); err != nil {
		t.Fatal(err)
	}
	for _, p := range []patient.Patient{kept, erased} {
		var answer *yitongv1.AccessResponse
		consortium.Again(t, "a request", recovery, func(ctx context.Context) (err error) {
			answer, err = c.Client(t, consortium.Insurer).Accesses.Request(ctx, consortium.Demand(p, "laboratory"))
			return err
		})
		var parts []consortium.Part
		open := func(ctx context.Context) (err error) {
			parts, _, err = c.Open(ctx, t, answer.GetAccess().GetId())
			return err
		}
		if p.Name == kept.Name {
			consortium.Again(t, "opening", recovery, open)
			if len(parts) == 0 {
				t.Error("of the record that was kept nothing was opened")
			}
			t.Logf("its record opened %s after the loss", time.Since(begun).Round(time.Millisecond))
			continue
		}
		if err := open(t.Context()); err == nil && len(parts) > 0 {
			t.Errorf("of the record that was erased %d parts were opened", len(parts))
		}
	}
	t.Run("control: the backup has the key of what was erased", func(t *testing.T) {
		if !slices.Contains(h.Erased, gone) {
			t.Error("it doesn't: nothing was kept from opening")
		}
	})

	t.Run("a vault that is older than the key store is told of", func(t *testing.T) {
		now := backUp(t, c, consortium.HospitalA, &yitongv1.CreateBackupRequest{WithoutVault: true})
		other := elsewhere(t, config)
		if err := os.MkdirAll(other.Vault, 0o700); err != nil { // an empty one: older than all
			t.Fatal(err)
		}
		r, err := node.Restore(t.Context(), other, bytes.NewReader(now), []age.Identity{me}, say, quiet)
		if err != nil || len(r.Holdings.Missing) != 1 || len(r.Warnings) == 0 {
			t.Errorf("%v %+v", err, r)
		}
	})
	t.Run("a vault that is newer than the key store is told of", func(t *testing.T) {
		other := elsewhere(t, config)
		if err := os.MkdirAll(filepath.Join(other.Vault, "ab"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(other.Vault, os.DirFS(filepath.Join(old, "vault"))); err != nil {
			t.Fatal(err)
		}
		strange := filepath.Join(other.Vault, "ab", "ab"+string(bytes.Repeat([]byte("0"), 62)))
		if err := os.WriteFile(strange, []byte("of a later day"), 0o600); err != nil {
			t.Fatal(err)
		}
		now := backUp(t, c, consortium.HospitalA, &yitongv1.CreateBackupRequest{WithoutVault: true})
		r, err := node.Restore(t.Context(), other, bytes.NewReader(now), []age.Identity{me}, say, quiet)
		if err != nil || r.Holdings.Strange == 0 {
			t.Errorf("%v %+v", err, r)
		}
	})
	t.Run("a backup that is damaged, cut off, for another or of another is refused, and nothing is put anywhere", func(t *testing.T) {
		flipped := bytes.Clone(whole)
		flipped[len(flipped)/2] ^= 1
		stranger, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		another := elsewhere(t, config)
		another.Member.MSP = "HospitalB"
		for name, try := range map[string]struct {
			doc    []byte
			config node.Config
			id     age.Identity
			want   error
		}{
			"damaged": {flipped, elsewhere(t, config), me, backup.ErrDamaged}, "cut off": {whole[:len(whole)-100], elsewhere(t, config), me, backup.ErrDamaged},
			"for another": {whole, elsewhere(t, config), stranger, backup.ErrKey}, "of another": {whole, another, me, nil},
		} {
			_, err := node.Restore(t.Context(), try.config, bytes.NewReader(try.doc), []age.Identity{try.id}, say, quiet)
			if err == nil || try.want != nil && !errors.Is(err, try.want) {
				t.Errorf("%s: %v", name, err)
			}
			if left, err := filepath.Glob(filepath.Join(filepath.Dir(try.config.State), "*")); err != nil || len(left) != 0 {
				t.Errorf("%s: left are %v", name, left)
			}
		}
	})
}

// readers has hospital A's backups be for somebody. Who takes one doesn't say who reads it: that
// is its configuration's.
func readers(t *testing.T, c *consortium.Consortium, me *age.X25519Identity) {
	t.Helper()
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	_, config := configOf(t, c, consortium.HospitalA)
	text, err := os.ReadFile(config.Passphrase)
	if err != nil {
		t.Fatal(err)
	}
	passphrase, err := age.NewScryptIdentity(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	named := func(all ...*age.X25519Identity) *yitongv1.CreateBackupRequest {
		in := &yitongv1.CreateBackupRequest{WithoutVault: true}
		for _, one := range all {
			in.Recipients = append(in.Recipients, one.Recipient().String())
		}
		return in
	}
	refused := func(in *yitongv1.CreateBackupRequest) {
		t.Helper()
		doc, err := tryToBackUp(t, c, consortium.HospitalA, in)
		if r, ok := client.Refusal(err); !ok || r.Code != refusal.NotPermitted || len(doc) != 0 {
			t.Errorf("a backup for who isn't configured: %d bytes, %v", len(doc), err)
		}
	}
	if doc := backUp(t, c, consortium.HospitalA, named()); !readBy(t, doc, passphrase) || readBy(t, doc, me) {
		t.Error("a backup of a gateway with no recipients is for its passphrase")
	}
	refused(named(me))

	configure(t, c, consortium.HospitalA, func(config *node.Config) {
		config.Backup.Recipients = []string{stranger.Recipient().String(), me.Recipient().String()}
	})
	const gateway = "gateway-" + consortium.HospitalA
	s := c.Network().Supervisor()
	if err := errors.Join(s.Hold(gateway), s.Release(gateway), s.Await(t.Context(), gateway)); err != nil {
		t.Fatal(err)
	}
	if doc := backUp(t, c, consortium.HospitalA, named()); !readBy(t, doc, stranger) || !readBy(t, doc, me) || readBy(t, doc, passphrase) {
		t.Error("a backup isn't for all who are configured, and nobody else")
	}
	if doc := backUp(t, c, consortium.HospitalA, named(me)); readBy(t, doc, stranger) || !readBy(t, doc, me) {
		t.Error("a backup isn't for who was chosen alone")
	}
	another, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	refused(named(another))
	refused(named(me, another))
}

// elsewhere is a configuration whose places are empty ones.
func elsewhere(t *testing.T, c node.Config) node.Config {
	t.Helper()
	dir := t.TempDir()
	c.State, c.Vault = filepath.Join(dir, "state"), filepath.Join(dir, "state", "vault")
	c.Outbox.URL, c.Events.Database, c.Audit = "sqlite:"+filepath.Join(c.State, "outbox.db"), "sqlite:"+filepath.Join(c.State, "events.db"), "sqlite:"+filepath.Join(c.State, "audit.db")
	return c
}
