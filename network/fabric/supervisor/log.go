package supervisor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// openLog opens a log for appending and puts one that has grown beyond limit
// aside as NAME.1, in place of an older one.
func openLog(name string, limit int64) (*os.File, error) {
	info, err := os.Stat(name)
	switch {
	case err == nil && info.Size() > limit:
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, fmt.Errorf("rotating log: %w", err)
		}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("opening log: %w", err)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening log: %w", err)
	}
	return f, nil
}

// tail is the end of a log as an error shows it.
func tail(name string) string {
	const lines, size = 12, 4 << 10
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() > size {
		if _, err := f.Seek(-size, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(io.LimitReader(f, size))
	if err != nil || len(bytes.TrimSpace(b)) == 0 {
		return "\n  its log " + name + " is empty"
	}
	last := strings.Split(strings.TrimSpace(string(b)), "\n")
	last = last[max(0, len(last)-lines):]
	return "\n  the end of its log " + name + ":\n    " + strings.Join(last, "\n    ")
}
