package directive

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"

	"yitong/chaincode/consent"
	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
)

const now = record.Instant(1_800_000_000)

func wantCode(t testing.TB, err error, want refusal.Code) {
	t.Helper()
	if got := codeOf(err); got != want || (err == nil) != (want == "") {
		t.Errorf("%v, want %q", err, want)
	}
}

func codeOf(err error) refusal.Code {
	var r *refusal.Refusal
	if errors.As(err, &r) && r.Allowed != "" {
		return r.Code
	}
	return ""
}

func walletKey(n byte) Key {
	return Key{Algorithm: Ed25519, Public: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)).Public().(ed25519.PublicKey)}
}

func granting() Directive {
	return Directive{
		Type: Type, Channel: "records", Act: Grant, Custodian: "HospitalA", Requester: "Insurer", Handle: "1-" + strings.Repeat("ab", 32),
		Consent: strings.Repeat("c", 32), Version: 1, Signed: now, Period: record.Period{Start: now},
		Provision: &consent.Provision{Type: consent.Permit, Classes: record.ClassesOf(record.Laboratory, record.Claim),
			Provisions: []consent.Provision{{Type: consent.Deny, Labels: record.LabelsOf(record.HIV, record.PSY)}}},
	}
}

func withdrawing() Directive {
	d := granting()
	d.Act, d.Version, d.Period, d.Provision, d.Reason = Withdraw, 2, record.Period{}, nil, "patient"
	return d
}

func rebinding() Directive {
	d, key := granting(), walletKey(9)
	d.Act, d.Version, d.Period, d.Provision, d.Consent, d.Key = Rebind, 2, record.Period{}, nil, "", &key
	return d
}

// The encoding is a format: this is what wallets of other makers write.
func TestTheDocumentAsItIsSigned(t *testing.T) {
	for _, test := range []struct {
		d    Directive
		want string
	}{
		{granting(), `{"act":"grant","channel":"records","consent":"` + strings.Repeat("c", 32) + `","custodian":"HospitalA","handle":"1-` + strings.Repeat("ab", 32) +
			`","period":{"start":"2027-01-15T08:00:00Z"},"provision":{"classes":["claim","laboratory"],"provisions":[{"labels":["HIV","PSY"],"type":"deny"}],"type":"permit"},"requester":"Insurer","signed":"2027-01-15T08:00:00Z","type":"yitong-directive-1","version":1}`},
		{withdrawing(), `{"act":"withdraw","channel":"records","consent":"` + strings.Repeat("c", 32) + `","custodian":"HospitalA","handle":"1-` + strings.Repeat("ab", 32) +
			`","reason":"patient","requester":"Insurer","signed":"2027-01-15T08:00:00Z","type":"yitong-directive-1","version":2}`},
		{rebinding(), `{"act":"rebind","channel":"records","custodian":"HospitalA","handle":"1-` + strings.Repeat("ab", 32) +
			`","key":{"algorithm":"Ed25519","public":"/RckOFqgx1tk+3jNYC+h2ZH96/drE8WO1wLqyDXp9hg="},"requester":"Insurer","signed":"2027-01-15T08:00:00Z","type":"yitong-directive-1","version":2}`},
	} {
		got, err := test.d.Canonical()
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != test.want {
			t.Errorf("written as\n%s\nwant\n%s", got, test.want)
		}
		if _, err := Parse(got); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

// Our canonical form is RFC 8785's by another implementation too.
func TestTheDocumentIsCanonicalByAnotherLibraryToo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := granting()
		d.Channel = rapid.StringN(1, 20, 80).Draw(t, "channel") // any text must come out the same
		d.Version = rapid.IntRange(1, MaxVersion).Draw(t, "version")
		d.Reason = rapid.String().Draw(t, "reason")
		ours, err := d.Canonical()
		if err != nil {
			t.Skip("not text")
		}
		theirs, err := jcs.Transform(ours)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("ours\n%s\ntheirs\n%s", ours, theirs)
		}
	})
}

