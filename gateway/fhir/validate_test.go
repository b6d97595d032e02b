package fhir

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheDefinitionsNameWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, doc, place, kind string }{
		{"an element that R4 hasn't", `{"resourceType":"Patient","nickname":"x"}`, "Patient.nickname", "structure"},
		{"a name in another case", `{"resourceType":"Patient","birthdate":"1990-01-01"}`, "Patient.birthdate", "structure"},
		{"an element within a type", `{"resourceType":"Patient","name":[{"family":"x","familyName":"y"}]}`, "Patient.name[0].familyName", "structure"},
		{"one where there are several", `{"resourceType":"Patient","name":{"family":"x"}}`, "Patient.name", "structure"},
		{"several where there is one", `{"resourceType":"Patient","birthDate":["1990-01-01"]}`, "Patient.birthDate", "structure"},
		{"an element that is missing", `{"resourceType":"Observation","code":{"text":"x"}}`, "Observation.status", "required"},
		{"one missing further in", `{"resourceType":"Bundle","type":"batch","entry":[{"request":{"url":"x"}}]}`, "Bundle.entry[0].request.method", "required"},
		{"a code that isn't of the value set", `{"resourceType":"Patient","gender":"m"}`, "Patient.gender", "code-invalid"},
		{"a number for a text", `{"resourceType":"Patient","birthDate":1990}`, "Patient.birthDate", "value"},
		{"a text for a boolean", `{"resourceType":"Patient","active":"true"}`, "Patient.active", "value"},
		{"a fraction for an integer", `{"resourceType":"Bundle","type":"searchset","total":1.5}`, "Bundle.total", "value"},
		{"30 February", `{"resourceType":"Patient","birthDate":"1990-02-30"}`, "Patient.birthDate", "value"},
		{"a dateTime without its zone", `{"resourceType":"Consent","status":"active","scope":{"text":"x"},"category":[{"text":"x"}],"dateTime":"2020-01-01T10:00:00"}`, "Consent.dateTime", "value"},
		{"two of a choice", `{"resourceType":"Patient","deceasedBoolean":true,"deceasedDateTime":"2020"}`, "Patient.deceasedDateTime", "structure"},
		{"a choice of a type that isn't one", `{"resourceType":"Patient","deceasedString":"x"}`, "Patient.deceasedString", "structure"},
		{"null", `{"resourceType":"Patient","active":null}`, "Patient.active", "structure"},
		{"null among others", `{"resourceType":"Patient","name":[{"given":["x",null]}]}`, "Patient.name[0].given[1]", "structure"},
		{"an empty object", `{"resourceType":"Patient","maritalStatus":{}}`, "Patient.maritalStatus", "structure"},
		{"an empty array", `{"resourceType":"Patient","name":[]}`, "Patient.name", "structure"},
		{"an empty text", `{"resourceType":"Patient","language":""}`, "Patient.language", "value"},
		{"what extends no primitive", `{"resourceType":"Patient","_name":[{"id":"x"}]}`, "Patient._name", "structure"},
		{"extensions of another number than the values", `{"resourceType":"Patient","name":[{"given":["x"],"_given":[null,{"id":"a"}]}]}`, "Patient.name[0].given", "structure"},
		{"an unknown resource", `{"resourceType":"Pateint"}`, "Patient.resourceType", "structure"},
		{"an unknown resource within", `{"resourceType":"Patient","contained":[{"resourceType":"X"}]}`, "Patient.contained[0].resourceType", "structure"},
		{"a type for a resource", `{"resourceType":"HumanName"}`, "Patient.resourceType", "structure"},
		{"fhir_comments", `{"resourceType":"Patient","fhir_comments":["x"]}`, "Patient.fhir_comments", "structure"},
		{"a deep copy of itself", `{"resourceType":"Questionnaire","status":"draft","item":[{"linkId":"1","type":"group","item":[{"linkId":"2","type":"nonsense"}]}]}`, "Questionnaire.item[0].item[0].type", "code-invalid"},
		{"base64 that isn't", `{"resourceType":"Binary","contentType":"text/plain","data":"§"}`, "Binary.data", "value"},
		{"a URI with a blank", `{"resourceType":"Patient","identifier":[{"system":"a b"}]}`, "Patient.identifier[0].system", "value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			kind, _, _ := strings.Cut(c.place, ".")
			e, err := parse([]byte(c.doc), kind)
			if err != nil {
				t.Fatal(err)
			}
			err = validate(e, kind)
			if err == nil {
				t.Fatal("it was found valid")
			}
			f := faultOf(err)
			if f.Expression != c.place || f.Type != c.kind || len(f.More) > 0 {
				t.Errorf("got %s (%s), want one %s at %s; %v", f, f.Type, c.kind, c.place, f.More)
			}
		})
	}
}

func TestTheDefinitionsLetWhatIsRightBe(t *testing.T) {
	for _, doc := range []string{
		`{"resourceType":"Patient","id":"a-1.b","active":true,"_birthDate":{"extension":[{"url":"http://x","valueCode":"unknown"}]},"name":[{"given":["x",null],"_given":[null,{"extension":[{"url":"u","valueString":"y"}]}]}],"multipleBirthInteger":2}`,
		`{"resourceType":"Bundle","type":"collection","entry":[{"fullUrl":"urn:uuid:1","resource":{"resourceType":"Binary","contentType":"text/plain","data":"aGk="}}]}`,
		`{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10,"unit":"mg"},"effectivePeriod":{"start":"2020-01"},"component":[{"code":{"text":"x"},"referenceRange":[{"text":"y"}]}]}`,
		`{"resourceType":"Parameters","parameter":[{"name":"a","valueDateTime":"2020-02-29T23:59:60+14:00"},{"name":"b","resource":{"resourceType":"Patient"}},{"name":"c","part":[{"name":"d","valueBoolean":false}]}]}`,
	} {
		e, err := parse([]byte(doc), "x")
		if err == nil {
			err = validate(e, "x")
		}
		if err != nil {
			t.Errorf("%v: %s", err, doc)
		}
	}
}

// synthea are the Bundles of Synthea's, where this machine has them: other people's
// software made them.
func synthea(t testing.TB) map[string][]byte {
	dir := os.Getenv("YITONG_SYNTHEA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data", "synthea")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if len(files) == 0 {
		t.Skip("there are no Bundles of Synthea's: set YITONG_SYNTHEA to a folder of them")
	}
	all := map[string][]byte{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = raw
	}
	return all
}

func TestWhatSyntheaMakesIsValid(t *testing.T) {
	for name, raw := range synthea(t) {
		e, err := parse(raw, "Bundle")
		if err == nil {
			err = validate(e, "Bundle")
		}
		if err != nil {
			f := faultOf(err)
			t.Errorf("%s: %v, and %d more", name, f, len(f.More))
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	for _, raw := range synthea(b) {
		b.SetBytes(int64(len(raw)))
		for b.Loop() {
			e, err := parse(raw, "Bundle")
			if err != nil {
				b.Fatal(err)
			}
			_ = validate(e, "Bundle")
		}
		return
	}
}
