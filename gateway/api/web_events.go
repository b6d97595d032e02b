package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

const (
	eventsBeat  = 15 * time.Second // between two signs of life
	eventsRetry = 2 * time.Second  // after which a client comes again
	eventsStall = 10 * time.Second // a client that takes longer to take something is let go
)

// lastEvent is the last of a stream that the gateway ends.
type lastEvent struct {
	Reason   string `json:"reason"` // "time", "stopping" or "slow"
	Position string `json:"position"`
}

// events streams the feed as server-sent events (HTML, section 9.2). The id of each is its
// position, so that a client that comes again goes on where it was; without one it begins
// with what comes next, or after the position in the query. A stream ends after the time
// that an export has, and with that the rights that it began with.
func (w *web) events(out http.ResponseWriter, in *http.Request) error {
	ask, err := eventsAsked(in)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(in.Context(), w.limits.Limits().Export)
	defer cancel()
	client := yitongv1.NewEventsClient(w.inside)
	// What is wrong with the question is answered as an error.
	tried := &yitongv1.ListEventsRequest{Types: ask.Types, Limit: 1}
	if ask.After != "now" {
		tried.After = ask.After
	}
	if _, err := client.List(ctx, tried); err != nil {
		return err
	}
	stream, err := client.Watch(ctx, ask)
	if err != nil {
		return err
	}
	from, err := stream.Header() // it watches
	if err != nil {
		return err
	}
	if at := from.Get("position"); len(at) == 1 {
		ask.After = at[0]
	}
	h := out.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // a proxy would hold it back
	s := &eventStream{out: out, control: http.NewResponseController(out), position: ask.After, stall: eventsStall}
	if err := s.send(fmt.Sprintf("retry: %d\n\n", eventsRetry.Milliseconds())); err != nil {
		return nil // who has gone away needs no answer
	}
	if in.Method == http.MethodHead {
		return nil
	}
	s.run(ctx, received(ctx, stream.Recv))
	return nil
}

// eventsAsked reads what is asked for. What isn't known is refused.
func eventsAsked(in *http.Request) (*yitongv1.WatchEventsRequest, error) {
	query, err := url.ParseQuery(in.URL.RawQuery)
	if err != nil {
		return nil, refusal.New(refusal.Malformed, "the query can't be read", "after and type")
	}
	ask := &yitongv1.WatchEventsRequest{After: "now", Types: query["type"]}
	for name, values := range query {
		switch {
		case name == "type":
		case name == "after" && len(values) == 1:
			ask.After = values[0]
		default:
			return nil, refusal.New(refusal.Malformed, "events are asked for by after (once) and type alone", "after=POSITION, type=consent.*")
		}
	}
	if last := in.Header.Get("Last-Event-ID"); last != "" {
		ask.After = last
	}
	return ask, nil
}

// eventStream is one client's.
type eventStream struct {
	out      http.ResponseWriter
	control  *http.ResponseController
	position string // of the last event that was sent
	stall    time.Duration
	slow     bool // it took the last piece only after a while
}

type event struct {
	*yitongv1.FeedEvent
	err error
}

// received hands over what a stream brings, as it comes.
func received(ctx context.Context, recv func() (*yitongv1.WatchEventsResponse, error)) <-chan event {
	events := make(chan event)
	go func() {
		for {
			m, err := recv()
			select {
			case events <- event{m.GetEvent(), err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return events
}

func (s *eventStream) run(ctx context.Context, events <-chan event) {
	beat := time.NewTicker(eventsBeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case e := <-events:
			if e.err != nil {
				s.end(e.err)
				return
			}
			err = s.event(e.FeedEvent)
			beat.Reset(eventsBeat)
		case <-beat.C:
			err = s.send(":\n\n")
		case <-ctx.Done():
			s.end(ctx.Err())
			return
		}
		if err == nil && s.slow {
			s.last("slow")
			return
		}
		if err != nil {
			return // who has gone away, or takes nothing, needs no answer
		}
	}
}

func (s *eventStream) event(e *yitongv1.FeedEvent) error {
	raw, err := protojson.Marshal(e)
	if err != nil {
		return err
	}
	var doc bytes.Buffer
	if err := json.Compact(&doc, raw); err != nil { // one line: protojson varies its spaces on purpose
		return err
	}
	s.position = e.GetPosition()
	return s.send("id: " + e.GetPosition() + "\nevent: " + e.GetType() + "\ndata: " + doc.String() + "\n\n")
}

// end says why there is no more, if the client is to come again.
func (s *eventStream) end(err error) {
	switch status.Code(err) {
	case codes.Unavailable:
		s.last("stopping")
	case codes.DeadlineExceeded:
		s.last("time")
	default:
		if strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
			s.last("time")
		}
	}
}

func (s *eventStream) last(reason string) {
	doc, _ := json.Marshal(lastEvent{reason, s.position}) // two strings always marshal
	_ = s.send("event: end\ndata: " + string(doc) + "\n\n")
}

// send writes a piece and waits until the connection has taken it.
func (s *eventStream) send(piece string) error {
	if _, err := s.out.Write([]byte(piece)); err != nil {
		return err
	}
	began := time.Now()
	_ = s.control.SetWriteDeadline(began.Add(2 * s.stall))
	err := s.control.Flush()
	s.slow = time.Since(began) > s.stall
	return err
}
