package wallet_test

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/chaincode/directive"
	"yitong/cmd/yitong/wallet"
)

func init() { wallet.WorkFactor = 8 }

func TestAWalletIsWhatItsWordsAre(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "wallet.age")
	entropy, err := wallet.NewEntropy(24)
	if err != nil {
		t.Fatal(err)
	}
	w, err := wallet.Create(path, "correct horse", entropy)
	if err != nil {
		t.Fatal(err)
	}
	r := w.Relationship("HospitalA", "Insurer", "")
	r.Handle, r.Channel = "1-ab", "records"
	r.Note(wallet.Consent{ID: "c1", Version: 1, Status: "active"})
	r.Note(wallet.Consent{ID: "c1", Version: 2, Status: "withdrawn"})
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}

	if _, err := wallet.Create(path, "another", entropy); !errors.Is(err, wallet.ErrExists) {
		t.Errorf("made over another: %v", err)
	}
	if _, err := wallet.Open(path, "wrong"); !errors.Is(err, wallet.ErrPassphrase) {
		t.Errorf("opened with a wrong passphrase: %v", err)
	}
	if _, err := wallet.Open(path+"x", "wrong"); !errors.Is(err, wallet.ErrNoWallet) {
		t.Errorf("opened what isn't there: %v", err)
	}
	again, err := wallet.Open(path, "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.Relationships, again.Relationships); diff != "" {
		t.Error(diff)
	}
	if of, c := again.Of("c1"); of == nil || c.Version != 2 || of.Handle != "1-ab" {
		t.Errorf("remembered %+v, %+v", of, c)
	}
	if of, _ := again.Of("c2"); of != nil {
		t.Errorf("remembers what it never saw: %+v", of)
	}

	phrase, err := again.Phrase()
	if err != nil {
		t.Fatal(err)
	}
	back, err := wallet.EntropyOf("  " + strings.ToUpper(strings.ReplaceAll(phrase, " ", "\n ")))
	if err != nil {
		t.Fatal(err)
	}
	restored, err := wallet.Create(filepath.Join(t.TempDir(), "w"), "x", back)
	if err != nil {
		t.Fatal(err)
	}
	for generation := range 3 {
		a, errA := w.Signer("HospitalA", "Insurer", "", generation)
		b, errB := restored.Signer("HospitalA", "Insurer", "", generation)
		if errA != nil || errB != nil || !a.Public().Equal(b.Public()) {
			t.Errorf("the restored wallet has another key: %v %v", errA, errB)
		}
		if g, ok, err := restored.Find("HospitalA", "Insurer", "", a.Public().ID()); g != generation || !ok || err != nil {
			t.Errorf("found generation %d, %v, %v", g, ok, err)
		}
	}
	if _, ok, err := restored.Find("HospitalA", "HospitalB", "", signer(t, w, "HospitalA", "Insurer", "").ID()); ok || err != nil {
		t.Error("found a key of another relationship")
	}
}

func signer(t *testing.T, w *wallet.Wallet, custodian, requester, label string) directive.Key {
	t.Helper()
	s, err := w.Signer(custodian, requester, label, 0)
	if err != nil {
		t.Fatal(err)
	}
	return s.Public()
}

func TestTheFileShowsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w")
	entropy, err := wallet.NewEntropy(12)
	if err != nil {
		t.Fatal(err)
	}
	w, err := wallet.Create(path, "correct horse", entropy)
	if err != nil {
		t.Fatal(err)
	}
	w.Relationship("HospitalA", "Insurer", "").Handle = "1-abcdef"
	if err := w.Save(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{string(entropy), "HospitalA", "1-abcdef", "correct horse"} {
		if strings.Contains(string(raw), secret) {
			t.Errorf("the file holds %q", secret)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestEachRelationshipHasAKeyOfItsOwn(t *testing.T) {
	entropy, err := wallet.NewEntropy(24)
	if err != nil {
		t.Fatal(err)
	}
	w, err := wallet.Create(filepath.Join(t.TempDir(), "w"), "x", entropy)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, of := range [][3]string{{"A", "B", ""}, {"A", "C", ""}, {"B", "A", ""}, {"AB", "", ""}, {"", "AB", ""}, {"A", "B", "child"}, {"A", "", "B"}} {
		id := signer(t, w, of[0], of[1], of[2]).ID()
		if before, ok := seen[id]; ok {
			t.Errorf("%v has the key of %s", of, before)
		}
		seen[id] = strings.Join(of[:], "|")
	}
}

// BIP-39's own vector: the words of sixteen zero bytes; and the keys that follow from them are a
// format, which must not change under people's feet.
func TestTheDerivationStaysAsItIs(t *testing.T) {
	const words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
	entropy, err := wallet.EntropyOf(words)
	if err != nil || hex.EncodeToString(entropy) != strings.Repeat("00", 16) {
		t.Fatalf("%x, %v", entropy, err)
	}
	w, err := wallet.Create(filepath.Join(t.TempDir(), "w"), "x", entropy)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := signer(t, w, "HospitalA", "Insurer", "").ID(), "2d1264e8456809ee1c55bf2415c14f9e"; got != want {
		t.Errorf("the key is %s, want %s", got, want)
	}
	for _, bad := range []string{"", "abandon", strings.Replace(words, "about", "abandon", 1), strings.Replace(words, "abandon", "wang", 1), words + " " + words + " x"} {
		if _, err := wallet.EntropyOf(bad); !errors.Is(err, wallet.ErrPhrase) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
