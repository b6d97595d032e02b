package outbox

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"yitong/gateway/failpoint"
)

// flight is an attempt under way.
type flight struct {
	body [32]byte
	done chan struct{}
	out  Outcome // once done
	err  error   // likewise: it didn't come to an attempt

	repeated bool // the answer is one that was kept
}

// Random is the key of a call that has none: nobody else can ask for the same.
func Random() string {
	var raw [16]byte
	rand.Read(raw[:])
	return "random." + hex.EncodeToString(raw[:])
}

// Carry has a call carried out by attempt, unless it was: then its answer is given again. It
// waits for an attempt under way. A caller that hangs up (ctx ends) leaves the attempt to
// itself: attempt has a context of its own, with ctx's values.
//
// Where it isn't final, Outcome.Err says why, and the entry is tried again by Resume.
//
// Errors: ErrReused, ErrFull, ctx's, the database's. Nothing was begun then.
func (o *Outbox) Carry(ctx context.Context, c Call, attempt func(context.Context, Entry) Outcome) (Outcome, bool, error) {
	n, body := o.sealer.name(c.Caller, c.Method, c.Key), digest(o.bodies, c.Method, string(c.Body))
	o.mu.Lock()
	f, underWay := o.flights[n]
	switch {
	case o.closed:
		o.mu.Unlock()
		return Outcome{}, false, errClosed
	case underWay && f.body != body:
		o.mu.Unlock()
		return Outcome{}, false, ErrReused
	case !underWay:
		f = &flight{body: body, done: make(chan struct{})}
		o.flights[n] = f
		o.running.Add(1)
		go func() {
			defer o.running.Done()
			var finish func()
			f.out, f.repeated, finish, f.err = o.fly(ctx, c, attempt)
			o.land(n, f, finish)
		}()
	}
	o.mu.Unlock()
	select {
	case <-f.done:
		return f.out, underWay || f.repeated, f.err
	case <-ctx.Done():
		return Outcome{}, underWay, ctx.Err()
	}
}

func (o *Outbox) fly(ctx context.Context, c Call, attempt func(context.Context, Entry) Outcome) (out Outcome, repeated bool, finish func(), err error) {
	inside, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.Attempt)
	defer cancel()
	b, err := o.begin(inside, c)
	if err != nil {
		return Outcome{}, false, nil, err
	}
	failpoint.Reach("outbox.begun")
	if b.state == Done {
		var a Answer
		if err := o.sealer.open(b.name.place("answer"), b.answer, &a); err != nil {
			return Outcome{}, true, nil, err
		}
		return Outcome{Answer: a, Final: true}, true, nil, nil
	}
	out, finish = o.try(inside, b.Entry, attempt)
	return out, false, finish, nil
}

// land tells those who wait for a flight how it ended, and ends it once that is kept.
func (o *Outbox) land(n name, f *flight, finish func()) {
	if finish != nil {
		close(f.done)
		finish()
	}
	o.mu.Lock()
	delete(o.flights, n)
	o.mu.Unlock()
	if finish == nil {
		close(f.done)
	}
}

// try makes one attempt at an entry that was begun, and keeps how it ended.
func (o *Outbox) try(ctx context.Context, e Entry, attempt func(context.Context, Entry) Outcome) (Outcome, func()) {
	under := &underWay{number: e.Number, fresh: !e.Resumed}
	out := attempt(context.WithValue(ctx, entryKey{}, under), e)
	failpoint.Reach("outbox.tried")
	keep := func() error {
		err := o.finish(context.WithoutCancel(ctx), e, out)
		if err != nil {
			// It is done, or to be tried again: either way the next attempt finds the
			// transactions kept, and ends the same.
			o.Log.Error("how a write ended could not be kept; it is tried again", "entry", e.Number, "method", e.Method, "error", err)
		}
		failpoint.Reach("outbox.finished")
		return err
	}
	refused := out.Answer.Refusal != nil
	if out.Final && !refused && under.kept.Load() {
		// Its transaction is on the ledger, and kept here: were the process to die before the
		// answer is kept, the next attempt would find the one and make the other anew. So the
		// caller need not wait; the flight ends when it is kept. A refusal has nothing on the
		// ledger that would have it made anew the same.
		return out, func() { _ = keep() }
	}
	if err := keep(); err != nil && refused {
		out.Final = false // the next attempt may not be refused
	}
	return out, nil
}

