package api

import (
	"context"
	"io"
	"strings"

	"filippo.io/age"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Backup writes a backup of this gateway to somebody's recipients; none are those of the key
// store's passphrase.
type Backup func(ctx context.Context, to io.Writer, recipients []age.Recipient, withoutVault, withAudit bool) error

type backups struct {
	yitongv1.UnimplementedBackupsServer
	write Backup // nil makes none
}

// maxRecipients of one backup.
const maxRecipients = 20

func (s backups) Create(in *yitongv1.CreateBackupRequest, out yitongv1.Backups_CreateServer) error {
	if s.write == nil {
		return status.Error(codes.Unimplemented, "this gateway makes no backups")
	}
	var recipients []age.Recipient
	if len(in.GetRecipients()) > maxRecipients {
		return refusal.New(refusal.TooLarge, "these are too many recipients", "at most 20")
	}
	for _, text := range in.GetRecipients() {
		r, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return refusal.New(refusal.Malformed, "a recipient of the backup can't be read", "age recipients, age1…")
		}
		recipients = append(recipients, r...)
	}
	return s.write(out.Context(), chunks{out}, recipients, in.GetWithoutVault(), in.GetWithAudit())
}

// chunks sends what is written to it as messages.
type chunks struct{ to yitongv1.Backups_CreateServer }

func (c chunks) Write(b []byte) (n int, err error) {
	for len(b) > 0 {
		piece := b[:min(len(b), chunkSize)]
		if err := c.to.Send(&yitongv1.CreateBackupResponse{Content: piece}); err != nil {
			return n, err
		}
		n, b = n+len(piece), b[len(piece):]
	}
	return n, nil
}
