package leak_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"yitong/test/leak"
)

// A scanner that finds nothing proves something only if it would have found it.
func TestAPlantedSecretIsFoundInEachForm(t *testing.T) {
	secret := []byte("Zhao Qiuyue?>~")
	digest := sha256.Sum256(secret)
	forms := map[string]string{
		"as it is": string(secret),
		"hex":      hex.EncodeToString(secret), "HEX": strings.ToUpper(hex.EncodeToString(secret)),
		"its digest": string(digest[:]), "its digest in hex": hex.EncodeToString(digest[:]),
		"its digest in base64": base64.StdEncoding.EncodeToString(digest[:]),
	}
	for name, form := range map[string]string{
		"lower case": "zhao qiuyue?>~", "upper case": "ZHAO QIUYUE?>~",
		"in JSON": `Zhao Qiuyue?\u003e~`, "in JSON in JSON": `Zhao Qiuyue?\\u003e~`,
		"in a query": "Zhao+Qiuyue%3F%3E~", "in a path": "Zhao%20Qiuyue%3F%3E~",
		"percent-encoded": "%5A%68%61%6F%20%51%69%75%79%75%65%3F%3E%7E",
		"UTF-16LE":        "Z\x00h\x00a\x00o\x00 \x00Q\x00i\x00u\x00y\x00u\x00e\x00?\x00>\x00~\x00",
		"UTF-16BE":        "\x00Z\x00h\x00a\x00o\x00 \x00Q\x00i\x00u\x00y\x00u\x00e\x00?\x00>\x00~",
		"JSON's escapes":  `\u005a\u0068\u0061\u006f\u0020\u0051\u0069\u0075\u0079\u0075\u0065\u003f\u003e\u007e`,
	} {
		forms[name] = form
	}
	for offset := range 6 {
		around := strings.Repeat("x", offset) + string(secret) + "yy"
		forms[fmt.Sprintf("base64 after %d bytes", offset)] = base64.StdEncoding.EncodeToString([]byte(around))
		forms[fmt.Sprintf("base64url after %d bytes", offset)] = base64.RawURLEncoding.EncodeToString([]byte(around))
	}
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "blockfile_000000"), []byte("some bytes "+form+" and more"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := leak.New(leak.Secret{Name: "the name", Value: secret})
			found, files, err := s.Tree(dir, func(string) bool { return true })
			if err != nil || files != 1 || len(found) == 0 {
				t.Errorf("found %v in %d files, error %v", found, files, err)
			}
			other := leak.New(leak.Secret{Name: "another name", Value: []byte("Zhao Qiuyan?>~")})
			if found, _, _ := other.Tree(dir, func(string) bool { return true }); len(found) != 0 {
				t.Errorf("found what isn't there: %v", found)
			}
		})
	}
}

func TestANamedFileIsFoundByItsName(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Zhao-Qiuyue.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	found, _, err := leak.New(leak.Secret{Name: "the name", Value: []byte("zhao-qiuyue")}, leak.Secret{Name: "as it is", Value: []byte("Qiuyue")}).Tree(dir, func(string) bool { return true })
	if err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
}
