package events

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Webhooks is how events are delivered to URLs.
type Webhooks struct {
	Allow   []netip.Prefix // addresses that aren't public and that webhooks may go to
	TLS     *tls.Config    // what receivers are trusted by; nil is as the system does
	Formats map[string]Format

	Timeout      time.Duration // of one try; default 15 s
	FirstRetry   time.Duration // after a failure, doubled by each that follows; default 2 s
	MaxRetry     time.Duration // what it grows to; default 1 h
	DisableAfter time.Duration // of failing all the time; default 5 days
}

// Format writes a delivery; with no event it is one that stands for none (Ping). It is
// called again for each try and has to write the same each time.
type Format func(Subscription, *Event) (contentType string, body []byte, err error)

func (w Webhooks) complete() Webhooks {
	for _, d := range []struct {
		of  *time.Duration
		def time.Duration
	}{{&w.Timeout, 15 * time.Second}, {&w.FirstRetry, 2 * time.Second}, {&w.MaxRetry, time.Hour}, {&w.DisableAfter, 5 * 24 * time.Hour}} {
		if *d.of <= 0 {
			*d.of = d.def
		}
	}
	return w
}

// delivered is a delivery's JSON, as Standard Webhooks recommends it.
type delivered struct {
	Type      Type      `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      any       `json:"data"`
}

// pinged is the type of what Ping delivers.
const pinged Type = "ping"

// writeJSON is the form that deliveries have by default. at is the time of what stands for no
// event.
func writeJSON(at time.Time) Format {
	return func(_ Subscription, e *Event) (string, []byte, error) {
		d := delivered{pinged, at, struct{}{}}
		if e != nil {
			d = delivered{e.Type, e.Time, e}
		}
		body, err := json.Marshal(d)
		return "application/json", body, err
	}
}

// posting is what delivers: one worker a subscription, so that a slow receiver holds up
// nobody else.
type posting struct {
	client *http.Client

	changing sync.Mutex // held while a subscription is changed
	mu       sync.Mutex // guards what follows
	ctx      context.Context
	workers  map[string]*worker
}

type worker struct {
	stop context.CancelFunc
	done chan struct{}
}

func (p *posting) init(w Webhooks) { p.client, p.workers = w.client(), map[string]*worker{} }

// post delivers until ctx ends; the returned function waits for what is under way.
func (f *Feed) post(ctx context.Context) (wait func()) {
	p := &f.posting
	p.changing.Lock()
	defer p.changing.Unlock()
	p.mu.Lock()
	p.ctx = ctx
	p.mu.Unlock()
	all, err := f.Subscriptions(ctx)
	if err != nil && ctx.Err() == nil {
		f.Log.Error("the webhooks can't be read, and nothing is delivered to them", "error", err)
	}
	for _, s := range all {
		p.start(f, s.ID)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, w := range p.workers {
			<-w.done
		}
		clear(p.workers)
		p.client.CloseIdleConnections()
	}
}

// start has a worker deliver to a subscription, if there is one and it isn't disabled.
func (p *posting) start(f *Feed, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx == nil || p.ctx.Err() != nil || p.workers[id] != nil {
		return
	}
	ctx, stop := context.WithCancel(p.ctx)
	w := &worker{stop, make(chan struct{})}
	p.workers[id] = w
	go func() {
		defer close(w.done)
		f.work(ctx, id)
	}()
}

// stop ends a subscription's worker and waits for it.
func (p *posting) stop(id string) {
	p.mu.Lock()
	w := p.workers[id]
	delete(p.workers, id)
	p.mu.Unlock()
	if w != nil {
		w.stop()
		<-w.done
	}
}

// work delivers to one subscription until ctx ends or it is disabled.
func (f *Feed) work(ctx context.Context, id string) {
	for ctx.Err() == nil {
		s, err := f.Subscription(ctx, id)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && s.Disabled != "":
			return
		case err == nil:
			err = f.serve(ctx, s)
		}
		var gone *ended
		if errors.As(err, &gone) || missingSubscription(err) {
			return
		}
		if err != nil && ctx.Err() == nil {
			f.Log.Warn("a webhook's deliveries can't be kept, trying again", "subscription", id, "error", err)
			wait(ctx, time.Second)
		}
	}
}

// ended says that a subscription goes on no more.
type ended struct{ why string }

func (e *ended) Error() string { return e.why }

func missingSubscription(err error) bool { return err != nil && errors.Is(err, missing(sql.ErrNoRows)) }

// serve delivers what there is, and waits for more. It returns an error of the database, and
// *ended.
func (f *Feed) serve(ctx context.Context, s Subscription) error {
	cursor := s.Delivered // s.Delivered is what is kept
	for ctx.Err() == nil {
		if !s.Ends.IsZero() && !f.Now().Before(s.Ends) {
			return f.disable(ctx, &s, "its time is over")
		}
		if pause := s.NextTry.Sub(f.Now()); !s.NextTry.IsZero() && pause > 0 {
			wait(ctx, pause)
			continue
		}
		more := f.more() // before looking, so that nothing is missed in between
		var p Page
		if err := f.read(ctx, &p, cursor, s.Types, 100); err != nil {
			return err
		}
		for _, e := range p.Events {
			d := f.try(ctx, s, &e)
			if ctx.Err() != nil {
				return nil // whether it arrived isn't known: it is delivered again, under the same id
			}
			if err := f.note(ctx, &s, d); err != nil {
				return err
			}
			if d.Problem != "" {
				break
			}
			cursor = e.Position
		}
		if s.Problem != "" {
			continue
		}
		if cursor = p.Next; cursor.Block-s.Delivered.Block >= passed {
			if err := f.pass(ctx, &s, cursor); err != nil {
				return err
			}
		}
		if !p.More {
			f.idle(ctx, more, s.Ends)
		}
	}
	return nil
}

// passed is after how many blocks without an event to deliver the position is kept.
const passed = 1000

// idle waits for more events, or the subscription's end.
func (f *Feed) idle(ctx context.Context, more <-chan struct{}, ends time.Time) {
	if !ends.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ends.Sub(f.Now()))
		defer cancel()
	}
	select {
	case <-more:
	case <-ctx.Done():
	}
}

// try delivers one event once.
func (f *Feed) try(ctx context.Context, s Subscription, e *Event) Delivery {
	d := Delivery{Event: e.ID, Position: e.Position, Type: e.Type, Attempt: s.Attempt}
	f.send(ctx, s, e, &d)
	return d
}

// Ping delivers what stands for no event, once. Refusal: not-found.
func (f *Feed) Ping(ctx context.Context, id string) (Delivery, error) {
	s, err := f.Subscription(ctx, id)
	if err != nil {
		return Delivery{}, err
	}
	var random [8]byte
	rand.Read(random[:])
	d := Delivery{Event: "ping-" + hex.EncodeToString(random[:]), Type: pinged}
	f.send(ctx, s, nil, &d)
	return d, nil
}

// send makes the request and writes down what came of it. What the receiver says beyond its
// status is not read.
func (f *Feed) send(ctx context.Context, s Subscription, e *Event, d *Delivery) {
	d.Time = f.Now().UTC()
	began := time.Now()
	defer func() { d.Took = time.Since(began) }()
	format := f.Webhooks.Formats[s.Format]
	if s.Format == "" {
		format = writeJSON(d.Time)
	}
	if format == nil {
		d.Problem = "deliveries are no longer written in format " + strconv.Quote(s.Format) + " here"
		return
	}
	kind, body, err := format(s, e)
	if err != nil {
		d.Problem = "it can't be written: " + err.Error()
		return
	}
	key, err := f.loadSecret(s.ID)
	if err != nil {
		d.Problem = "it can't be signed: the key store doesn't have its secret"
		return
	}
	ctx, cancel := context.WithTimeout(ctx, f.Webhooks.Timeout)
	defer cancel()
	if strings.HasPrefix(s.URL, "http:") {
		ctx = context.WithValue(ctx, plain{}, true)
	}
	in, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		d.Problem = "its URL can't be used"
		return
	}
	in.Header.Set("Content-Type", kind)
	in.Header.Set("User-Agent", "yitong")
	in.Header.Set("webhook-id", d.Event)
	in.Header.Set("webhook-timestamp", strconv.FormatInt(d.Time.Unix(), 10))
	in.Header.Set("webhook-signature", key.sign(d.Event, d.Time, body))
	out, err := f.posting.client.Do(in)
	if err != nil {
		d.Problem = told(err, f.Webhooks.Timeout)
		return
	}
	_, _ = io.CopyN(io.Discard, out.Body, 4<<10) // so that the connection can be used again
	out.Body.Close()
	d.Status = out.StatusCode
	switch {
	case out.StatusCode/100 == 2:
		return
	case out.StatusCode/100 == 3:
		d.Problem = fmt.Sprintf("HTTP %d: redirects aren't followed; subscribe where it leads", out.StatusCode)
	default:
		d.Problem = fmt.Sprintf("HTTP %d", out.StatusCode)
	}
	d.gone = out.StatusCode == http.StatusGone
	if seconds, err := strconv.Atoi(out.Header.Get("Retry-After")); err == nil && seconds > 0 {
		d.after = min(time.Duration(min(seconds, 1<<20))*time.Second, f.Webhooks.MaxRetry)
	}
}

// told is a failure without the URL, which may hold a secret.
func told(err error, limit time.Duration) string {
	var at *url.Error
	if errors.As(err, &at) {
		if at.Timeout() {
			return fmt.Sprintf("no answer within %s", limit)
		}
		err = at.Err
	}
	text := err.Error()
	return text[:min(len(text), 300)]
}

// note keeps what came of a try, with where the subscription stands after it, in one
// transaction.
func (f *Feed) note(ctx context.Context, s *Subscription, d Delivery) error {
	next := *s
	now := f.Now().UTC()
	why := ""
	if next.Problem = d.Problem; d.Problem == "" {
		next.Delivered, next.Attempt, next.Failing, next.NextTry = d.Position, 0, time.Time{}, time.Time{}
		next.Count++
	} else {
		next.Attempt++
		if next.Failing.IsZero() {
			next.Failing = now
		}
		next.NextTry = now.Add(max(d.after, f.Webhooks.pause(next.Attempt)))
		switch {
		case d.gone:
			why = "the receiver answered 410 Gone"
		case now.Sub(next.Failing) > f.Webhooks.DisableAfter:
			why = fmt.Sprintf("nothing could be delivered since %s: %s", next.Failing.Format(time.RFC3339), d.Problem)
		}
	}
	err := f.db.write(ctx, func(w *writer) error {
		if err := w.exec(`INSERT INTO deliveries (subscription, event, position, type, time, attempt, status, problem, took) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			s.ID, d.Event, d.Position, string(d.Type), millis(d.Time), d.Attempt, d.Status, d.Problem, d.Took.Milliseconds()); err != nil {
			return err
		}
		if err := w.exec(`DELETE FROM deliveries WHERE subscription = ? AND (time < ? OR number <=
			(SELECT number FROM deliveries WHERE subscription = ? ORDER BY number DESC LIMIT 1 OFFSET ?))`,
			s.ID, millis(now.Add(-keptFor)), s.ID, keptDeliveries); err != nil {
			return err
		}
		return w.change(`UPDATE subscriptions SET delivered = ?, count = ?, problem = ?, attempt = ?, failing = ?, next_try = ? WHERE id = ?`,
			next.Delivered, next.Count, next.Problem, next.Attempt, millis(next.Failing), millis(next.NextTry), next.ID)
	})
	if err != nil {
		return missing(err)
	}
	if first := s.Problem == "" && d.Problem != ""; first {
		f.Log.Warn("a webhook fails, and is tried again", "subscription", s.ID, "host", hostOf(s.URL), "problem", d.Problem)
	} else if s.Problem != "" && d.Problem == "" {
		f.Log.Info("a webhook works again", "subscription", s.ID, "host", hostOf(s.URL))
	}
	*s = next
	if why != "" {
		return f.disable(ctx, s, why)
	}
	return nil
}

