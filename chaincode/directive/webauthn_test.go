package directive

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"yitong/chaincode/refusal"
	"yitong/chaincode/registry"
)

var sites = []registry.RelyingParty{
	{ID: "clinic.example", Origins: []string{"https://clinic.example"}},
	{ID: "hospital.example", Origins: []string{"https://hospital.example", "https://patients.hospital.example"}},
}

// authenticator is a passkey in software: what a browser and a security key answer together.
type authenticator struct {
	private            *ecdsa.PrivateKey
	site, origin, kind string
	flags              byte
	challenge          string
	extra              string // more members of the client data
	data               func([]byte) []byte
}

func newAuthenticator(t testing.TB, document []byte) *authenticator {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(document)
	return &authenticator{
		private: private, site: "hospital.example", origin: "https://patients.hospital.example", kind: "webauthn.get",
		flags: userPresent | userVerified, challenge: base64.RawURLEncoding.EncodeToString(digest[:]), extra: `,"crossOrigin":false`,
	}
}

func (a *authenticator) key(t testing.TB) Key {
	t.Helper()
	public, err := a.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return Key{Algorithm: ES256, Public: public}
}

func (a *authenticator) assert(t testing.TB) *Assertion {
	t.Helper()
	client := fmt.Appendf(nil, `{"type":%q,"challenge":%q,"origin":%q%s}`, a.kind, a.challenge, a.origin, a.extra)
	id := sha256.Sum256([]byte(a.site))
	data := append(id[:], a.flags, 0, 0, 0, 7)
	if a.data != nil {
		data = a.data(data)
	}
	hash := sha256.Sum256(client)
	sum := sha256.Sum256(slices.Concat(data, hash[:]))
	signature, err := ecdsa.SignASN1(rand.Reader, a.private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return &Assertion{AuthenticatorData: data, ClientData: client, Signature: signature}
}

// Every case changes one thing of an assertion that is good; all of them are signed by the right key,
// unless the case says otherwise.
func TestWhichAssertionsCount(t *testing.T) {
	document := []byte(`{"act":"grant"}`)
	for _, test := range []struct {
		name   string
		change func(*authenticator)
		after  func(*Assertion)
		want   refusal.Code
	}{
		{"a good one", nil, nil, ""},
		{"from the site's other origin", func(a *authenticator) { a.origin = "https://hospital.example" }, nil, ""},
		{"without crossOrigin, as older browsers write it", func(a *authenticator) { a.extra = "" }, nil, ""},
		{"with members that later browsers add", func(a *authenticator) { a.extra = `,"other_keys_can_be_added_here":"do not compare"` }, nil, ""},
		{"by a synchronised passkey", func(a *authenticator) { a.flags |= backupEligible | backedUp }, nil, ""},
		{"by one that may be synchronised", func(a *authenticator) { a.flags |= backupEligible }, nil, ""},

		{"over another document", func(a *authenticator) { a.challenge = strings.Repeat("A", 43) }, nil, BadSignature},
		{"with a padded challenge", func(a *authenticator) { a.challenge += "=" }, nil, BadSignature},
		{"with no challenge", func(a *authenticator) { a.challenge = "" }, nil, BadSignature},
		{"of a registration", func(a *authenticator) { a.kind = "webauthn.create" }, nil, BadSignature},
		{"of a payment", func(a *authenticator) { a.kind = "payment.get" }, nil, BadSignature},
		{"on a site nobody named", func(a *authenticator) { a.site, a.origin = "evil.example", "https://evil.example" }, nil, UnknownSite},
		{"on a site of ours by an origin of another's", func(a *authenticator) { a.origin = "https://clinic.example" }, nil, UnknownSite},
		{"without TLS", func(a *authenticator) { a.origin = "http://hospital.example" }, nil, UnknownSite},
		{"on another port", func(a *authenticator) { a.origin = "https://hospital.example:8443" }, nil, UnknownSite},
		{"in another site's frame", func(a *authenticator) { a.extra = `,"crossOrigin":true` }, nil, BadSignature},
		{"under another top origin", func(a *authenticator) { a.extra = `,"crossOrigin":false,"topOrigin":"https://evil.example"` }, nil, BadSignature},
		{"with the origin twice", func(a *authenticator) { a.extra = `,"origin":"https://hospital.example"` }, nil, BadSignature},
		{"with the type in another case as well", func(a *authenticator) { a.kind, a.extra = "webauthn.create", `,"Type":"webauthn.get"` }, nil, BadSignature},
		{"with client data of 3 KiB", func(a *authenticator) { a.extra = `,"x":"` + strings.Repeat("x", 3<<10) + `"` }, nil, BadSignature},
		{"with something after the client data", func(a *authenticator) { a.extra = `} {"x":1` }, nil, BadSignature},
		{"with client data that isn't UTF-8", func(a *authenticator) { a.extra = ",\"x\":\"\xff\"" }, nil, BadSignature},
		{"without the user's presence", func(a *authenticator) { a.flags = userVerified }, nil, BadSignature},
		{"without the user's verification", func(a *authenticator) { a.flags = userPresent }, nil, BadSignature},
		{"with a flag that is reserved", func(a *authenticator) { a.flags |= 0x02 }, nil, BadSignature},
		{"with credential data", func(a *authenticator) { a.flags |= 0x40 }, nil, BadSignature},
		{"with extensions", func(a *authenticator) { a.flags |= 0x80; a.data = func(b []byte) []byte { return append(b, 0xa0) } }, nil, BadSignature},
		{"backed up though it can't be", func(a *authenticator) { a.flags |= backedUp }, nil, BadSignature},
		{"with data cut short", func(a *authenticator) { a.data = func(b []byte) []byte { return b[:36] } }, nil, BadSignature},
		{"with data too long", func(a *authenticator) { a.data = func(b []byte) []byte { return append(b, 0) } }, nil, BadSignature},
		{"with no data", func(a *authenticator) { a.data = func([]byte) []byte { return nil } }, nil, BadSignature},

		{"client data altered after signing", nil, func(a *Assertion) { a.ClientData = append(a.ClientData, ' ') }, BadSignature},
		{"flags altered after signing", nil, func(a *Assertion) { a.AuthenticatorData[32] |= backupEligible }, BadSignature},
		{"counter altered after signing", nil, func(a *Assertion) { a.AuthenticatorData[36]++ }, BadSignature},
		{"signature altered", nil, func(a *Assertion) { a.Signature[len(a.Signature)-1] ^= 1 }, BadSignature},
		{"signature with something after it", nil, func(a *Assertion) { a.Signature = append(a.Signature, 0) }, BadSignature},
		{"no signature", nil, func(a *Assertion) { a.Signature = nil }, BadSignature},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newAuthenticator(t, document)
			if test.change != nil {
				test.change(a)
			}
			assertion := a.assert(t)
			if test.after != nil {
				test.after(assertion)
			}
			err := Signed{Document: string(document), Key: a.key(t), Passkey: assertion}.Verify(sites)
			wantCode(t, err, test.want)
		})
	}
}

