package fhir

import (
	"strconv"
	"strings"
	"testing"
)

func TestTheDecoderRefusesWhatParsersReadDifferently(t *testing.T) {
	for _, c := range []struct{ name, doc, place string }{
		{"a name twice", `{"resourceType":"Patient","gender":"male","gender":"female"}`, "Patient"},
		{"a name twice, once escaped", `{"a":1,"\u0061":2}`, "Patient"},
		{"something after the end", `{"resourceType":"Patient"} {}`, "Patient"},
		{"a comma after the end", `{"resourceType":"Patient"},`, "Patient"},
		{"NaN", `{"a":{"b":NaN}}`, "Patient.a.b"},
		{"Infinity", `{"a":-Infinity}`, "Patient.a"},
		{"a number out of range", `{"a":[1,1e400]}`, "Patient.a[1]"},
		{"a number with a leading zero", `{"a":01}`, "Patient"},
		{"half a surrogate pair", `{"a":["\ud800"]}`, "Patient.a[0]"},
		{"half a surrogate pair in a name", `{"\udc00":1}`, "Patient"},
		{"bytes that are no UTF-8", "{\"a\":\"\xff\"}", "Patient.a"},
		{"a raw control character", "{\"a\":\"\x01\"}", "Patient.a"},
		{"deep nesting", strings.Repeat(`[`, 65) + strings.Repeat(`]`, 65), "Patient"},
		{"very deep nesting", strings.Repeat(`{"a":`, 100_000), "Patient.a"},
		{"a comment", `{"a":1 /* b */}`, "Patient"},
		{"a comma too many", `{"a":[1,]}`, "Patient.a"},
		{"single quotes", `{'a':1}`, "Patient"},
		{"nothing", ``, "Patient"},
		{"half of it", `{"a":{"b":"c"`, "Patient.a"},
		{"a byte order mark", "\xef\xbb\xbf{}", "Patient"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parse([]byte(c.doc), "Patient")
			if err == nil {
				t.Fatal("it was read")
			}
			f := faultOf(err)
			if f.Status != 400 || !strings.HasPrefix(f.Expression, c.place) {
				t.Errorf("got %d at %q (%s), want 400 at %q", f.Status, f.Expression, f.Message, c.place)
			}
			if strings.Contains(f.Message, "female") {
				t.Error("the fault quotes a value")
			}
		})
	}
}

// A fault tells where, counted from the beginning of what was received, and which name.
func TestTheDecoderTellsTheByteAndTheName(t *testing.T) {
	const good = `{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient"}},`
	for _, c := range []struct{ doc, want string }{
		{good + `{"resource":{"resourceType":"Patient",}}]}`, "at byte " + strconv.Itoa(len(good+`{"resource":{"resourceType":"Patient"`))}, // the comma
		{`{"resourceType":"Bundle", "type": nil}`, "at byte " + strconv.Itoa(len(`{"resourceType":"Bundle", "type": n`))},
		{good + `{"resource":{"resourceType":"Patient","gender":"male","gender":"female"}}]}`, "one name twice: gender"},
		{`{"resourceType":"Bundle","type":"collection","type":"batch"}`, "one name twice: type"},
	} {
		_, err := readReceived([]byte(c.doc))
		if f := faultOf(err); !strings.HasSuffix(f.Message, c.want) {
			t.Errorf("%s\nis told as %q, want %q", c.doc, f.Message, c.want)
		}
	}
}

// What is read takes many times the bytes that were sent, so their number isn't enough of a bound.
func TestTheDecoderBoundsValues(t *testing.T) {
	of := func(values int) []byte { // the array is one itself
		return []byte("[" + strings.Repeat("0,", values-2) + "0]")
	}
	e, err := parse(of(maxDocument), "Patient")
	if err != nil {
		t.Fatalf("as many as may be: %v", err)
	}
	if e.size() != maxDocument {
		t.Errorf("they are %d", e.size())
	}
	_, err = parse(of(maxDocument+1), "Patient")
	if err == nil {
		t.Fatal("one more was read")
	}
	if f := faultOf(err); f.Type != "too-costly" || f.Expression != "Patient" {
		t.Errorf("one more: %+v", f)
	}
}

func TestTheDecoderKeepsTheBytes(t *testing.T) {
	doc := ` { "resourceType" : "Patient" , "_birthDate":{"extension":[ {"url":"x"} ]}, "a":[1.10, true,null, "\u00e9\/"] } `
	e, err := parse([]byte(doc), "Patient")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		string(e.raw):                                    strings.TrimSpace(doc),
		string(e.get("_birthDate").raw):                  `{"extension":[ {"url":"x"} ]}`,
		string(e.at("a", 0).raw):                         `1.10`,
		string(e.at("a", 3).raw):                         `"\u00e9\/"`,
		e.at("a", 3).text():                              "é/",
		e.at("_birthDate", "extension", 0, "url").text(): "x",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if len(e.at("a").items) != 4 || e.at("a", 9) != nil || e.at("b", "c") != nil {
		t.Error("the tree isn't the document's")
	}
}
