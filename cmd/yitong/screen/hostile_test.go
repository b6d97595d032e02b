package screen_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"yitong/cmd/yitong/screen"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

// A25: what a gateway, or the ledger, put into any text never reaches a terminal as
// anything else than text.
func TestNothingFromElsewhereReachesTheTerminalAsMoreThanText(t *testing.T) {
	for name, hostile := range map[string]string{
		"clears the screen": "a\x1b[2Jb", "sets the title": "a\x1b]0;owned\x07b", "asks the terminal to type": "a\x1b[6nb", "an 8-bit control": "a\u009b2Jb",
		"a bell and a backspace": "a\x07\x08b", "delete": "a\x7fb", "overwrites the line": "a\rb", "a column": "a\tb", "turned around": "a\u202eb", "isolated": "a\u2066b",
		"a line separator": "a\u2028b", "nothing to be seen": "a\u200bb", "a hyperlink": "a\x1b]8;;http://evil.example\x1b\\b",
	} {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			s := screen.New(&out, &errs, false)
			if err := s.Table([]string{"A"}, [][]string{{hostile}}); err != nil {
				t.Fatal(err)
			}
			s.Say("yitong: %v", hostile)
			if err := s.Document(&yitongv1.Commit{TransactionId: hostile}); err != nil {
				t.Fatal(err)
			}
			if err := s.Object(map[string]string{"text": hostile}); err != nil {
				t.Fatal(err)
			}
			for stream, text := range map[string]string{"standard output": out.String(), "standard error": errs.String()} {
				if strings.ContainsAny(text, "\x1b\x07\x08\x7f\r\t\u009b\u202e\u2066\u2028\u200b") || !strings.Contains(text, "a") {
					t.Errorf("%s: %q", stream, text)
				}
			}
			// A program gets the very text.
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			var object struct{ Text string }
			if err := json.Unmarshal([]byte(lines[len(lines)-1]), &object); err != nil || object.Text != hostile {
				t.Errorf("a program reads %q, %v", object.Text, err)
			}
		})
	}
	t.Run("control: what people write passes", func(t *testing.T) {
		var out, errs bytes.Buffer
		s := screen.New(&out, &errs, false)
		s.Say("first: %s\n  next: %s", "医通 é", "do it")
		if got, want := errs.String(), "first: 医通 é\n  next: do it\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
