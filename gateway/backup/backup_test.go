package backup_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"yitong/gateway/backup"
	"yitong/gateway/keys"
	"yitong/gateway/vault"
)

// made is a backup of a small gateway, and who reads it.
func made(t testing.TB) ([]byte, *age.X25519Identity) {
	t.Helper()
	dir := t.TempDir()
	store, err := keys.Create(filepath.Join(dir, "keys.db"), []byte("a passphrase for tests"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Put("bucket", "name", []byte("value")); err != nil {
		t.Fatal(err)
	}
	parts := filepath.Join(dir, "vault")
	sealed, err := vault.OpenDir(parts)
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.Close()
	if err := os.WriteFile(filepath.Join(dir, "heights.jsonl"), []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	me, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = backup.Write(t.Context(), &out, backup.Source{
		Header: backup.Header{Member: "HospitalA", Channel: "health"}, Keys: store, Vault: sealed, Dir: parts, Scratch: dir,
		Databases: map[string]string{"outbox.db": filepath.Join(dir, "missing.db")}, Files: map[string]string{"heights.jsonl": filepath.Join(dir, "heights.jsonl")},
	}, me.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), me
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	doc, me := made(t)
	into := filepath.Join(t.TempDir(), "into")
	c, err := backup.Read(bytes.NewReader(doc), into, me)
	if err != nil || c.Header.Member != "HospitalA" || len(c.Digests.Files) != 3 {
		t.Fatalf("%+v, %v", c, err)
	}
	store, err := keys.Open(filepath.Join(into, "keys.db"), []byte("a passphrase for tests"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if value, err := store.Get("bucket", "name"); err != nil || string(value) != "value" {
		t.Errorf("%q, %v", value, err)
	}
}

// interrupted is a reader of a backup who looks at what lies in the scratch folder meanwhile.
type interrupted struct{ die func() }

func (w interrupted) Write(b []byte) (int, error) { w.die(); return len(b), nil }

// A backup that dies leaves a copy of the key store as it was, with the keys of what is erased
// after. It is gone when the gateway starts again; everything else in the folder stays.
func TestWhatADeadBackupLeftIsCleaned(t *testing.T) {
	dir := t.TempDir()
	store, err := keys.Create(filepath.Join(dir, "keys.db"), []byte("a passphrase for tests"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Put("bucket", "name", make([]byte, 300<<10)); err != nil { // more than is written at once
		t.Fatal(err)
	}
	sealed, err := vault.OpenDir(filepath.Join(dir, "vault"))
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.Close()
	me, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	left := func(in string) []string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(in, ".backup-*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	died := t.TempDir() // the state folder as a kill leaves it
	err = backup.Write(t.Context(), interrupted{func() {
		if len(left(dir)) > 0 {
			_ = os.CopyFS(died, os.DirFS(dir))
		}
	}}, backup.Source{Keys: store, Vault: sealed, Scratch: dir}, me.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if len(left(died)) == 0 {
		t.Fatal("nothing lay there while the backup was written: the test shows nothing")
	}
	if err := backup.Clean(died); err != nil {
		t.Fatal(err)
	}
	if found := left(died); len(found) != 0 {
		t.Errorf("%v is left", found)
	}
	if _, err := os.Stat(filepath.Join(died, "keys.db")); err != nil {
		t.Errorf("the key store itself: %v", err)
	}
	if err := backup.Clean(filepath.Join(dir, "none")); err != nil {
		t.Errorf("a folder that isn't there: %v", err)
	}
}

func TestADamagedBackupIsRefused(t *testing.T) {
	doc, me := made(t)
	for at := 0; at < len(doc); at += 1 + len(doc)/97 {
		flipped := bytes.Clone(doc)
		flipped[at] ^= 0x10
		if _, err := backup.Read(bytes.NewReader(flipped), "", me); err == nil {
			t.Errorf("with byte %d of %d flipped it is read", at, len(doc))
		}
		if _, err := backup.Read(bytes.NewReader(doc[:at]), "", me); err == nil {
			t.Errorf("cut off at %d of %d it is read", at, len(doc))
		}
	}
}

// Whoever knows a recipient can write an archive: it gets no file outside its folder.
func TestAHostileArchiveGetsNowhere(t *testing.T) {
	me, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	part := "vault/" + strings.Repeat("ab", 32)
	for name, headers := range map[string][]tar.Header{
		"a path that leads out":    {{Name: "../evil"}},
		"a part that leads out":    {{Name: "vault/../../evil"}},
		"an absolute path":         {{Name: "/tmp/evil"}},
		"a name of its own":        {{Name: "evil"}},
		"a link":                   {{Name: "keys.db", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}},
		"a folder":                 {{Name: part, Typeflag: tar.TypeDir}},
		"a device":                 {{Name: "keys.db", Typeflag: tar.TypeChar}},
		"the same twice":           {{Name: part}, {Name: part}},
		"a part in capitals":       {{Name: strings.ToUpper(part)}},
		"nothing but what is fine": {{Name: part}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			sealed, err := age.Encrypt(&out, me.Recipient())
			if err != nil {
				t.Fatal(err)
			}
			w := tar.NewWriter(sealed)
			for _, h := range headers {
				if err := w.WriteHeader(&h); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(w.Close(), sealed.Close()); err != nil {
				t.Fatal(err)
			}
			outer := t.TempDir()
			if _, err := backup.Read(&out, filepath.Join(outer, "into"), me); !errors.Is(err, backup.ErrDamaged) {
				t.Errorf("got %v", err)
			}
			_ = filepath.WalkDir(outer, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() && !strings.HasSuffix(path, filepath.Join("into", "vault", "ab", strings.Repeat("ab", 32))) {
					t.Errorf("there is %s", path)
				}
				return err
			})
		})
	}
}

func FuzzRead(f *testing.F) {
	doc, me := made(f)
	f.Add(doc)
	f.Add(doc[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		if !bytes.Equal(b, doc) {
			if _, err := backup.Read(bytes.NewReader(b), "", me); err == nil {
				t.Error("another file than was written is read")
			}
		}
	})
}
