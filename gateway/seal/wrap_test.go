package seal_test

import (
	"bytes"
	gohpke "crypto/hpke"
	"crypto/sha3"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/cloudflare/circl/hpke"
	"github.com/cloudflare/circl/kem/xwing"
	"github.com/google/go-cmp/cmp"

	"yitong/gateway/seal"
)

var scene = seal.Context{
	Permit: "aa00000000000000000000000000000a", Release: "bb00", Record: "cc0000000000000000000000000000cc",
	Part: 2, Custodian: "HospitalAMSP", Requester: "InsurerMSP", Expires: 1795000000,
}

func pair(t testing.TB) seal.PrivateKey {
	t.Helper()
	k, err := seal.GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAWrappedKeyOpensInItsContextOnly(t *testing.T) {
	priv, key := pair(t), seal.NewKey()
	w, err := seal.Wrap(priv.Public(), scene, key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.Unwrap(priv, scene, w); err != nil || got != key {
		t.Fatalf("its own context: %v", err)
	}
	moved := map[string]func(*seal.Context){
		"another permit":                func(c *seal.Context) { c.Permit = "aa00000000000000000000000000000b" },
		"another release":               func(c *seal.Context) { c.Release = "bb01" },
		"another record":                func(c *seal.Context) { c.Record = "cc0000000000000000000000000000cd" },
		"another part":                  func(c *seal.Context) { c.Part++ },
		"another custodian":             func(c *seal.Context) { c.Custodian = "HospitalBMSP" },
		"another requester":             func(c *seal.Context) { c.Requester = "RegulatorMSP" },
		"another expiry":                func(c *seal.Context) { c.Expires++ },
		"a byte moved to the neighbour": func(c *seal.Context) { c.Permit, c.Release = c.Permit+"b", "b00" },
		"members exchanged":             func(c *seal.Context) { c.Custodian, c.Requester = c.Requester, c.Custodian },
	}
	for name, move := range moved {
		c := scene
		move(&c)
		if _, err := seal.Unwrap(priv, c, w); !errors.Is(err, seal.ErrUnwrap) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAChangedWrappedKeyDoesNotOpen(t *testing.T) {
	priv := pair(t)
	w, err := seal.Wrap(priv.Public(), scene, seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int{0, 500, 1087, 1088, 1119} {
		bad := w
		bad.Enc = bytes.Clone(w.Enc)
		bad.Enc[at] ^= 1
		if _, err := seal.Unwrap(priv, scene, bad); !errors.Is(err, seal.ErrUnwrap) {
			t.Errorf("bit of enc byte %d: %v", at, err)
		}
	}
	for at := range w.Ciphertext {
		bad := w
		bad.Ciphertext = bytes.Clone(w.Ciphertext)
		bad.Ciphertext[at] ^= 0x80
		if _, err := seal.Unwrap(priv, scene, bad); !errors.Is(err, seal.ErrUnwrap) {
			t.Errorf("bit of ciphertext byte %d: %v", at, err)
		}
	}
	for _, n := range []int{0, 1119} {
		bad := w
		bad.Enc = w.Enc[:n]
		if _, err := seal.Unwrap(priv, scene, bad); !errors.Is(err, seal.ErrUnwrap) {
			t.Errorf("enc of %d bytes: %v", n, err)
		}
	}
	other := pair(t)
	if _, err := seal.Unwrap(other, scene, w); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("another private key: %v", err)
	}
	w.Key = other.Public().ID() // relabelled, it still doesn't open
	if _, err := seal.Unwrap(other, scene, w); !errors.Is(err, seal.ErrUnwrap) {
		t.Errorf("another private key, relabelled: %v", err)
	}
}

func TestKeysSurviveTheirEncoding(t *testing.T) {
	priv := pair(t)
	again, err := seal.ParsePrivateKey(priv.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	pub, err := seal.ParsePublicKey(priv.Public().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if again.Public().ID() != pub.ID() || len(pub.ID()) != 32 || len(pub.Bytes()) != seal.PublicKeySize {
		t.Error("the key changed on its way")
	}
	w, err := seal.Wrap(pub, scene, seal.Key{1})
	if err != nil {
		t.Fatal(err)
	}
	var back seal.Wrapped
	doc, _ := json.Marshal(w)
	if err := json.Unmarshal(doc, &back); err != nil || !cmp.Equal(w, back) {
		t.Error("the wrapped key changed in JSON", err)
	}
	if got, err := seal.Unwrap(again, scene, back); err != nil || got != (seal.Key{1}) {
		t.Error(err)
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := seal.ParsePrivateKey(make([]byte, n)); err == nil {
			t.Errorf("private key of %d bytes", n)
		}
	}
	for _, n := range []int{0, 1215, 1217} {
		if _, err := seal.ParsePublicKey(make([]byte, n)); err == nil {
			t.Errorf("public key of %d bytes", n)
		}
	}
	if _, err := seal.ParsePublicKey(bytes.Repeat([]byte{0xff}, seal.PublicKeySize)); err == nil {
		t.Error("a public key whose coefficients are out of range was taken")
	}
}

// info is the context's encoding as this test, not the package, writes it.
func info(c seal.Context) []byte {
	var b []byte
	text := func(s string) { b = append(append(b, 0, 0, byte(len(s)>>8), byte(len(s))), s...) }
	number := func(n int64) { b = fmt.Appendf(b, "%s", mustHex(fmt.Sprintf("%016x", n))) }
	text("yitong wrapped part key v1")
	text(c.Permit)
	text(c.Release)
	text(c.Record)
	number(int64(c.Part))
	text(c.Custodian)
	text(c.Requester)
	number(int64(c.Expires))
	return b
}

func TestGoOpensWhatWeWrapAndTheOtherWayRound(t *testing.T) {
	priv, key := pair(t), seal.NewKey()
	kem, kdf, aead := gohpke.MLKEM768X25519(), gohpke.HKDFSHA256(), gohpke.AES256GCM()

	w, err := seal.Wrap(priv.Public(), scene, key)
	if err != nil {
		t.Fatal(err)
	}
	goPriv, err := kem.NewPrivateKey(priv.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(goPriv.PublicKey().Bytes(), priv.Public().Bytes()) {
		t.Error("Go derives another public key")
	}
	got, err := gohpke.Open(goPriv, kdf, aead, info(scene), append(bytes.Clone(w.Enc), w.Ciphertext...))
	if err != nil || !bytes.Equal(got, key[:]) {
		t.Errorf("Go doesn't open what we wrapped: %v", err)
	}

	goPub, err := kem.NewPublicKey(priv.Public().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	ct, err := gohpke.Seal(goPub, kdf, aead, info(scene), key[:])
	if err != nil {
		t.Fatal(err)
	}
	back, err := seal.Unwrap(priv, scene, seal.Wrapped{Key: priv.Public().ID(), Enc: ct[:1120], Ciphertext: ct[1120:]})
	if err != nil || back != key {
		t.Errorf("we don't open what Go wrapped: %v", err)
	}
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// TestHPKEKnownAnswers holds circl to the vectors of RFC 9180 and, for X-Wing, of
// draft-ietf-hpke-pq (testdata/hpke.json names the source of each).
func TestHPKEKnownAnswers(t *testing.T) {
	doc, err := os.ReadFile("testdata/hpke.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Source                string
		KEM                   hpke.KEM  `json:"kem_id"`
		KDF                   hpke.KDF  `json:"kdf_id"`
		AEAD                  hpke.AEAD `json:"aead_id"`
		Info, IkmE, IkmR, Enc string
		SkRm, PkRm            string
		Encryptions           []struct{ Aad, Ct, Pt string }
		Exports               []struct {
			Context string `json:"exporter_context"`
			L       uint
			Value   string `json:"exported_value"`
		}
	}
	if err := json.Unmarshal(doc, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		t.Run(v.Source, func(t *testing.T) {
			scheme := v.KEM.Scheme()
			sk, err := scheme.UnmarshalBinaryPrivateKey(mustHex(v.SkRm))
			if err != nil {
				t.Fatal(err)
			}
			pk, err := scheme.UnmarshalBinaryPublicKey(mustHex(v.PkRm))
			if err != nil {
				t.Fatal(err)
			}
			if !sk.Public().Equal(pk) {
				t.Error("public key")
			}
			suite := hpke.NewSuite(v.KEM, v.KDF, v.AEAD)
			sender, err := suite.NewSender(pk, mustHex(v.Info))
			if err != nil {
				t.Fatal(err)
			}
			enc, sealer, err := sender.Setup(bytes.NewReader(mustHex(v.IkmE)))
			if err != nil || !bytes.Equal(enc, mustHex(v.Enc)) {
				t.Fatalf("enc: %v", err)
			}
			receiver, err := suite.NewReceiver(sk, mustHex(v.Info))
			if err != nil {
				t.Fatal(err)
			}
			opener, err := receiver.Setup(enc)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range v.Encryptions {
				ct, err := sealer.Seal(mustHex(e.Pt), mustHex(e.Aad))
				if err != nil || !bytes.Equal(ct, mustHex(e.Ct)) {
					t.Errorf("encryption %d: %v", i, err)
				}
				pt, err := opener.Open(mustHex(e.Ct), mustHex(e.Aad))
				if err != nil || !bytes.Equal(pt, mustHex(e.Pt)) {
					t.Errorf("decryption %d: %v", i, err)
				}
			}
			for i, e := range v.Exports {
				if got := opener.Export(mustHex(e.Context), e.L); !bytes.Equal(got, mustHex(e.Value)) {
					t.Errorf("export %d", i)
				}
			}
		})
	}
}

// TestXWingKnownAnswers walks the three vectors of the X-Wing draft's appendix,
// which are drawn from SHAKE128 of nothing, and compares the SHAKE128 of all of
// them in the draft's own form (spec/test-vectors.txt).
func TestXWingKnownAnswers(t *testing.T) {
	random := sha3.NewSHAKE128()
	digest := sha3.NewSHAKE128()
	write := func(name string, value []byte) {
		digits := hex.EncodeToString(value)
		if len(name)+len(digits)+5 < 74 {
			fmt.Fprintf(digest, "%s     %s\n", name, digits)
			return
		}
		fmt.Fprintf(digest, "%s\n", name)
		for len(digits) > 0 {
			n := min(len(digits), 72)
			fmt.Fprintf(digest, "  %s\n", digits[:n])
			digits = digits[n:]
		}
	}
	for i := range 3 {
		seed, eseed := make([]byte, 32), make([]byte, 64)
		io.ReadFull(random, seed)
		io.ReadFull(random, eseed)
		priv, err := seal.ParsePrivateKey(seed)
		if err != nil {
			t.Fatal(err)
		}
		pk := priv.Public().Bytes()
		ss, ct, err := xwing.Encapsulate(pk, eseed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(xwing.Decapsulate(ct, priv.Bytes()), ss) {
			t.Errorf("vector %d doesn't decapsulate", i)
		}
		write("seed", seed)
		write("sk", priv.Bytes())
		write("pk", pk)
		write("eseed", eseed)
		write("ct", ct)
		write("ss", ss)
		fmt.Fprintln(digest)
	}
	sum := make([]byte, 32)
	digest.Read(sum)
	const want = "1bcd0057d861d6b866239936cadcaeee1ec0164dedc181c386e9e54fe46156fe"
	if got := hex.EncodeToString(sum); got != want {
		t.Errorf("got %s, the draft says %s", got, want)
	}
}
