package api

import (
	"context"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// Backup writes a backup of this gateway, for those of its recipients that were chosen; none
// chooses all.
type Backup func(ctx context.Context, to io.Writer, chosen []string, withoutVault, withAudit bool) error

type backups struct {
	yitongv1.UnimplementedBackupsServer
	write Backup // nil makes none
}

func (s backups) Create(in *yitongv1.CreateBackupRequest, out yitongv1.Backups_CreateServer) error {
	if s.write == nil {
		return status.Error(codes.Unimplemented, "this gateway makes no backups")
	}
	return s.write(out.Context(), chunks{out}, in.GetRecipients(), in.GetWithoutVault(), in.GetWithAudit())
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
