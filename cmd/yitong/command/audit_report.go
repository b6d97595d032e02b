package command

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/report"
	"yitong/gateway/seal"
)

// signatureFile lies beside an export, as FILE.sig.
type signatureFile struct {
	Statement []byte `json:"statement"` // canonical JSON, base64
	Signature []byte `json:"signature"` // Ed25519, base64
	KeyID     string `json:"keyId"`
	PublicKey []byte `json:"publicKey"` // base64
}

func (a *app) auditReport() *cobra.Command {
	var f filterFlags
	ask := &yitongv1.ExportRequest{}
	var out string
	cmd := &cobra.Command{
		Use: "report", Short: "Write the audit trail as FHIR AuditEvents, CSV or a report, signed", Args: cobra.NoArgs,
		Long: "Write the audit trail, filtered, as FHIR R4 AuditEvents after IHE BALP (a Bundle or NDJSON), as CSV or Parquet,\n" +
			"or as a report to read and print. FILE.sig beside it is the gateway's signature over a statement of what was\n" +
			"exported and of the block that it stands on; `yitong audit check` verifies it.",
		Example: "  yitong audit report --as regulator --format html --language zh --from 2026-11-01 --out report.html",
	}
	f.add(a, cmd)
	cmd.Flags().StringVar(&ask.Format, "format", "html", "fhir-bundle, fhir-ndjson, csv, parquet or html")
	cmd.Flags().StringVar(&ask.Language, "language", "en", "of the report: en or zh")
	cmd.Flags().StringVar(&out, "out", "", "file to write; its signature goes to FILE.sig (required)")
	_ = cmd.MarkFlagRequired("out")
	_ = cmd.MarkFlagFilename("out")
	a.mustComplete(cmd, "format", fixed(report.Formats...))
	a.mustComplete(cmd, "language", fixed("en", "zh"))
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, _ []string) (err error) {
		if ask.Filter, err = f.filter(a); err != nil {
			return err
		}
		stream, err := c.Audit.Export(ctx, ask)
		if err != nil {
			return err
		}
		file, err := renameio.NewPendingFile(out, renameio.WithPermissions(0o600))
		if err != nil {
			return &failure{exit: exitUsage, err: err, next: "name a file that can be written with --out"}
		}
		defer file.Cleanup()
		bar := a.screen.Progress("export", 0)
		defer bar.Close()
		for {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return errors.New("the gateway ended the export without a signature: what came is not complete")
			}
			if err != nil {
				return err
			}
			if signed := m.GetSignature(); signed != nil {
				bar.Close()
				return a.keepExport(file, out, signed)
			}
			if _, err := io.MultiWriter(file, bar).Write(m.GetContent()); err != nil {
				return err
			}
		}
	})
	return cmd
}

// keepExport puts an export and its signature where they were wanted.
func (a *app) keepExport(file *renameio.PendingFile, out string, signed *yitongv1.ExportSignature) error {
	doc, err := json.MarshalIndent(signatureFile{signed.GetStatement(), signed.GetSignature(), signed.GetKeyId(), signed.GetPublicKey()}, "", "  ")
	if err != nil {
		return err
	}
	if err := renameio.WriteFile(out+".sig", append(doc, '\n'), 0o600); err != nil {
		return err
	}
	if err := file.CloseAtomicallyReplace(); err != nil {
		return err
	}
	if a.screen.JSON {
		return a.screen.Document(signed)
	}
	_, err = fmt.Fprintf(a.Out, "%s written, signed by %s in %s.sig\n", out, screen.Short(signed.GetKeyId()), out)
	return err
}

func (a *app) auditCheck() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use: "check FILE", Short: "Check an export against its signature, offline", Args: cobra.ExactArgs(1),
		Long: "Check an export against FILE.sig beside it: that the key signed the statement and that the export is what\n" +
			"was signed. Whose key it is, the registry says: compare the key's id with `yitong member show`, or give\n" +
			"--key. Nobody is asked, the command works without a network.",
	}
	cmd.Flags().StringVar(&key, "key", "", "id of the member's signing key, as the registry shows it; another one is refused")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		export, err := os.ReadFile(args[0])
		if err != nil {
			return &failure{exit: exitUsage, err: err, next: "name an export that was written by `yitong audit report`"}
		}
		doc, err := os.ReadFile(args[0] + ".sig")
		if err != nil {
			return &failure{exit: exitUsage, err: err, next: "put the signature beside the export"}
		}
		var sig signatureFile
		if err := json.Unmarshal(doc, &sig); err != nil {
			return &failure{exit: exitUsage, err: fmt.Errorf("%s.sig is no signature: %w", args[0], err)}
		}
		public, err := seal.ParseVerifyingKey(sig.PublicKey)
		if err != nil {
			return &failure{exit: exitUsage, err: fmt.Errorf("%s.sig: %w", args[0], err)}
		}
		if key != "" && public.ID() != key {
			return &failure{exit: exitDenied, err: fmt.Errorf("the export is signed by key %s", public.ID()), next: "see whose key that is with `yitong member show`"}
		}
		s, err := report.Verify(export, sig.Statement, sig.Signature, public)
		if err != nil {
			return &failure{exit: exitDenied, err: err, next: "don't rely on it; ask the member for the export again"}
		}
		if a.screen.JSON {
			return a.screen.Object(map[string]any{"statement": s, "keyId": public.ID(), "publicKey": base64.StdEncoding.EncodeToString(public.Bytes())})
		}
		return a.screen.Table([]string{"WHAT", "IS"}, [][]string{
			{"export", "verified"}, {"format", s.Format}, {"made by", s.Member}, {"made", s.Made.String()}, {"stands on block", fmt.Sprint(int64(s.Height) - 1)},
			{"with hash", s.BlockHash}, {"of channel", s.Channel}, {"signing key", public.ID()},
		})
	}
	return cmd
}
