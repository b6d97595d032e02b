package command

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"yitong/cmd/yitong/screen"
	"yitong/gateway/audit/proof/page"
)

func (a *app) auditPage() *cobra.Command {
	var out, source string
	cmd := &cobra.Command{
		Use: "page", Short: "Make a web page that checks proofs, without any network",
		Long: "Make a web page that checks proofs as `yitong audit verify` does: one file, opened from the disk in\n" +
			"any current browser, in English and Chinese. It connects to nothing.\n" +
			"The check is compiled from Yitong's source with the Go that is installed. The same source and the\n" +
			"same release of Go give the same file everywhere: whoever is to believe the page makes it himself,\n" +
			"or compares its digest with somebody who did.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&out, "out", "verify.html", "file to write")
	cmd.Flags().StringVar(&source, "source", ".", "folder of Yitong's source, or one below it")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		root, err := page.Source(source)
		if err != nil {
			return &failure{exit: exitUsage, err: err, next: "name the folder of Yitong's source with --source"}
		}
		a.screen.Say("compiling the check for the browser…")
		checker, err := page.Compile(cmd.Context(), root)
		if errors.Is(err, exec.ErrNotFound) {
			return &failure{exit: exitFailure, err: errors.New("there is no Go on this machine"), next: "install Go, or take the page from somebody who made it"}
		}
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := page.Write(&b, checker); err != nil {
			return err
		}
		if err := renameio.WriteFile(out, b.Bytes(), 0o644); err != nil {
			return err
		}
		digest := fmt.Sprintf("%x", sha256.Sum256(b.Bytes()))
		if a.screen.JSON {
			return a.screen.Object(map[string]any{"file": out, "bytes": b.Len(), "sha256": digest, "go": checker.Go})
		}
		a.screen.Say("wrote %s (%s), SHA-256 %s", out, screen.Bytes(int64(b.Len())), digest)
		return nil
	}
	return cmd
}
