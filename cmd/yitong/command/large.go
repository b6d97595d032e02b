package command

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"yitong/chaincode/access"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/folder"
	"yitong/gateway/api"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/share"
)

// large is from how many bytes on a file is uploaded piece by piece, so that Ctrl-C and the
// same command again go on where it was.
const large = 64 << 20

// upload submits a large file. Which upload is whose is noted, by digests alone, in the user's
// cache until it is done.
func (a *app) upload(ctx context.Context, c *client.Client, header *yitongv1.SubmitHeader, chosen bool, from source) (*yitongv1.SubmitResponse, error) {
	note := ""
	if !chosen {
		note = a.uploadNote(header, from)
		if raw, err := os.ReadFile(note); err == nil && access.CheckID(strings.TrimSpace(string(raw))) == nil {
			header.Id = strings.TrimSpace(string(raw))
		} else if err := os.WriteFile(note, []byte(header.Id), 0o600); err != nil {
			note = ""
		}
		a.id = header.Id
	}
	bar, sealing := a.screen.Progress("uploading", from.size), a.screen.Progress("sealing", from.size)
	defer bar.Close()
	defer sealing.Close()
	answer, err := c.Upload(ctx, header, from.file, from.size, bar.At, func(done int64) {
		bar.Close()
		sealing.At(done)
	})
	if _, refused := api.RefusalOf(err); note != "" && (err == nil || refused) {
		os.Remove(note)
	}
	return answer, err
}

// uploadNote names the file that an upload's id is noted in.
func (a *app) uploadNote(header *yitongv1.SubmitHeader, from source) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	dir = filepath.Join(dir, "yitong", "uploads")
	if os.MkdirAll(dir, 0o700) != nil {
		return ""
	}
	anonymous := proto.Clone(header).(*yitongv1.SubmitHeader)
	anonymous.Id = ""
	said, _ := proto.MarshalOptions{Deterministic: true}.Marshal(anonymous)
	h := sha256.New()
	io.WriteString(h, a.as+"\x00"+a.user+"\x00"+from.print+"\x00")
	h.Write(said)
	return filepath.Join(dir, hex.EncodeToString(h.Sum(nil)))
}

// openKept has a permit's parts kept by the gateway and then reads them into the folder, going
// on with what an interrupted call left there. ok is false where the gateway keeps nothing, or
// doesn't let this caller read it.
func (a *app) openKept(ctx context.Context, c *client.Client, id, custodian string, dir *folder.Folder) (summary *yitongv1.OpenSummary, ok bool, err error) {
	bar := a.screen.Progress("opening", 0)
	parts, summary, err := c.OpenKept(ctx, id, custodian, bar.Of)
	bar.Close()
	if refused, is := api.RefusalOf(err); is && refused.Code == share.CopiesOff || status.Code(err) == codes.Unimplemented {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, err
	}
	for _, p := range parts {
		bar := a.screen.Progress("reading", 0)
		err := dir.Resume(p, func(offset int64, dst io.Writer) ([]byte, error) {
			bar.At(offset)
			return c.Content(ctx, custodian, id, p, offset, io.MultiWriter(dst, bar))
		})
		bar.Close()
		if _, is := api.RefusalOf(err); status.Code(err) == codes.PermissionDenied && !is {
			return nil, false, nil // by the member's policy; what Open sends it may have
		}
		if err != nil {
			return nil, true, err
		}
	}
	return summary, true, nil
}
