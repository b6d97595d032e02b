package epoch_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"yitong/chaincode/access"
	"yitong/chaincode/epoch"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

func codeOf(err error) refusal.Code {
	var r *refusal.Refusal
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

func keyOf(id string) registry.Key {
	sum := sha256.Sum256([]byte(id))
	return registry.Key{ID: id, Public: sum[:]}
}

func founded(t testing.TB, evaluators ...string) (epoch.Epoch, epoch.Calendar) {
	t.Helper()
	var all []registry.Candidate
	for _, msp := range append([]string{"Z"}, evaluators...) {
		c := registry.Candidate{MSP: msp}
		if msp != "Z" {
			k := keyOf(msp)
			c.Evaluator = &k
		}
		all = append(all, c)
	}
	e, c, err := epoch.Found(all, 100)
	if err != nil {
		t.Fatal(err)
	}
	return e, c
}

func everybody(string) bool { return true }

func TestACalendarTellsWhichHandlesAreOpen(t *testing.T) {
	c := epoch.Calendar{Latest: 4, Earlier: []epoch.Ending{{3, 1000}, {2, 500}}}
	for _, test := range []struct {
		epoch int
		at    record.Instant
		want  refusal.Code
	}{
		{4, 2000, ""}, {3, 999, ""}, {3, 1000, epoch.Ended}, {2, 499, ""}, {2, 500, epoch.Ended},
		{1, 0, epoch.Ended}, {5, 0, epoch.Unknown}, {access.MaxEpoch, 0, epoch.Unknown},
	} {
		handle := access.Handle(test.epoch, strings.Repeat("0", 64))
		if err := c.Check(handle, test.at); codeOf(err) != test.want {
			t.Errorf("epoch %d at %d: %v, want %q", test.epoch, test.at, err, test.want)
		}
	}
	if err := (epoch.Calendar{}).Check(access.Handle(1, strings.Repeat("0", 64)), 0); codeOf(err) != epoch.Unknown {
		t.Errorf("without any epoch: %v", err)
	}
	if err := (epoch.Calendar{Latest: 1}).Check("", 0); codeOf(err) != epoch.Ended {
		t.Errorf("what is no handle: %v", err)
	}
}

func TestAnEpochOpensWithTheLastAnnouncement(t *testing.T) {
	present, calendar := founded(t, "B", "A")
	s := epoch.Standing{Calendar: calendar, Present: &present, Active: everybody}
	draft := func(key string, overlap int64, members ...string) epoch.Draft {
		return epoch.Draft{Epoch: 2, Key: keyOf(key), Overlap: overlap, Members: members}
	}
	o, err := epoch.Announce(s, draft("a2", 1000), "A", 200)
	if err != nil || o.Opened != nil || !o.Changed || !slices.Equal(o.Announced[0].Members, []string{"A", "B"}) {
		t.Fatalf("%+v, %v", o, err)
	}
	s.Announced = o.Announced
	if again, err := epoch.Announce(s, draft("a2", 1000), "A", 205); err != nil || again.Changed {
		t.Errorf("announced again: %+v, %v", again, err)
	}
	o, err = epoch.Announce(s, draft("b2", 500), "B", 210)
	if err != nil || o.Opened == nil || o.Opened.Number != 2 || !slices.Equal(o.Opened.MSPs(), []string{"A", "B"}) {
		t.Fatalf("%+v, %v", o, err)
	}
	if want := (epoch.Ending{Number: 1, Ends: 710}); o.Calendar.Latest != 2 || o.Calendar.Earlier[0] != want {
		t.Errorf("the shorter overlap isn't it: %+v", o.Calendar)
	}
	if k := o.Opened.Evaluators[1].Key; k.ID != "b2" || k.From != 210 {
		t.Errorf("B's key is %+v", k)
	}
	s = epoch.Standing{Calendar: o.Calendar, Present: &present, Announced: o.Announced, Active: everybody}
	if again, err := epoch.Announce(s, draft("b2", 500), "B", 220); err != nil || again.Changed || again.Opened != nil {
		t.Errorf("a retry once it is open: %+v, %v", again, err)
	}
	if _, err := epoch.Announce(s, draft("c2", 500), "B", 220); codeOf(err) != refusal.Exists {
		t.Errorf("another key once it is open: %v", err)
	}
}

func TestEvaluatorsComeAndGoByAgreement(t *testing.T) {
	present, calendar := founded(t, "A", "B")
	active := map[string]bool{"A": true, "B": true, "C": true, "D": true}
	s := epoch.Standing{Calendar: calendar, Present: &present, Active: func(msp string) bool { return active[msp] }}
	announce := func(who string, members ...string) *epoch.Epoch {
		t.Helper()
		o, err := epoch.Announce(s, epoch.Draft{Epoch: 2, Key: keyOf(who + "2"), Members: members}, who, 1)
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
		s.Announced = o.Announced
		return o.Opened
	}
	// C names itself; nothing comes of it until both present evaluators name it too.
	if announce("C", "A", "C") != nil || announce("A") != nil {
		t.Fatal("C is an evaluator by its own word")
	}
	s.Announced = nil
	if announce("C", "A", "C") != nil || announce("A", "A", "C") != nil {
		t.Fatal("B has no say")
	}
	if opened := announce("B", "A", "C"); opened == nil || !slices.Equal(opened.MSPs(), []string{"A", "C"}) {
		t.Errorf("agreed on A and C: %+v", opened)
	}

	// A suspended one has no say, and its place must be taken: one key would open everything.
	active["B"], s.Announced = false, nil
	for who, test := range map[string]struct {
		members []string
		want    refusal.Code
	}{
		"A": {nil, epoch.TooFew}, "C": {[]string{"A", "D"}, epoch.NotEvaluator}, "D": {[]string{"B", "D"}, refusal.NotFound},
	} {
		_, err := epoch.Announce(s, epoch.Draft{Epoch: 2, Key: keyOf("x" + who), Members: test.members}, who, 1)
		if codeOf(err) != test.want {
			t.Errorf("%s announces %v: %v, want %s", who, test.members, err, test.want)
		}
	}
	announce("A", "A", "D")
	if opened := announce("D", "A", "D"); opened == nil {
		t.Error("A and D, B being suspended, open nothing")
	}
}

func TestWhatIsNotAnnounced(t *testing.T) {
	present, calendar := founded(t, "A", "B")
	s := epoch.Standing{Calendar: calendar, Present: &present, Active: everybody}
	good := epoch.Draft{Epoch: 2, Key: keyOf("new")}
	for name, test := range map[string]struct {
		change func(*epoch.Draft)
		want   refusal.Code
	}{
		"the present epoch":       {func(d *epoch.Draft) { d.Epoch = 1 }, refusal.Malformed},
		"the one after the next":  {func(d *epoch.Draft) { d.Epoch = 3 }, epoch.Unknown},
		"the present key":         {func(d *epoch.Draft) { d.Key = keyOf("A") }, registry.KeySpent},
		"the identity":            {func(d *epoch.Draft) { d.Key.Public = make([]byte, 32) }, refusal.Malformed},
		"a key of 33 bytes":       {func(d *epoch.Draft) { d.Key.Public = append(d.Key.Public, 1) }, refusal.Malformed},
		"a key without an id":     {func(d *epoch.Draft) { d.Key.ID = "" }, refusal.Malformed},
		"a key with its validity": {func(d *epoch.Draft) { d.Key.Until = 1 }, refusal.Malformed},
		"an endless overlap":      {func(d *epoch.Draft) { d.Overlap = epoch.MaxOverlap + 1 }, refusal.Malformed},
		"a negative overlap":      {func(d *epoch.Draft) { d.Overlap = -1 }, refusal.Malformed},
		"evaluators out of order": {func(d *epoch.Draft) { d.Members = []string{"B", "A"} }, refusal.Malformed},
		"one evaluator twice":     {func(d *epoch.Draft) { d.Members = []string{"A", "A"} }, refusal.Malformed},
	} {
		d := good
		d.Key.Public = bytes.Clone(good.Key.Public)
		test.change(&d)
		if _, err := epoch.Announce(s, d, "A", 1); codeOf(err) != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

// However epochs follow each other: they are numbered without gaps, none outlives the one
// after it, and a handle refused once is refused for ever.
func TestEpochsFollowEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		present, calendar := epoch.Epoch{Number: 1, Evaluators: []epoch.Evaluator{{MSP: "A", Key: keyOf("A")}}}, epoch.Calendar{Latest: 1}
		ended := map[int]bool{}
		at := record.Instant(1000)
		for range rapid.IntRange(1, 40).Draw(t, "epochs") {
			at += record.Instant(rapid.Int64Range(0, 5000).Draw(t, "pause"))
			n := calendar.Latest + 1
			d := epoch.Draft{Epoch: n, Key: keyOf(fmt.Sprintf("%c%d", 'a'+n%26, n)), Overlap: rapid.Int64Range(0, 20000).Draw(t, "overlap")}
			o, err := epoch.Announce(epoch.Standing{Calendar: calendar, Present: &present, Active: everybody}, d, "A", at)
			if codeOf(err) == refusal.TooLarge {
				continue // 16 of them are open
			}
			if err != nil || o.Opened == nil || o.Opened.Number != n {
				t.Fatalf("epoch %d: %+v, %v", n, o, err)
			}
			present, calendar = *o.Opened, o.Calendar
			if len(calendar.Earlier) > epoch.MaxEarlier {
				t.Fatalf("%d earlier epochs", len(calendar.Earlier))
			}
			for i, e := range calendar.Earlier {
				if e.Number != calendar.Latest-1-i || i > 0 && e.Ends > calendar.Earlier[i-1].Ends {
					t.Fatalf("the calendar is %+v", calendar)
				}
			}
			for n := 1; n <= calendar.Latest; n++ {
				_, open := calendar.Open(n, at)
				if open && ended[n] {
					t.Fatalf("epoch %d is open again", n)
				}
				ended[n] = !open
			}
		}
	})
}

func TestFoundingTakesAnEvaluator(t *testing.T) {
	if _, _, err := epoch.Found([]registry.Candidate{{MSP: "A"}}, 1); codeOf(err) != epoch.TooFew {
		t.Errorf("without any: %v", err)
	}
	e, c := founded(t, "B", "A")
	if !slices.Equal(e.MSPs(), []string{"A", "B"}) || e.Number != 1 || c.Latest != 1 || e.Evaluators[0].Key.From != 100 {
		t.Errorf("%+v, %+v", e, c)
	}
	if !e.Evaluates("A") || e.Evaluates("Z") {
		t.Error("Z evaluates, or A doesn't")
	}
}
