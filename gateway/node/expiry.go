package node

import (
	"context"
	"log/slog"
	"time"

	"yitong/gateway/api"
	"yitong/gateway/credential"
	"yitong/gateway/share"
)

// warnWithin is how long before a key is to be replaced the log begins to say so.
const warnWithin = 30 * 24 * time.Hour

// warnEvery is how often it does.
const warnEvery = 12 * time.Hour

// shown are the certificates of a gateway, by their use.
func (c Config) shown() []api.Shown {
	all := []api.Shown{{Use: "tls", Files: credential.Files(c.TLS)}, {Use: "enrolment", Files: credential.Files(c.Identity)}}
	if c.Clinicians != nil {
		all = append(all, api.Shown{Use: "identity:clinicians", Files: credential.Files(*c.Clinicians)})
	}
	return all
}

// keepWarning tells of keys that are to be replaced soon, until ctx ends.
func keepWarning(ctx context.Context, gateway *share.Gateway, shown []api.Shown, log *slog.Logger) {
	ticker := time.NewTicker(warnEvery)
	defer ticker.Stop()
	for {
		warn(ctx, gateway, shown, time.Now(), log)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func warn(ctx context.Context, gateway *share.Gateway, shown []api.Shown, now time.Time, log *slog.Logger) {
	soon := func(use, id string, due time.Time) {
		left := due.Sub(now)
		if left > warnWithin {
			return
		}
		log.Warn("a key is to be replaced: `yitong member rotate --key "+use+"`", "use", use, "id", id, "due", due, "days", int(left.Hours()/24))
	}
	for _, s := range shown {
		cert, err := s.Files.Leaf()
		if err != nil {
			log.Error("a certificate can't be read", "use", s.Use, "error", err)
			continue
		}
		soon(s.Use, cert.SerialNumber.Text(16), cert.NotAfter)
	}
	own, err := gateway.OwnKeys(ctx)
	if err != nil {
		if ctx.Err() == nil {
			log.Warn("the registered keys can't be looked at", "error", err)
		}
		return
	}
	for _, k := range own {
		if due := k.Due(); due != 0 && k.State == share.KeyPresent {
			soon(k.Use, k.ID, time.Unix(int64(due), 0).UTC())
		}
	}
}
