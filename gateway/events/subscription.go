package events

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"yitong/chaincode/access"
	"yitong/chaincode/refusal"
)

// Subscription is a URL that events are delivered to.
type Subscription struct {
	ID          string // 32 hexadecimal digits
	URL         string
	Types       Filter
	Format      string // "" is this feed's JSON; others are those of Webhooks.Formats
	Description string
	Delivered   Position // of the last event that was delivered or passed over
	Count       int64    // of events delivered
	Disabled    string   // why nothing is delivered any more; empty if it is
	Problem     string   // of the last try; empty if it went well
	Attempt     int      // how often the next event has been tried
	Created     time.Time
	Failing     time.Time // when the first try failed of those that failed in a row; else zero
	NextTry     time.Time // zero is at once
	Ends        time.Time // zero is never
}

// maxSubscriptions bounds what one gateway delivers to.
const maxSubscriptions = 100

// maxDescription is how long a description is at most, in characters.
const maxDescription = 200

// Subscribe has events delivered after a position (Subscription.Delivered) on. It returns
// the secret's text, once: the same subscription again, by its id, is answered without.
// Refusals: malformed, not-permitted, too-large (there are too many), exists.
func (f *Feed) Subscribe(ctx context.Context, s Subscription) (Subscription, string, error) {
	if s.ID == "" {
		var id [16]byte
		rand.Read(id[:])
		s.ID = hex.EncodeToString(id[:])
	}
	if err := f.check(s); err != nil {
		return s, "", err
	}
	f.posting.changing.Lock()
	defer f.posting.changing.Unlock()
	all, err := f.Subscriptions(ctx)
	if err != nil {
		return s, "", err
	}
	if i := slices.IndexFunc(all, func(o Subscription) bool { return o.ID == s.ID }); i >= 0 {
		if o := all[i]; o.URL == s.URL && slices.Equal(o.Types, s.Types) && o.Format == s.Format {
			return o, "", nil
		}
		return s, "", refusal.New(refusal.Exists, "there is another subscription of this id", "an id of its own, or none")
	}
	if len(all) >= maxSubscriptions {
		return s, "", refusal.New(refusal.TooLarge, "there are as many subscriptions as a gateway has", fmt.Sprintf("at most %d: remove one", maxSubscriptions))
	}
	s.Created = f.Now().UTC().Truncate(time.Millisecond)
	key := newSecret()
	if err := f.saveSecret(s.ID, secret{Present: key}); err != nil { // first: without it nothing could be signed
		return s, "", fmt.Errorf("keeping the webhook's secret: %w", err)
	}
	err = f.db.write(ctx, func(w *writer) error {
		return w.exec(`INSERT INTO subscriptions (id, url, types, format, description, delivered, count, disabled, problem, attempt, created, failing, next_try, ends)
			VALUES (?, ?, ?, ?, ?, ?, 0, '', '', 0, ?, 0, 0, ?)`, s.ID, s.URL, strings.Join(s.Types, ","), s.Format, s.Description, s.Delivered, millis(s.Created), millis(s.Ends))
	})
	if err != nil {
		return s, "", errors.Join(fmt.Errorf("keeping the subscription: %w", err), f.forgetSecret(s.ID))
	}
	f.Log.Info("events are delivered to a webhook", "subscription", s.ID, "host", hostOf(s.URL))
	f.posting.start(f, s.ID)
	return s, secretText(key), nil
}

func (f *Feed) check(s Subscription) error {
	if err := access.CheckID(s.ID); err != nil {
		return err
	}
	if err := f.Webhooks.checkURL(s.URL); err != nil {
		return err
	}
	if err := s.Types.Check(); err != nil {
		return err
	}
	if _, ok := f.Webhooks.Formats[s.Format]; s.Format != "" && !ok {
		return refusal.New(refusal.Malformed, "deliveries aren't written in that format here", "none, for JSON")
	}
	if utf8.RuneCountInString(s.Description) > maxDescription || !utf8.ValidString(s.Description) || strings.ContainsFunc(s.Description, func(r rune) bool { return r < ' ' }) {
		return refusal.New(refusal.Malformed, "that is no description", "a line of at most 200 characters")
	}
	if !s.Ends.IsZero() && !s.Ends.After(f.Now()) {
		return refusal.New(refusal.Malformed, "the subscription would end before it begins", "an end to come, or none")
	}
	return nil
}

// Unsubscribe ends a subscription and forgets its secret. Refusal: not-found.
func (f *Feed) Unsubscribe(ctx context.Context, id string) error {
	return f.change(id, func() error {
		err := f.db.write(ctx, func(w *writer) error {
			if err := w.change(`DELETE FROM subscriptions WHERE id = ?`, id); err != nil {
				return err
			}
			return w.exec(`DELETE FROM deliveries WHERE subscription = ?`, id)
		})
		if err != nil {
			return missing(err)
		}
		f.Log.Info("events are no longer delivered to a webhook", "subscription", id)
		return f.forgetSecret(id)
	})
}

// Redeliver has a subscription go on after a position, before or after the one it has come
// to; it is enabled by that. Refusals: not-found, malformed.
func (f *Feed) Redeliver(ctx context.Context, id string, after Position) (Subscription, error) {
	blocks, err := f.Blocks(ctx)
	if err != nil {
		return Subscription{}, err
	}
	if after.Compare(endOf(int64(blocks))) > 0 {
		return Subscription{}, refusal.New(refusal.Malformed, fmt.Sprintf("the ledger hasn't come to this position: the feed is made of %d blocks", blocks), "a position of an event of this ledger")
	}
	return f.set(ctx, id, `UPDATE subscriptions SET delivered = ?, disabled = '', problem = '', attempt = 0, failing = 0, next_try = 0 WHERE id = ?`, after, id)
}

