package leak

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// textForms are the forms that only a text has; none for other bytes.
func textForms(value []byte) map[string][]byte {
	text := string(value)
	if !utf8.Valid(value) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil
	}
	once := inJSON(text)
	forms := map[string][]byte{
		"lower case": []byte(strings.ToLower(text)), "UPPER CASE": []byte(strings.ToUpper(text)),
		"in JSON": []byte(once), "in JSON in JSON": []byte(inJSON(once)), "in JSON, each character escaped": []byte(escaped(text)),
		"in a query": []byte(url.QueryEscape(text)), "in a path": []byte(url.PathEscape(text)),
		"each byte percent-encoded": percent(value, "%%%02X"), "each byte percent-encoded, small": percent(value, "%%%02x"),
		"UTF-16LE": wide(text, binary.LittleEndian), "UTF-16BE": wide(text, binary.BigEndian),
	}
	for form, b := range forms {
		if bytes.Equal(b, value) {
			delete(forms, form)
		}
	}
	return forms
}

// inJSON is a text between the quotes of a JSON string, as encoding/json writes it.
func inJSON(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return string(quoted[1 : len(quoted)-1])
}

func escaped(text string) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		fmt.Fprintf(&b, `\u%04x`, unit)
	}
	return b.String()
}

func percent(value []byte, format string) (out []byte) {
	for _, b := range value {
		out = fmt.Appendf(out, format, b)
	}
	return out
}

func wide(text string, order binary.AppendByteOrder) (out []byte) {
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return out
}