func TestThereIsOneEncoding(t *testing.T) {
	good, err := granting().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	swap := func(from, to string) string { return strings.Replace(string(good), from, to, 1) }
	for _, test := range []struct {
		name, text string
		want       refusal.Code
	}{
		{"the canonical one", string(good), ""},
		{"a blank", swap(":", ": "), NotCanonical},
		{"a line at the end", string(good) + "\n", NotCanonical},
		{"another document after it", string(good) + string(good), NotCanonical},
		{"names in another order", swap(`"act":"grant","channel":"records"`, `"channel":"records","act":"grant"`), NotCanonical},
		{"a name twice", swap(`"act":"grant"`, `"act":"grant","act":"grant"`), NotCanonical},
		{"a name nobody knows", swap(`"act":"grant"`, `"act":"grant","also":1`), NotCanonical},
		{"a name in another case", swap(`"act"`, `"Act"`), NotCanonical},
		{"an escape that needn't be", swap(`"grant"`, `"gr\u0061nt"`), NotCanonical},
		{"a number as a fraction", swap(`"version":1`, `"version":1.0`), NotCanonical},
		{"a number with an exponent", swap(`"version":1`, `"version":1e0`), NotCanonical},
		{"a number beyond 2^53, which JCS would round", swap(`"version":1`, `"version":9007199254740993`), refusal.Malformed},
		{"an empty member that is left out", swap(`"requester":`, `"reason":"","requester":`), NotCanonical},
		{"a null member that is left out", swap(`"requester":`, `"key":null,"requester":`), NotCanonical},
		{"an empty period that is left out", swap(`"provisions":[{`, `"period":{},"provisions":[{`), NotCanonical},
		{"classes out of order", swap(`["claim","laboratory"]`, `["laboratory","claim"]`), NotCanonical},
		{"an instant of another zone", swap(`"signed":"2027-01-15T08:00:00Z"`, `"signed":"2027-01-15T16:00:00+08:00"`), NotCanonical},
		{"invalid UTF-8", swap("records", "rec\xffrds"), NotCanonical},
		{"a mark of byte order", "\ufeff" + string(good), NotCanonical},
		{"nothing", "", NotCanonical},
		{"33 KiB", strings.Repeat(" ", 33<<10), refusal.TooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse([]byte(test.text))
			wantCode(t, err, test.want)
		})
	}
}

func TestWhatADirectiveMayHold(t *testing.T) {
	delegate := func(n byte) Delegate {
		return Delegate{Key: walletKey(n), Grant: true, Period: record.Period{Start: now, End: now + 100}}
	}
	for _, test := range []struct {
		name   string
		of     func() Directive
		change func(*Directive)
		want   refusal.Code
	}{
		{"a grant", granting, nil, ""},
		{"a withdrawal", withdrawing, nil, ""},
		{"a rebind", rebinding, nil, ""},
		{"an amendment", granting, func(d *Directive) { d.Act, d.Version = Amend, 2 }, ""},
		{"a grant with a delegate", granting, func(d *Directive) { d.Delegates = []Delegate{delegate(1)} }, ""},
		{"another type", granting, func(d *Directive) { d.Type = "yitong-directive-2" }, refusal.Malformed},
		{"no channel", granting, func(d *Directive) { d.Channel = "" }, refusal.Malformed},
		{"an act nobody knows", granting, func(d *Directive) { d.Act = "erase" }, refusal.Malformed},
		{"no custodian", granting, func(d *Directive) { d.Custodian = "" }, refusal.Malformed},
		{"a requester that reaches into keys", granting, func(d *Directive) { d.Requester = "a\x00b" }, refusal.Malformed},
		{"no handle", granting, func(d *Directive) { d.Handle = "Wang" }, refusal.Malformed},
		{"no instant", granting, func(d *Directive) { d.Signed = 0 }, refusal.Malformed},
		{"no version", granting, func(d *Directive) { d.Version = 0 }, refusal.Malformed},
		{"a grant of version 2", granting, func(d *Directive) { d.Version = 2 }, refusal.Malformed},
		{"an amendment to version 1", granting, func(d *Directive) { d.Act = Amend }, refusal.Malformed},
		{"version 1025", granting, func(d *Directive) { d.Act, d.Version = Amend, 1025 }, refusal.Malformed},
		{"no provision", granting, func(d *Directive) { d.Provision = nil }, refusal.Malformed},
		{"a provision of no type", granting, func(d *Directive) { d.Provision = &consent.Provision{} }, refusal.Malformed},
		{"a grant with a reason", granting, func(d *Directive) { d.Reason = "patient" }, refusal.Malformed},
		{"a grant with a key", granting, func(d *Directive) { d.Key = rebinding().Key }, refusal.Malformed},
		{"a grant of what isn't an id", granting, func(d *Directive) { d.Consent = "c" }, refusal.Malformed},
		{"a period from the day before", granting, func(d *Directive) { d.Period.Start = now - 86400 }, BackDated},
		{"a period from ever", granting, func(d *Directive) { d.Period.Start = 0 }, BackDated},
		{"a period that ends before it begins", granting, func(d *Directive) { d.Period.End = now }, refusal.Malformed},
		{"a withdrawal of no version", withdrawing, func(d *Directive) { d.Version = 1 }, refusal.Malformed},
		{"a withdrawal in words", withdrawing, func(d *Directive) { d.Reason = "I don't like it" }, refusal.Malformed},
		{"a withdrawal that also grants", withdrawing, func(d *Directive) { d.Provision = granting().Provision }, refusal.Malformed},
		{"a withdrawal with delegates", withdrawing, func(d *Directive) { d.Delegates = []Delegate{delegate(1)} }, refusal.Malformed},
		{"a rebind to nothing", rebinding, func(d *Directive) { d.Key = nil }, refusal.Malformed},
		{"a rebind to half a key", rebinding, func(d *Directive) { d.Key = &Key{Algorithm: Ed25519, Public: make([]byte, 16)} }, refusal.Malformed},
		{"a rebind to a key of another kind", rebinding, func(d *Directive) { d.Key = &Key{Algorithm: "RS256", Public: make([]byte, 32)} }, refusal.Malformed},
		{"a rebind of a consent", rebinding, func(d *Directive) { d.Consent = granting().Consent }, refusal.Malformed},
		{"nine delegates", granting, func(d *Directive) {
			for n := range byte(9) {
				d.Delegates = append(d.Delegates, delegate(n))
			}
			Sort(d.Delegates)
		}, refusal.TooLarge},
		{"a delegate twice", granting, func(d *Directive) { d.Delegates = []Delegate{delegate(1), delegate(1)} }, refusal.Malformed},
		{"a delegate that may do nothing", granting, func(d *Directive) { d.Delegates = []Delegate{{Key: walletKey(1), Period: delegate(1).Period}} }, refusal.Malformed},
		{"a delegate for ever", granting, func(d *Directive) {
			d.Delegates = []Delegate{{Key: walletKey(1), Grant: true, Period: record.Period{Start: now}}}
		}, refusal.Malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := test.of()
			if test.change != nil {
				test.change(&d)
			}
			wantCode(t, d.Validate(), test.want)
			text, err := d.Canonical()
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(text)
			if (err == nil) != (test.want == "") {
				t.Errorf("parsed: %v", err)
			}
		})
	}
}

