package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"yitong/chaincode/registry"
	"yitong/gateway/database"
	"yitong/gateway/events"
	"yitong/gateway/fhir"
	"yitong/gateway/keys"
	"yitong/gateway/share"
)

// Events is how the feed of events is kept and delivered.
type Events struct {
	// Database is where the feed and the webhooks are kept: sqlite:PATH or postgres://…; by
	// default the file events.db in the state folder. The feed is made anew of the blocks, the webhooks
	// aren't: back it up.
	Database string `yaml:"database,omitempty"`
	// Webhooks is what deliveries go by.
	Webhooks Webhooks `yaml:"webhooks,omitempty"`
}

// Webhooks bounds where deliveries go, and how long they are tried.
type Webhooks struct {
	// Allow lists addresses that webhooks may go to though they aren't public, as
	// 10.20.0.0/16 or 127.0.0.1. Public ones need no mention.
	Allow []string `yaml:"allow,omitempty"`
	// CA is a PEM file of authorities that receivers' certificates chain to; by default those
	// of the system.
	CA string `yaml:"ca,omitempty"`
	// Timeout is how long one try may take: 1s to 1m, by default 15s.
	Timeout string `yaml:"timeout,omitempty"`
	// DisableAfter is how long a receiver may fail before its webhook is disabled: 1h to
	// 720h, by default 120h.
	DisableAfter string `yaml:"disable_after,omitempty"`
}

// openEvents opens the feed of events.
func openEvents(ctx context.Context, config Config, store *keys.Store, log *slog.Logger) (*events.Feed, error) {
	webhooks, err := config.Events.Webhooks.rules()
	if err != nil {
		return nil, err
	}
	webhooks.Formats = map[string]events.Format{fhir.DeliveryFormat: fhir.Notify}
	return events.Open(ctx, events.Config{
		Database: config.Events.Database, Chaincode: config.Chaincode,
		Self:        registry.Candidate{MSP: config.Member.MSP, Name: config.Member.Name, Kind: config.Member.Kind, Gateway: config.Member.Gateway},
		KeyLifetime: share.KeyLifetime, Webhooks: webhooks, Secrets: store, Log: log,
	})
}

// resolve takes relative paths from the folder, and fills in what isn't said.
func (e *Events) resolve(folder, state string) {
	e.Database = database.Resolve(e.Database, folder, filepath.Join(state, "events.db"))
	if e.Webhooks.CA != "" && !filepath.IsAbs(e.Webhooks.CA) {
		e.Webhooks.CA = filepath.Join(folder, e.Webhooks.CA)
	}
}

// check returns every problem.
func (e Events) check() []error {
	_, err := e.Webhooks.rules()
	return unjoin(err)
}

// rules are the configuration's, read; its error joins every problem.
func (w Webhooks) rules() (out events.Webhooks, err error) {
	for i, text := range w.Allow {
		p, perr := netip.ParsePrefix(text)
		if perr != nil {
			var a netip.Addr
			if a, perr = netip.ParseAddr(text); perr == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if perr != nil {
			err = errors.Join(err, fmt.Errorf("events.webhooks.allow[%d] is %q; it must be an address or a range, as 10.20.0.0/16", i, text))
			continue
		}
		out.Allow = append(out.Allow, p.Masked())
	}
	if w.CA != "" {
		pem, rerr := os.ReadFile(w.CA)
		roots := x509.NewCertPool()
		switch {
		case rerr != nil:
			err = errors.Join(err, fmt.Errorf("events.webhooks.ca: %w", rerr))
		case !roots.AppendCertsFromPEM(pem):
			err = errors.Join(err, fmt.Errorf("events.webhooks.ca: no certificate in %s", w.CA))
		default:
			out.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
		}
	}
	for _, d := range []struct {
		name, text string
		into       *time.Duration
		from, to   time.Duration
	}{
		{"timeout", w.Timeout, &out.Timeout, time.Second, time.Minute},
		{"disable_after", w.DisableAfter, &out.DisableAfter, time.Hour, 720 * time.Hour},
	} {
		if d.text == "" {
			continue
		}
		var derr error
		if *d.into, derr = time.ParseDuration(d.text); derr != nil || *d.into < d.from || *d.into > d.to {
			err = errors.Join(err, fmt.Errorf("events.webhooks.%s is %q; it must be a time from %s to %s", d.name, d.text, d.from, d.to))
		}
	}
	return out, err
}

// unjoin takes joined errors apart.
func unjoin(err error) []error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, one := range many.Unwrap() {
			all = append(all, unjoin(one)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