// What is kept of deliveries.
const (
	keptDeliveries = 1000
	keptFor        = 30 * 24 * time.Hour
)

// pause is how long to wait after so many failures in a row.
func (w Webhooks) pause(failures int) time.Duration {
	b := &backoff.ExponentialBackOff{InitialInterval: w.FirstRetry, RandomizationFactor: 0.3, Multiplier: 2, MaxInterval: w.MaxRetry}
	d := b.NextBackOff()
	for range min(failures-1, 40) {
		d = b.NextBackOff()
	}
	return d
}

// pass keeps that nothing up to a position was to be delivered.
func (f *Feed) pass(ctx context.Context, s *Subscription, to Position) error {
	err := f.db.write(ctx, func(w *writer) error {
		return w.change(`UPDATE subscriptions SET delivered = ? WHERE id = ?`, to, s.ID)
	})
	if err == nil {
		s.Delivered = to
	}
	return missing(err)
}

// disable ends the deliveries until somebody enables them.
func (f *Feed) disable(ctx context.Context, s *Subscription, why string) error {
	err := f.db.write(ctx, func(w *writer) error {
		return w.change(`UPDATE subscriptions SET disabled = ? WHERE id = ?`, why, s.ID)
	})
	if err != nil {
		return missing(err)
	}
	f.Log.Error("a webhook is disabled: `yitong webhook enable "+s.ID+"` has it go on where it stopped", "subscription", s.ID, "host", hostOf(s.URL), "why", why)
	return &ended{why}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
