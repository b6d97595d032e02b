package screen_test

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func TestADocumentIsOneLineWithEveryFieldAndNoStraySpace(t *testing.T) {
	var out bytes.Buffer
	s := screen.New(&out, &bytes.Buffer{}, false)
	if err := s.Document(&yitongv1.Commit{TransactionId: "ab"}); err != nil {
		t.Fatal(err)
	}
	if got, want := out.String(), `{"transactionId":"ab","block":"0"}`+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatComesFromElsewhereCantMoveTheCursorOrAColumn(t *testing.T) {
	var out bytes.Buffer
	s := screen.New(&out, &bytes.Buffer{}, false)
	if err := s.Table([]string{"A", "B"}, [][]string{{"x\x1b[2J\ty\nz\u009b", "医通"}}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.ContainsAny(got, "\x1b\t\u009b") || strings.Count(got, "\n") != 2 {
		t.Errorf("got %q", got)
	}
	out.Reset()
	show := s.Events()
	if err := show(&yitongv1.Event{Summary: "a\x1b]0;title\x07", Member: "m\nn", Validation: "VALID"}); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.ContainsAny(got, "\x1b\x07") || strings.Count(got, "\n") != 2 {
		t.Errorf("got %q", got)
	}
}

func TestNoColourAndNoProgressWhereNoTerminalIs(t *testing.T) {
	var out, errs bytes.Buffer
	s := screen.New(&out, &errs, false)
	if s.Strong("x")+s.Mark(true) != "x✓" {
		t.Error("coloured")
	}
	p := s.Progress("sealing", 1<<30)
	if _, err := p.Write(make([]byte, 64<<20)); err != nil {
		t.Fatal(err)
	}
	p.Close()
	if errs.Len() > 0 {
		t.Errorf("said %q", errs.String())
	}
}

func TestATransactionWithoutEffectIsTold(t *testing.T) {
	var out bytes.Buffer
	if err := screen.New(&out, &bytes.Buffer{}, false).Events()(&yitongv1.Event{Validation: "MVCC_READ_CONFLICT", Summary: "asked"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "[MVCC_READ_CONFLICT, without effect] asked") {
		t.Errorf("got %q", out.String())
	}
}

func TestSizesAndPeriodsReadWell(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 5 << 30: "5.0 GiB"} {
		if got := screen.Bytes(n); got != want {
			t.Errorf("%d bytes: %q, want %q", n, got, want)
		}
	}
	day := timestamppb.New(timestamppb.Now().AsTime().Truncate(24 * 3600e9))
	for want, p := range map[string]*yitongv1.Period{
		"any time":                               nil,
		".." + day.AsTime().Format("2006-01-02"): {End: day},
		day.AsTime().Format("2006-01-02") + "..": {Start: day},
	} {
		if got := screen.Span(p); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