// Enable has a disabled subscription go on where it stopped. Refusal: not-found.
func (f *Feed) Enable(ctx context.Context, id string) (Subscription, error) {
	return f.set(ctx, id, `UPDATE subscriptions SET disabled = '', attempt = 0, failing = 0, next_try = 0 WHERE id = ?`, id)
}

func (f *Feed) set(ctx context.Context, id, query string, args ...any) (s Subscription, err error) {
	err = f.change(id, func() error {
		if err := f.db.write(ctx, func(w *writer) error { return w.change(query, args...) }); err != nil {
			return missing(err)
		}
		s, err = f.Subscription(ctx, id)
		return err
	})
	return s, err
}

// change runs f while nothing is delivered to the subscription.
func (f *Feed) change(id string, change func() error) error {
	f.posting.changing.Lock()
	defer f.posting.changing.Unlock()
	f.posting.stop(id)
	defer f.posting.start(f, id)
	return change()
}

// maxOverlap is how long a secret that was replaced goes on at most.
const maxOverlap = 30 * 24 * time.Hour

// RotateSecret makes a new secret and returns its text; the old one goes on for the overlap.
// Refusals: not-found, malformed.
func (f *Feed) RotateSecret(ctx context.Context, id string, overlap time.Duration) (text string, until time.Time, err error) {
	if overlap < 0 || overlap > maxOverlap {
		return "", until, refusal.New(refusal.Malformed, "the old secret can't go on that long", "at most 30 days")
	}
	f.posting.changing.Lock()
	defer f.posting.changing.Unlock()
	if _, err := f.Subscription(ctx, id); err != nil {
		return "", until, err
	}
	before, err := f.loadSecret(id)
	if err != nil {
		return "", until, err
	}
	until = f.Now().UTC().Add(overlap).Truncate(time.Second)
	next := secret{Present: newSecret(), Old: before.Present, Until: until}
	if err := f.saveSecret(id, next); err != nil {
		return "", until, err
	}
	return secretText(next.Present), until, nil
}

const selectSubscriptions = `SELECT id, url, types, format, description, delivered, count, disabled, problem, attempt, created, failing, next_try, ends FROM subscriptions`

func scanSubscription(scan func(...any) error) (s Subscription, err error) {
	var types string
	var created, failing, next, ends int64
	err = scan(&s.ID, &s.URL, &types, &s.Format, &s.Description, &s.Delivered, &s.Count, &s.Disabled, &s.Problem, &s.Attempt, &created, &failing, &next, &ends)
	if types != "" {
		s.Types = strings.Split(types, ",")
	}
	s.Created, s.Failing, s.NextTry, s.Ends = atMillis(created), atMillis(failing), atMillis(next), atMillis(ends)
	return s, err
}

// Subscription is one by its id. Refusal: not-found.
func (f *Feed) Subscription(ctx context.Context, id string) (Subscription, error) {
	s, err := scanSubscription(f.db.Reads.QueryRowContext(ctx, f.db.Bind(selectSubscriptions+` WHERE id = ?`), id).Scan)
	return s, missing(err)
}

// Subscriptions are all of them, the oldest first.
func (f *Feed) Subscriptions(ctx context.Context) (all []Subscription, err error) {
	rows, err := f.db.Reads.QueryContext(ctx, selectSubscriptions+` ORDER BY created, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		s, err := scanSubscription(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// Delivery is one try to deliver an event.
type Delivery struct {
	Event    string // id
	Position Position
	Type     Type
	Time     time.Time
	Attempt  int    // how often it had been tried before
	Status   int    // HTTP; 0 without an answer
	Problem  string // why it failed; empty if it was delivered
	Took     time.Duration

	gone  bool          // the receiver wants no more, ever
	after time.Duration // the receiver asks for so long a pause
}

// Deliveries lists what was tried, the newest first. Refusals: not-found, malformed.
func (f *Feed) Deliveries(ctx context.Context, id, bookmark string, size int) (list []Delivery, next string, err error) {
	if _, err := f.Subscription(ctx, id); err != nil {
		return nil, "", err
	}
	if size < 1 || size > 100 {
		return nil, "", refusal.New(refusal.Malformed, "that is no size of a page", "1 to 100")
	}
	before := int64(1<<63 - 1)
	if bookmark != "" {
		if before, err = strconv.ParseInt(bookmark, 10, 64); err != nil {
			return nil, "", refusal.New(refusal.Malformed, "that is no bookmark", "nextBookmark of the page before")
		}
	}
	rows, err := f.db.Reads.QueryContext(ctx, f.db.Bind(`SELECT number, event, position, type, time, attempt, status, problem, took FROM deliveries
		WHERE subscription = ? AND number < ? ORDER BY number DESC LIMIT ?`), id, before, size+1)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for last := int64(0); rows.Next(); {
		if len(list) == size {
			return list, strconv.FormatInt(last, 10), nil
		}
		var d Delivery
		var at, took int64
		if err := rows.Scan(&last, &d.Event, &d.Position, &d.Type, &at, &d.Attempt, &d.Status, &d.Problem, &took); err != nil {
			return nil, "", err
		}
		d.Time, d.Took = atMillis(at), time.Duration(took)*time.Millisecond
		list = append(list, d)
	}
	return list, "", rows.Err()
}

func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return refusal.New(refusal.NotFound, "there is no such subscription", "the id of one: `yitong webhook list`")
	}
	return err
}

func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func atMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