func TestAnAssertionIsOneKeysAndOneKinds(t *testing.T) {
	document := []byte(`{"act":"grant"}`)
	a, b := newAuthenticator(t, document), newAuthenticator(t, document)
	good := Signed{Document: string(document), Key: a.key(t), Passkey: a.assert(t)}
	wantCode(t, good.Verify(sites), "")
	wantCode(t, good.Verify(nil), UnknownSite)
	other := good
	other.Key = b.key(t)
	wantCode(t, other.Verify(sites), BadSignature)
	both := good
	both.Signature = []byte{1}
	wantCode(t, both.Verify(sites), BadSignature)
	wallet := good
	wallet.Key = Key{Algorithm: Ed25519, Public: walletKey(1).Public}
	wantCode(t, wallet.Verify(sites), BadSignature)
	neither := good
	neither.Passkey = nil
	wantCode(t, neither.Verify(sites), BadSignature)
	off := good
	off.Key.Public = slices.Clone(off.Key.Public)
	off.Key.Public[64] ^= 1 // not on the curve
	wantCode(t, off.Verify(sites), refusal.Malformed)
	compressed := good
	compressed.Key.Public = append([]byte{2}, good.Key.Public[1:33]...)
	wantCode(t, compressed.Verify(sites), refusal.Malformed)
}

