package folder_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/cmd/yitong/folder"
)

const large = 64 << 20

// What of a part has come is left in the clear only where the connection broke, and the next call
// goes on with it; after Ctrl-C and any other error nothing is.
func TestWhatIsLeftOfAPartThatBrokeOff(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), large/16+4)
	sum := sha256.Sum256(content)
	for what, tc := range map[string]struct {
		came int
		err  error
		left bool
	}{
		"the connection broke":                    {large, status.Error(codes.Unavailable, "gone"), true},
		"the connection broke at a small part":    {large - 1, status.Error(codes.Unavailable, "gone"), false},
		"Ctrl-C":                                  {large, status.FromContextError(context.Canceled).Err(), false},
		"the consent was withdrawn in the middle": {large, status.Error(codes.FailedPrecondition, "consent-changed"), false},
		"the disk is full":                        {large, errors.New("no space left on device"), false},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			f, err := folder.New(dir)
			if err != nil {
				t.Fatal(err)
			}
			err = f.Resume(part, func(_ int64, dst io.Writer) ([]byte, error) {
				if _, err := dst.Write(content[:tc.came]); err != nil {
					return nil, err
				}
				return nil, tc.err
			})
			if !errors.Is(err, tc.err) {
				t.Errorf("%v", err)
			}
			f.Discard()
			if got := entries(t, dir); (len(got) == 1) != tc.left || tc.left && f.Begun() != filepath.Join(dir, got[0]) {
				t.Fatalf("%q is left; the folder says %q", got, f.Begun())
			}
			next, err := folder.New(dir)
			if err != nil {
				t.Fatal(err)
			}
			from := int64(-1)
			if err := next.Resume(part, func(offset int64, dst io.Writer) ([]byte, error) {
				from = offset
				_, err := dst.Write(content[offset:])
				return sum[:], err
			}); err != nil {
				t.Fatal(err)
			}
			if err := next.Keep(); err != nil || (from > 0) != tc.left {
				t.Errorf("it went on from byte %d, %v", from, err)
			}
			if got := entries(t, dir); len(got) != 1 || got[0] != name {
				t.Errorf("in the end there is %q", got)
			}
		})
	}
}

// What a call that was killed has left goes with the next, whatever that opens; not what a call
// that still runs is writing.
func TestWhatAKilledCallHasLeftGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*") // no pattern, but a name
	running := receive(t, dir, "content of a call that runs", part)
	if err := os.WriteFile(filepath.Join(dir, ".opening-123"), []byte("of one that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, ".opening-link")); err != nil {
		t.Fatal(err)
	}
	next, err := folder.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	next.Discard()
	if _, err := os.Stat(filepath.Join(dir, ".opening-123")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was left is there: %v", err)
	}
	if err := running.Keep(); err != nil {
		t.Errorf("the call that runs lost its file: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != "content of a call that runs" {
		t.Errorf("%q, %v", got, err)
	}
}
