package events_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/gateway/audit/projection/projectiontest"
	"yitong/gateway/database/databasetest"
	"yitong/gateway/events"
)

// PostgreSQL and SQLite hold the same feed, and deliver the same.
func TestPostgreSQLDoesWhatSQLiteDoes(t *testing.T) {
	url := databasetest.Postgres(t)
	blocks := projectiontest.Blocks(14, 300)
	want := all(t, made(t, blocks))
	r := receive(t)
	c := delivering(t, r)
	c.Database = url
	f := open(t, c)
	s, _ := subscribe(t, f, events.Subscription{URL: r.URL, Types: events.Filter{"access.*", "consent.*"}})
	stop := keep(t, f, whole(blocks))
	var ids []string
	for _, e := range want {
		if s.Types.Wants(e.Type) {
			ids = append(ids, e.ID)
		}
	}
	r.waitGood(t, len(ids))
	if diff := cmp.Diff(ids, r.good()); diff != "" {
		t.Errorf("deliveries (-want +got):\n%s", diff)
	}
	until(t, func() bool { s, _ = f.Subscription(t.Context(), s.ID); return s.Count == int64(len(ids)) })
	if diff := cmp.Diff(want, all(t, f)); diff != "" {
		t.Errorf("the feed (-want +got):\n%s", diff)
	}
	list, next, err := f.Deliveries(t.Context(), s.ID, "", 10)
	if err != nil || len(list) != 10 || next == "" {
		t.Errorf("%d deliveries and %q: %v", len(list), next, err)
	}
	stop()
	if err := f.Unsubscribe(t.Context(), s.ID); err != nil {
		t.Error(err)
	}
}