// The examples of W3C Web Authentication Level 3, §16: "ES256 Credential with No Attestation" and
// "… with Self Attestation". Neither has the user verified, so neither may count as it is; its
// signature must, and so must the assertion that the same key makes of a verified user.
func TestTheExamplesOfTheStandard(t *testing.T) {
	site := []registry.RelyingParty{{ID: "example.org", Origins: []string{"https://example.org"}}}
	for _, v := range []struct{ name, private, x, y, challenge, data, client, signature string }{
		{
			"none.ES256",
			"6e68e7a58484a3264f66b77f5d6dc5bc36a47085b615c9727ab334e8c369c2ee",
			"afefa16f97ca9b2d23eb86ccb64098d20db90856062eb249c33a9b672f26df61", "930a56b87a2fca66334b03458abf879717c12cc68ed73290af2e2664796b9220",
			"39c0e7521417ba54d43e8dc95174f423dee9bf3cd804ff6d65c857c9abf4d408",
			"bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b51900000000",
			"7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a224f63446e55685158756c5455506f334a5558543049393770767a7a59425039745a63685879617630314167222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73657d",
			"3046022100f50a4e2e4409249c4a853ba361282f09841df4dd4547a13a87780218deffcd380221008480ac0f0b93538174f575bf11a1dd5d78c6e486013f937295ea13653e331e87",
		},
		{
			"packed-self.ES256",
			"b4bbfa5d68e1693b6ef5a19a0e60ef7ee2cbcac81f7fec7006ac3a21e0c5116a",
			"eb151c8176b225cc651559fecf07af450fd85802046656b34c18f6cf193843c5", "927b8aa427a2be1b8834d233a2d34f61f13bfd44119c325d5896e183fee484f2",
			"4478a10b1352348dd160c1353b0d469b5db19eb91c27f7dfa6fed39fe26af20b",
			"bfabc37432958b063360d3ad6461c9c4735ae7f8edd46592a5e0f01452b2e4b50900000000",
			"7b2274797065223a22776562617574686e2e676574222c226368616c6c656e6765223a225248696843784e534e493352594d45314f7731476d3132786e726b634a5f6666707637546e2d4a71386773222c226f726967696e223a2268747470733a2f2f6578616d706c652e6f7267222c2263726f73734f726967696e223a66616c73652c22657874726144617461223a22636c69656e74446174614a534f4e206d617920626520657874656e6465642077697468206164646974696f6e616c206669656c647320696e20746865206675747572652c207375636820617320746869733a206754623533727a36456853576f6d58477a696d433151227d",
			"304402203310b9431903c401f1be2bdc8d23a4007682dbbddcf846994947b7f465daf84002204e94dd00047b316061b3b99772b7efd95994a83ef584b3b6b825ea3550251b66",
		},
	} {
		t.Run(v.name, func(t *testing.T) {
			key := Key{Algorithm: ES256, Public: unhex(t, "04"+v.x+v.y)}
			a := Assertion{AuthenticatorData: unhex(t, v.data), ClientData: unhex(t, v.client), Signature: unhex(t, v.signature)}
			hash := sha256.Sum256(a.ClientData)
			if !verifyES256(key, slices.Concat(a.AuthenticatorData, hash[:]), a.Signature) {
				t.Error("its signature doesn't verify")
			}
			challenge := [32]byte(unhex(t, v.challenge))
			if err := a.verify(key, challenge, site); err == nil || !strings.Contains(err.Error(), "verify the user") {
				t.Errorf("without the user verified: %v", err)
			}
			private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), unhex(t, v.private))
			if err != nil {
				t.Fatal(err)
			}
			a.AuthenticatorData[32] |= userVerified
			sum := sha256.Sum256(slices.Concat(a.AuthenticatorData, hash[:]))
			if a.Signature, err = ecdsa.SignASN1(rand.Reader, private, sum[:]); err != nil {
				t.Fatal(err)
			}
			if err := a.verify(key, challenge, site); err != nil {
				t.Errorf("with the user verified: %v", err)
			}
			challenge[0] ^= 1
			wantCode(t, a.verify(key, challenge, site), BadSignature)
		})
	}
}

func FuzzAssertion(f *testing.F) {
	document := []byte(`{"act":"grant"}`)
	a := newAuthenticator(f, document)
	good, key := a.assert(f), a.key(f)
	f.Add(good.AuthenticatorData, good.ClientData, good.Signature)
	f.Add([]byte{}, []byte("{}"), []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, data, client, signature []byte) {
		s := Signed{Document: string(document), Key: key, Passkey: &Assertion{data, client, signature}}
		changed := !slices.Equal(data, good.AuthenticatorData) || !slices.Equal(client, good.ClientData)
		if err := s.Verify(sites); err == nil && changed {
			t.Errorf("counts, though nobody signed it: %x %s", data, client)
		} else if err != nil && codeOf(err) == "" {
			t.Errorf("an error that is no refusal: %v", err)
		}
	})
}
