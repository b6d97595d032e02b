package outbox

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Caller is who asked for a write.
type Caller struct {
	Member  string   `json:"member"` // MSP id
	User    string   `json:"user"`   // a person's name, or that of the member's software
	Role    string   `json:"role,omitempty"`
	Units   []string `json:"units,omitempty"`       // of the certificate
	Cert    []byte   `json:"certificate,omitempty"` // DER, where it showed one
	Details []byte   `json:"details,omitempty"`     // what else the door needs to know who it was
}

// Call is a write as it came in.
type Call struct {
	Caller Caller
	Method string // as gRPC has it: /yitong.v1.Consents/Grant
	Key    string // as the caller gave it (CheckKey), or Random
	Body   []byte // what was asked, in one encoding
	Alone  bool   // not tried again without its caller unless something of it was handed over
}

// kept is what is sealed of an entry.
type kept struct {
	Caller  Caller `json:"caller"`
	Key     string `json:"key"`
	ID      string `json:"id"`
	Request []byte `json:"request"`
	Alone   bool   `json:"alone,omitempty"`
}

// Entry is a call that is carried out.
type Entry struct {
	Number  int64
	ID      string // 32 hex digits; what the use case names its work by
	Caller  Caller
	Method  string
	Request []byte
	Resumed bool // it was begun before

	name name
	kept kept
}

// CheckKey refuses what is no idempotency key.
func CheckKey(key string) error {
	if len(key) < 1 || len(key) > 64 || strings.Trim(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-") != "" {
		return ErrKey
	}
	return nil
}

// ID is the id that a call's use case names its work by: 32 hex digits that follow from who
// asks for what under which key.
func (o *Outbox) ID(c Caller, method, key string) string { return o.id(o.sealer.name(c, method, key)) }

func (n name) place(what string) string { return what + " " + hex.EncodeToString(n[:]) }

// begun is what an entry was found to be when it was to begin.
type begun struct {
	Entry
	state  State
	answer []byte // sealed, of one that is done
	body   []byte
	sealed []byte
}

// begin enters a call, or finds it entered. What it returns is durable.
func (o *Outbox) begin(ctx context.Context, c Call) (begun, error) {
	n := o.sealer.name(c.Caller, c.Method, c.Key)
	body := digest(o.bodies, c.Method, string(c.Body))
	k := kept{Caller: c.Caller, Key: c.Key, ID: o.id(n), Request: c.Body, Alone: c.Alone}
	sealed, err := o.sealer.close(n.place("entry"), k)
	if err != nil {
		return begun{}, err
	}
	b := begun{Entry: Entry{ID: k.ID, Caller: c.Caller, Method: c.Method, Request: c.Body, name: n, kept: k}}
	var full bool
	err = o.do(ctx, func(w *writer) error {
		full = false
		var answer []byte
		err := w.scan(findEntry, []any{n[:]}, &b.Number, &b.state, &b.body, &b.sealed, &answer)
		switch {
		case err == nil:
			b.Resumed, b.answer = true, answer
			if b.state == Done || [32]byte(b.body) != body {
				return nil
			}
			return w.exec("UPDATE entries SET state = ?, attempts = attempts + 1, next = ? WHERE number = ?", Open, w.now+o.Attempt.Milliseconds(), b.Number)
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if full = o.full(w.added); full {
			return nil
		}
		w.added++
		b.state, b.body, b.sealed = Open, body[:], sealed
		return w.scan(enterEntry, []any{n[:], body[:], c.Method, Open, w.now + o.Attempt.Milliseconds(), w.now, sealed}, &b.Number)
	})
	switch {
	case err != nil:
		return b, fmt.Errorf("the outbox can't be written, and nothing was begun: %w", err)
	case full:
		return b, ErrFull
	case [32]byte(b.body) != body:
		return b, ErrReused
	}
	if b.Resumed {
		err = o.sealer.open(n.place("entry"), b.sealed, &b.kept)
		b.ID, b.Entry.Caller = b.kept.ID, c.Caller
	}
	return b, err
}

func (o *Outbox) full(added int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count+added >= o.Limit
}

// Answer is how a call ended: a message, or a refusal.
type Answer struct {
	Message []byte `json:"message,omitempty"`
	Refusal []byte `json:"refusal,omitempty"` // a google.rpc.Status
}

// Outcome is how an attempt ended.
type Outcome struct {
	Answer Answer
	Final  bool   // the answer is one that stays; else it is to be tried again
	Forget bool   // nothing happened, and the same name may be used anew
	Code   string // of the error, for operators; "OK" for none
	Err    error  // what the caller is told where it isn't final
}

// finish keeps how an attempt ended. A final one's transactions go: what they did is kept.
func (o *Outbox) finish(ctx context.Context, e Entry, out Outcome) error {
	if out.Final && out.Forget {
		return o.do(ctx, func(w *writer) error { return w.drop(e.Number) })
	}
	if !out.Final {
		return o.do(ctx, func(w *writer) error {
			var attempts, created int64
			if err := w.scan("SELECT attempts, created FROM entries WHERE number = ?", []any{e.Number}, &attempts, &created); err != nil {
				return err
			}
			state := Open
			if w.now-created > o.Patience.Milliseconds() {
				state = GivenUp
			}
			return w.exec("UPDATE entries SET state = ?, outcome = ?, next = ? WHERE number = ?", state, out.Code, w.now+wait(attempts).Milliseconds(), e.Number)
		})
	}
	sealed, err := o.sealer.close(e.name.place("answer"), out.Answer)
	if err != nil {
		return err
	}
	return o.do(ctx, func(w *writer) error {
		if err := w.exec(dropSigned, e.Number); err != nil {
			return err
		}
		return w.exec(finishEntry, Done, out.Code, w.now, sealed, e.Number)
	})
}

// wait is how long an entry rests after so many attempts.
func wait(attempts int64) time.Duration {
	return min(time.Second<<min(attempts-1, 9), 5*time.Minute)
}

func (w *writer) drop(number int64) error {
	if err := w.exec(dropSigned, number); err != nil {
		return err
	}
	n, err := w.affected("DELETE FROM entries WHERE number = ?", number)
	w.added -= n
	return err
}
