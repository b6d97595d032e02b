package operations_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"yitong/cmd/yitong/client"
	"yitong/test/consortium"
	"yitong/test/patient"
)

var (
	expected = regexp.MustCompile(`(?m)^# expect (\d{3})$`)
	asked    = regexp.MustCompile(`(?m)^([A-Z]+) \{\{(\w+)\}\}(/\S*)$`)
)

// docs/yitong.http is run as it stands, but for the addresses.
func TestEveryRequestOfTheCollectionIsAnsweredAsItSays(t *testing.T) {
	c := consortium.Shared(t)
	collection, err := os.ReadFile(filepath.Join("..", "..", "docs", "yitong.http"))
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]string{"hospital": consortium.HospitalA, "insurer": consortium.Insurer, "regulator": consortium.Regulator}
	bundle := patient.Synthetic(t, 920).Bundle
	requests := strings.Split(string(collection), "\n### ")[1:]
	if len(requests) < 10 {
		t.Fatalf("%d requests", len(requests))
	}
	for _, request := range requests {
		name, text, _ := strings.Cut(request, "\n")
		t.Run(name, func(t *testing.T) {
			want, line := expected.FindStringSubmatch(text), asked.FindStringSubmatchIndex(text)
			if want == nil || line == nil {
				t.Fatalf("no request, or nothing expected:\n%s", text)
			}
			part := func(i int) string { return text[line[2*i]:line[2*i+1]] }
			base, https := httpsOf(t, c, members[part(2)])
			head, body, _ := strings.Cut(strings.TrimPrefix(text[line[1]:], "\n"), "\n\n")
			if strings.TrimSpace(body) == "< ./bundle.json" {
				body = string(bundle)
			}
			in, err := http.NewRequestWithContext(t.Context(), part(1), base+part(3), strings.NewReader(strings.TrimSpace(body)))
			if err != nil {
				t.Fatal(err)
			}
			for header := range strings.Lines(head) {
				if key, value, ok := strings.Cut(strings.TrimSpace(header), ": "); ok {
					in.Header.Set(key, value)
				}
			}
			out, err := https.Do(in)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Body.Close()
			doc, err := io.ReadAll(out.Body)
			if err != nil || strconv.Itoa(out.StatusCode) != want[1] {
				t.Errorf("%s, not %s: %.600s (%v)", out.Status, want[1], doc, err)
			}
		})
	}
	// The addresses are those of `yitong up` without flags.
	for name, member := range members {
		p, err := client.ReadProfile(c.Dir(), member)
		if err != nil || p.HTTP == "" || !strings.Contains(string(collection), "@"+name+" = https://127.0.0.1:70") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