// Resume carries on what was cut off, or failed, and sweeps, until ctx ends. attempt gets
// entries as they were begun.
func (o *Outbox) Resume(ctx context.Context, attempt func(context.Context, Entry) Outcome) {
	const pace, sweepPace, atOnce = time.Second, time.Minute, 4
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	places := make(chan struct{}, atOnce)
	var swept time.Time
	first := true
	for {
		all, err := o.dueNow(ctx, first)
		if err != nil && ctx.Err() == nil {
			o.Log.Warn("the outbox can't be looked through", "error", err)
		}
		first = first && err != nil
		for _, e := range all {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if !o.take(e, attempt, func() { <-places }) {
				<-places
			}
		}
		if o.Now().Sub(swept) >= sweepPace {
			swept = o.Now()
			if err := o.sweep(ctx); err != nil && ctx.Err() == nil {
				o.Log.Warn("the outbox can't be swept", "error", err)
			}
		}
		select {
		case <-ticker.C:
		case <-o.due:
		case <-ctx.Done():
			return
		}
	}
}

// take carries an entry on, unless that is under way.
func (o *Outbox) take(e Entry, attempt func(context.Context, Entry) Outcome, ended func()) bool {
	f := &flight{body: digest(o.bodies, e.Method, string(e.Request)), done: make(chan struct{})}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, underWay := o.flights[e.name]; underWay || o.closed {
		return false
	}
	o.flights[e.name] = f
	o.running.Add(1)
	go func() {
		defer o.running.Done()
		defer ended()
		ctx, cancel := context.WithTimeout(o.ctx, o.Attempt)
		defer cancel()
		var finish func()
		if f.err = o.again(ctx, e); f.err == nil {
			o.Log.Info("a write that was cut off is carried on", "entry", e.Number, "method", e.Method)
			f.out, finish = o.try(ctx, e, attempt)
		}
		o.land(e.name, f, finish)
	}()
	return true
}

func (o *Outbox) again(ctx context.Context, e Entry) error {
	var n int64
	err := o.do(ctx, func(w *writer) (err error) {
		n, err = w.affected("UPDATE entries SET attempts = attempts + 1, next = ? WHERE number = ? AND state = ?", w.now+o.Attempt.Milliseconds(), e.Number, Open)
		return err
	})
	if err == nil && n == 0 {
		return ErrMissing // it ended, or was dropped, meanwhile
	}
	return err
}

// dueNow lists what is to be tried, the oldest first. At the start that is all that is open:
// whoever was at it is gone.
func (o *Outbox) dueNow(ctx context.Context, all bool) ([]Entry, error) {
	until := o.Now().UnixMilli()
	if all {
		until = 1 << 62
	}
	rows, err := o.db.Reads.QueryContext(ctx, o.db.Bind(`SELECT number, name, method, sealed, (SELECT COUNT(*) FROM transactions t WHERE t.entry = e.number)
		FROM entries e WHERE state = 'open' AND next <= ? ORDER BY number`), until)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []Entry
	for len(found) < most && rows.Next() { // what waits for its caller holds up nothing behind it
		e := Entry{Resumed: true}
		var n, sealed []byte
		var handed int
		if err := rows.Scan(&e.Number, &n, &e.Method, &sealed, &handed); err != nil {
			return nil, err
		}
		if len(n) != len(e.name) {
			return nil, errSealed
		}
		e.name = name(n)
		if err := o.sealer.open(e.name.place("entry"), sealed, &e.kept); err != nil {
			o.Log.Error("an entry of the outbox can't be read", "entry", e.Number, "error", err)
			continue
		}
		if e.kept.Alone && handed == 0 {
			continue // it waits for its caller
		}
		e.ID, e.Caller, e.Request = e.kept.ID, e.kept.Caller, e.kept.Request
		found = append(found, e)
	}
	return found, rows.Err()
}

// sweep drops what was done long ago, and what was given up, or waits for a caller that didn't
// come again. What is under way stays.
func (o *Outbox) sweep(ctx context.Context) error {
	for {
		var n int64
		err := o.do(ctx, func(w *writer) (err error) {
			over := w.now - o.Retention.Milliseconds()
			query, args := `DELETE FROM entries WHERE number IN (SELECT number FROM entries e WHERE
				(state = 'done' AND ended < ? OR state <> 'done' AND created < ? AND NOT EXISTS (SELECT 1 FROM transactions t WHERE t.entry = e.number))`,
				[]any{over, over - o.Patience.Milliseconds()}
			for _, n := range o.takenUp() {
				query, args = query+" AND name <> ?", append(args, n[:])
			}
			n, err = w.affected(query+" LIMIT 1000)", args...)
			w.added -= n
			return err
		})
		if err != nil || n < 1000 {
			return err
		}
	}
}

// takenUp are the entries that somebody is at. Asked by the writer it is exact: who takes
// one up after this writes so after what the writer does now.
func (o *Outbox) takenUp() []name {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Collect(maps.Keys(o.flights))
}

type entryKey struct{}

// underWay is the attempt that a context belongs to.
type underWay struct {
	number int64       // of the entry; 0 of none
	fresh  bool        // it is the entry's first attempt
	kept   atomic.Bool // a transaction of it was kept
}

func of(ctx context.Context) *underWay {
	if u, ok := ctx.Value(entryKey{}).(*underWay); ok {
		return u
	}
	return new(underWay)
}
