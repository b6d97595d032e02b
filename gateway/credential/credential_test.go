package credential_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"yitong/gateway/credential"
	"yitong/network/fabric/authority"
)

func pairs(t *testing.T, n int) (out []authority.Pair) {
	t.Helper()
	ca, err := authority.New("Org", "authority")
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		p, err := ca.TLS("gateway", authority.Gateway, "localhost")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestAReplacementCutOffAnywhereLeavesAWholePair(t *testing.T) {
	p := pairs(t, 2)
	steps := []func(f credential.Files) error{
		func(f credential.Files) error { return os.WriteFile(f.Key+".next", p[1].Key, 0o600) },
		func(f credential.Files) error { return os.WriteFile(f.Cert+".next", p[1].Cert, 0o644) },
		func(f credential.Files) error { return os.Rename(f.Key+".next", f.Key) },
		func(f credential.Files) error { return os.Rename(f.Cert+".next", f.Cert) },
	}
	for cut := range len(steps) + 1 {
		dir := t.TempDir()
		f := credential.Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
		if err := f.Replace(p[0].Cert, p[0].Key); err != nil {
			t.Fatal(err)
		}
		for _, step := range steps[:cut] {
			if err := step(f); err != nil {
				t.Fatal(err)
			}
		}
		want := p[0]
		if cut >= 3 {
			want = p[1]
		}
		if cert, key, err := f.Read(); err != nil || !bytes.Equal(cert, want.Cert) || !bytes.Equal(key, want.Key) {
			t.Errorf("cut off after step %d: %v", cut, err)
		}
		if cut >= 2 {
			want = p[1]
		}
		if err := f.Settle(); err != nil {
			t.Fatal(err)
		}
		if cert, key, err := f.Read(); err != nil || !bytes.Equal(cert, want.Cert) || !bytes.Equal(key, want.Key) {
			t.Errorf("cut off after step %d and settled: %v", cut, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*.next")); err != nil || len(left) > 0 {
			t.Errorf("cut off after step %d: %v is left", cut, left)
		}
	}
}

func TestWhatDoesNotBelongTogetherIsNotTaken(t *testing.T) {
	p := pairs(t, 2)
	dir := t.TempDir()
	f := credential.Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := f.Replace(p[0].Cert, p[1].Key); err == nil {
		t.Error("another's key was taken")
	}
	if _, _, err := f.Read(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestALivePairFollowsItsFilesAndOutlivesTheirLoss(t *testing.T) {
	p := pairs(t, 2)
	dir := t.TempDir()
	f := credential.Files{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	if err := f.Replace(p[0].Cert, p[0].Key); err != nil {
		t.Fatal(err)
	}
	live, err := credential.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	shows := func(want authority.Pair) {
		t.Helper()
		credential.LookAgain(live)
		got, err := live.Current()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := authority.ParseCert(want.Cert)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Certificate[0], cert.Raw) {
			t.Error("another certificate is shown")
		}
	}
	shows(p[0])
	if err := f.Replace(p[1].Cert, p[1].Key); err != nil {
		t.Fatal(err)
	}
	shows(p[1])
	if err := os.WriteFile(f.Key, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	shows(p[1])
	if err := os.Remove(f.Cert); err != nil {
		t.Fatal(err)
	}
	shows(p[1])
	if _, err := credential.Open(f); err == nil {
		t.Error("what isn't there was opened")
	}
}
