// Package screen is how the command speaks: documents and tables on standard
// output, and everything that is said along the way on standard error.
//
// There are two audiences. A person gets tables and sentences, with colour only
// where it reaches a terminal and NO_COLOR (no-color.org) is unset. A program
// asked with --json and gets one JSON document per line, which is the message
// of the gateway's API in protobuf's JSON form, every field present.
package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Screen is where one invocation of the command writes.
type Screen struct {
	Out, Err io.Writer
	JSON     bool // documents for programs instead of tables for people

	colourOut, colourErr bool
	terminalErr          bool
}

// New looks at what the two outputs are; noColour is NO_COLOR being set.
func New(out, err io.Writer, noColour bool) *Screen {
	s := &Screen{Out: out, Err: err, terminalErr: terminal(err)}
	s.colourOut = terminal(out) && !noColour
	s.colourErr = s.terminalErr && !noColour
	return s
}

func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

var documents = protojson.MarshalOptions{EmitDefaultValues: true}

// Document writes a message of the API as one line of JSON.
func (s *Screen) Document(m proto.Message) error {
	doc, err := documents.Marshal(m)
	if err != nil {
		return fmt.Errorf("encoding the answer: %w", err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, doc); err != nil { // protojson varies its spaces on purpose
		return fmt.Errorf("encoding the answer: %w", err)
	}
	_, err = s.Out.Write(append(escaped(line.Bytes()), '\n'))
	return err
}

// Object writes any value as one line of JSON.
func (s *Screen) Object(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = s.Out.Write(append(escaped(line), '\n'))
	return err
}

// escaped is a JSON document in which what could move the cursor, or hide something, is
// written as \uXXXX. encoding/json does so below U+0020 only.
func escaped(doc []byte) []byte {
	out := make([]byte, 0, len(doc)+1)
	for _, r := range string(doc) {
		if unseen(r) {
			out = fmt.Appendf(out, "\\u%04x", r)
		} else {
			out = utf8.AppendRune(out, r)
		}
	}
	return out
}

// Table writes rows under a header, columns aligned.
func (s *Screen) Table(header []string, rows [][]string) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	line := func(cells []string, paint func(string) string) {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, paint(clean(cell)))
		}
		fmt.Fprint(w, "\n")
	}
	line(header, s.heading)
	for _, row := range rows {
		line(row, s.paint)
	}
	return w.Flush()
}

// Say writes one line for the person who waits, on standard error. What a gateway answered
// may be in it, so it is cleaned line by line.
func (s *Screen) Say(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...) + "\n") {
		fmt.Fprintln(s.Err, clean(strings.TrimSuffix(line, "\n")))
	}
}

// Colours of words that decide. Every cell of a coloured table is wrapped in the
// same number of invisible bytes, or the columns would not align.
const (
	plain, bold, green, red, yellow = "\x1b[39m", "\x1b[01m", "\x1b[32m", "\x1b[31m", "\x1b[33m"
	reset                           = "\x1b[0m"
)

var colours = map[string]string{
	"permit": green, "deny": red, "active": green, "anchored": green, "opened": green, "VALID": green, "verified": green,
	"suspended": red, "withdrawn": yellow, "retracted": yellow, "superseded": yellow, "failed": red,
}

func (s *Screen) heading(cell string) string {
	if !s.colourOut {
		return cell
	}
	return bold + cell + reset
}

func (s *Screen) paint(cell string) string {
	if !s.colourOut {
		return cell
	}
	colour, ok := colours[cell]
	if !ok {
		colour = plain
	}
	return colour + cell + reset
}

// clean keeps what came from elsewhere from moving the cursor or a column, and from
// showing a text in another order than it has.
func clean(cell string) string {
	return strings.Map(func(r rune) rune {
		if unseen(r) {
			return ' '
		}
		return r
	}, cell)
}

// unseen reports the runes that do something in a terminal instead of being seen: control
// characters of both sets, line and paragraph separators, and what turns the writing's
// direction (UTR 36, section 2.4; CVE-2021-42574).
func unseen(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x061c || r == 0xfeff ||
		r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x2069
}

// Strong, Faint and Mark dress words of a sentence on standard output.
func (s *Screen) Strong(text string) string { return s.dress("\x1b[1m", text) }

// Faint is for what may be skipped.
func (s *Screen) Faint(text string) string { return s.dress("\x1b[2m", text) }

// Mark is a tick or a cross.
func (s *Screen) Mark(ok bool) string {
	if ok {
		return s.dress(green, "✓")
	}
	return s.dress(red, "✗")
}

func (s *Screen) dress(code, text string) string {
	if !s.colourOut {
		return text
	}
	return code + text + reset
}

// Clean is text from elsewhere without what could move the cursor or hide something.
func Clean(text string) string { return clean(text) }