// Whatever is read is written again as it was, and is RFC 8785.
func FuzzParse(f *testing.F) {
	for _, d := range []Directive{granting(), withdrawing(), rebinding()} {
		text, err := d.Canonical()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if err != nil {
			if codeOf(err) == "" {
				t.Fatalf("an error that is no refusal: %v", err)
			}
			return
		}
		again, err := d.Canonical()
		if err != nil || !bytes.Equal(again, text) {
			t.Fatalf("read %s, written %s, %v", text, again, err)
		}
		if other, err := jcs.Transform(text); err != nil || !bytes.Equal(other, text) {
			t.Fatalf("not canonical: %s, %v", text, err)
		}
	})
}

func TestOneByteMoreOrLessAndTheWalletsSignatureDoesntCount(t *testing.T) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	document, err := granting().Canonical()
	if err != nil {
		t.Fatal(err)
	}
	good := Signed{Document: string(document), Key: walletKey(1), Signature: ed25519.Sign(private, document)}
	wantCode(t, good.Verify(nil), "")
	for i := range document {
		bad := bytes.Clone(document)
		bad[i] ^= 1
		s := good
		s.Document = string(bad)
		wantCode(t, s.Verify(nil), BadSignature)
	}
	for i := range good.Signature {
		s := good
		s.Signature = bytes.Clone(s.Signature)
		s.Signature[i] ^= 1
		wantCode(t, s.Verify(nil), BadSignature)
	}
}

func BenchmarkVerify(b *testing.B) {
	private := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	document, err := granting().Canonical()
	if err != nil {
		b.Fatal(err)
	}
	passkey := newAuthenticator(b, document)
	for name, s := range map[string]Signed{
		"wallet":  {Document: string(document), Key: walletKey(1), Signature: ed25519.Sign(private, document)},
		"passkey": {Document: string(document), Key: passkey.key(b), Passkey: passkey.assert(b)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Parse([]byte(s.Document)); err != nil {
					b.Fatal(err)
				}
				if err := s.Verify(sites); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
