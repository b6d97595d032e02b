package identity

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// An assertion's memory isn't lost with that of an older one of the same jti.
func TestWhatIsForgottenIsOnlyWhatIsOver(t *testing.T) {
	r, err := OpenReplays(filepath.Join(t.TempDir(), "replays.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	now := time.Unix(1_000_000, 0)
	take := func(id string, expires, now time.Time) error { return r.Take("engine", id, expires, now) }
	for i := range 2 * forgetAtOnce { // what is forgotten before its turn comes
		if err := take(fmt.Sprint(i), now, now); err != nil {
			t.Fatal(err)
		}
	}
	if err := take("again", now.Add(time.Second), now); err != nil {
		t.Fatal(err)
	}
	later := now.Add(time.Minute)
	if err := take("again", later.Add(time.Minute), later); err != nil {
		t.Fatalf("one that has expired is taken anew: %v", err)
	}
	for i := range 4 {
		if err := take(fmt.Sprint("other", i), later.Add(time.Minute), later); err != nil {
			t.Fatal(err)
		}
	}
	if err := take("again", later.Add(time.Minute), later); !errors.Is(err, ErrReplayed) {
		t.Errorf("it is taken twice: %v", err)
	}
}
