package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// sluggish is a client that takes a while for each piece.
type sluggish struct {
	*httptest.ResponseRecorder
	takes time.Duration
}

func (s sluggish) FlushError() error { time.Sleep(s.takes); return nil }

// A stream that the gateway ends says so last, and from where on to come again.
func TestTheLastEventSaysWhyThereIsNoMore(t *testing.T) {
	for name, tt := range map[string]struct {
		takes time.Duration
		err   error
		want  string
	}{
		"a client that is slow":     {takes: 20 * time.Millisecond, want: `{"reason":"slow","position":"7-0-1"}`},
		"the gateway stops":         {err: status.Error(codes.Unavailable, "stopping"), want: `{"reason":"stopping","position":"7-0-1"}`},
		"the time of a stream":      {err: status.Error(codes.DeadlineExceeded, ""), want: `{"reason":"time","position":"7-0-1"}`},
		"the caller has gone away":  {err: status.Error(codes.Canceled, "")},
		"control: nothing happened": {err: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			out := sluggish{httptest.NewRecorder(), tt.takes}
			s := &eventStream{out: out, control: http.NewResponseController(out), position: "0-0-0", stall: 10 * time.Millisecond}
			if tt.takes == 0 {
				s.stall = time.Minute
			}
			events := make(chan event, 2)
			events <- event{FeedEvent: &yitongv1.FeedEvent{Position: "7-0-1", Type: "access.decided"}}
			events <- event{err: tt.err}
			s.run(t.Context(), events)
			body := out.Body.String()
			if !strings.Contains(body, "id: 7-0-1\nevent: access.decided\ndata: {") {
				t.Errorf("the event isn't there:\n%s", body)
			}
			_, last, _ := strings.Cut(body, "event: end\ndata: ")
			if strings.TrimSpace(last) != tt.want {
				t.Errorf("the last event is %q, want %q", last, tt.want)
			}
		})
	}
}
