package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/backup"
	"yitong/gateway/keys"
	"yitong/gateway/node"
)

func (a *app) backup() *cobra.Command {
	return noun("backup", "Back up a gateway that runs, and bring it back", a.backupCreate(), a.backupVerify(), a.backupRestore())
}

func (a *app) backupCreate() *cobra.Command {
	in := &yitongv1.CreateBackupRequest{}
	cmd := &cobra.Command{
		Use: "create FILE", Short: "Write a backup of a gateway, while it runs, into one encrypted file",
		Long: `Write a backup of a gateway, while it runs, into one encrypted file: key store, outbox, webhooks and
sealed parts. It can be read by the recipients that the gateway's configuration lists
(backup.recipients; age-keygen makes them), --to chooses among those; where it lists none, with the key
store's passphrase. To use what is in it takes the passphrase in any case.

Whoever has a backup and the passphrase can open what was erased since: let backups expire.`,
		Example: "  yitong backup create hospital-a.backup --as hospital-a",
		Args:    cobra.ExactArgs(1),
		RunE: a.streaming(func(ctx context.Context, c *client.Client, args []string) error {
			stream, err := c.Backups.Create(ctx, in)
			if err != nil {
				return err
			}
			return a.receiveBackup(args[0], stream)
		}),
	}
	cmd.Flags().StringArrayVar(&in.Recipients, "to", nil, "one of the configured age recipients that can read it; may be repeated (default: all of them, or else the key store's passphrase)")
	cmd.Flags().BoolVar(&in.WithoutVault, "without-vault", false, "leave the sealed parts out, for a vault that is backed up by itself after this")
	cmd.Flags().BoolVar(&in.WithAudit, "with-audit", false, "take the audit's database along, which can as well be made anew")
	return cmd
}

// receiveBackup writes what comes, and gives it its name once it is whole.
func (a *app) receiveBackup(path string, stream yitongv1.Backups_CreateClient) (err error) {
	if _, err := os.Lstat(path); err == nil {
		return &failure{exit: exitUsage, err: fmt.Errorf("%s is there already", path), next: "name another file"}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	progress := a.screen.Progress("backup", 0)
	var size int64
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			progress.Close()
			return errors.Join(err, f.Close())
		}
		n, err := f.Write(m.GetContent())
		if err != nil {
			progress.Close()
			return errors.Join(err, f.Close())
		}
		_, _ = progress.Write(m.GetContent()[:n])
		size += int64(n)
	}
	progress.Close()
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if a.screen.JSON {
		return a.screen.Object(map[string]any{"file": path, "bytes": size})
	}
	a.screen.Say("%s, %s; look whether it can be restored: yitong backup verify", path, screen.Bytes(size))
	return nil
}

// opening is how a backup is read.
type opening struct{ identity, config string }

func (o *opening) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.identity, "identity", "", "file with the age identity of a recipient (default: the key store's passphrase)")
	cmd.Flags().StringVar(&o.config, "config", "", "configuration of the gateway (default: of the member named by --as)")
}

// identities are those to read with, and the gateway's configuration.
func (a *app) openWith(o opening) ([]age.Identity, node.Config, error) {
	var named []string
	if o.config != "" {
		named = []string{o.config}
	}
	path, err := a.configFile(named)
	if err != nil {
		return nil, node.Config{}, err
	}
	config, err := node.ReadConfig(path)
	if err != nil {
		return nil, config, badConfig(err)
	}
	if o.identity != "" {
		f, err := os.Open(o.identity)
		if err != nil {
			return nil, config, err
		}
		defer f.Close()
		ids, err := age.ParseIdentities(f)
		return ids, config, err
	}
	passphrase, err := keys.PassphraseFile(config.Passphrase)
	if err != nil {
		return nil, config, err
	}
	defer clear(passphrase)
	id, err := age.NewScryptIdentity(string(passphrase))
	return []age.Identity{id}, config, err
}

func (a *app) backupVerify() *cobra.Command {
	var o opening
	cmd := &cobra.Command{
		Use: "verify FILE", Short: "Read a backup whole and check every digest in it",
		Example: "  yitong backup verify hospital-a.backup --config /etc/yitong/node.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			identities, _, err := a.openWith(o)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			content, err := backup.Read(f, "", identities...)
			if err != nil {
				return backupFailure(err)
			}
			h := content.Header
			age := time.Since(h.At).Round(time.Second)
			if a.screen.JSON {
				return a.screen.Object(map[string]any{"backup": h, "files": len(content.Digests.Files), "parts": len(content.Digests.Vault), "age_seconds": int(age.Seconds())})
			}
			return a.screen.Table([]string{"backup of", "channel", "blocks", "made", "age", "files", "sealed parts"}, [][]string{{
				h.Member, h.Channel, fmt.Sprint(h.Height), h.At.Format(time.RFC3339), age.String(), fmt.Sprint(len(content.Digests.Files)), fmt.Sprint(len(content.Digests.Vault)),
			}})
		},
	}
	o.flags(cmd)
	return cmd
}

func backupFailure(err error) error {
	switch {
	case errors.Is(err, backup.ErrKey):
		return &failure{exit: exitFailure, err: err, next: "name the file with a recipient's age identity by --identity, or the configuration whose passphrase file is of when the backup was made"}
	case errors.Is(err, backup.ErrDamaged):
		return &failure{exit: exitFailure, err: err, next: "take another backup; of this one nothing was used"}
	case errors.Is(err, node.ErrNotEmpty):
		return &failure{exit: exitFailure, err: err, next: "a backup is restored into empty places, with the gateway stopped"}
	}
	return err
}

func (a *app) backupRestore() *cobra.Command {
	var o opening
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Bring a backup back, held against the ledger",
		Long: `Bring a backup back into the places that the gateway's configuration names, which must be empty,
with the gateway stopped and the member's own peer running. Before anything is put there it is held
against the ledger: what was erased since is erased again, and what doesn't fit is told. Told are
also how old what came back is (recovery point) and how long it took (recovery time).`,
		Example: "  yitong backup restore hospital-a.backup --config /etc/yitong/node.yaml",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			identities, config, err := a.openWith(o)
			if err != nil {
				return err
			}
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			r, err := node.Restore(cmd.Context(), config, f, identities, func(format string, args ...any) { a.screen.Say("  "+format, args...) }, slog.New(slog.DiscardHandler))
			if err != nil {
				return backupFailure(err)
			}
			return a.showRestored(r)
		},
	}
	o.flags(cmd)
	return cmd
}

func (a *app) showRestored(r node.Restored) error {
	if a.screen.JSON {
		return a.screen.Object(r)
	}
	h := r.Holdings
	if err := a.screen.Table([]string{"restored", "of block", "now at", "records", "parts", "recovery point", "recovery time"}, [][]string{{
		r.Header.Member, fmt.Sprint(r.Header.Height), fmt.Sprint(r.Height), fmt.Sprint(h.Records), fmt.Sprint(h.Parts), r.Age.String() + " ago", r.Took.String(),
	}}); err != nil {
		return err
	}
	for _, w := range r.Warnings {
		a.screen.Say("! %s", w)
	}
	for name, ids := range map[string][]string{"can't be released": h.Missing, "not in the backup": h.Lost, "erased again": h.Erased} {
		for _, id := range ids {
			a.screen.Say("  %s: %s", name, id)
		}
	}
	a.screen.Say("start the gateway: it finishes what was half done and serves")
	return nil
}
