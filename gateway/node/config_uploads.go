package node

import (
	"time"

	"yitong/gateway/share"
)

// Uploads bounds what is uploaded piece by piece before it is submitted.
type Uploads struct {
	// Keep is how long an upload is kept that nobody adds to: 1m to 720h, by default 24h.
	Keep string `yaml:"keep,omitempty"`
	// MaxGiB is how large one may be, in GiB: by default 64, at most 1024. On S3 a part may
	// have 80 GB.
	MaxGiB int64 `yaml:"max_gib,omitempty"`
	// MaxStagedGiB is how much may be announced in all of them together: by default 256.
	MaxStagedGiB int64 `yaml:"max_staged_gib,omitempty"`
}

func (u Uploads) check(problem func(format string, args ...any)) {
	if keep, err := u.keep(); err != nil || u.Keep != "" && (keep < time.Minute || keep > 720*time.Hour) {
		problem("uploads.keep is %q; it must be a time from 1m to 720h, as 24h", u.Keep)
	}
	if u.MaxGiB < 0 || u.MaxGiB > 1024 {
		problem("uploads.max_gib is %d; it must be 1 to 1024", u.MaxGiB)
	}
	if u.MaxStagedGiB < 0 {
		problem("uploads.max_staged_gib is %d; it must be 1 or more", u.MaxStagedGiB)
	}
}

func (u Uploads) keep() (time.Duration, error) {
	if u.Keep == "" {
		return 0, nil
	}
	return time.ParseDuration(u.Keep)
}

func (u Uploads) policy() share.UploadPolicy {
	keep, _ := u.keep() // checked
	return share.UploadPolicy{Keep: keep, MaxSize: u.MaxGiB << 30, MaxStaged: u.MaxStagedGiB << 30}
}
