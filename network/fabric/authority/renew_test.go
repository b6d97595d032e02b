package authority_test

import (
	"crypto/x509"
	"math/big"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"yitong/network/fabric/authority"
)

func certOf(t *testing.T, p authority.Pair) *x509.Certificate {
	t.Helper()
	c, err := authority.ParseCert(p.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestARenewedCertificateSaysTheSameOfAnotherKey(t *testing.T) {
	ca, err := authority.New("HospitalA", "enrolment authority")
	if err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() (authority.Pair, error){
		"an enrolment with attributes": func() (authority.Pair, error) {
			return ca.Enrol("gateway", authority.Client, map[string]string{"role": "gateway"})
		},
		"a server's TLS certificate": func() (authority.Pair, error) { return ca.TLS("peer", authority.Peer, "localhost", "127.0.0.1") },
		"a person's certificate": func() (authority.Pair, error) {
			return ca.Person("clinician", map[string]string{"yitong.role": "clinician"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			first, err := make()
			if err != nil {
				t.Fatal(err)
			}
			before := certOf(t, first)
			second, err := ca.Renew(before)
			if err != nil {
				t.Fatal(err)
			}
			after := certOf(t, second)
			if !ca.Issued(after) || after.SerialNumber.Cmp(before.SerialNumber) == 0 || slices.Equal(after.RawSubjectPublicKeyInfo, before.RawSubjectPublicKeyInfo) {
				t.Error("it is the same certificate, or another authority's")
			}
			says := func(c *x509.Certificate) map[string]any {
				said := map[string]any{"subject": string(c.RawSubject), "usage": c.KeyUsage, "extended": c.ExtKeyUsage, "names": c.DNSNames, "addresses": c.IPAddresses}
				for _, e := range c.Extensions {
					if e.Id.String() == "1.2.3.4.5.6.7.8.1" {
						said["attributes"] = string(e.Value)
					}
				}
				return said
			}
			if diff := cmp.Diff(says(before), says(after)); diff != "" {
				t.Errorf("it says something else (-before +after):\n%s", diff)
			}
		})
	}
	other, err := authority.New("HospitalB", "enrolment authority")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := other.Enrol("gateway", authority.Client, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ca.Renew(certOf(t, theirs)); err == nil {
		t.Error("another authority's certificate was renewed")
	}
	if _, err := ca.Renew(certOf(t, ca.Pair())); err == nil {
		t.Error("the authority renewed itself")
	}
}

func TestARevocationListOnlyGrows(t *testing.T) {
	ca, err := authority.New("HospitalA", "enrolment authority")
	if err != nil {
		t.Fatal(err)
	}
	parse := func(raw []byte) *x509.RevocationList {
		t.Helper()
		list, err := authority.ParseList(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := list.CheckSignatureFrom(certOf(t, ca.Pair())); err != nil {
			t.Fatal(err)
		}
		return list
	}
	first, err := ca.Revoke(nil, big.NewInt(7))
	if err != nil {
		t.Fatal(err)
	}
	second, err := ca.Revoke(first, big.NewInt(8), big.NewInt(8))
	if err != nil {
		t.Fatal(err)
	}
	a, b := parse(first), parse(second)
	if !authority.Lists(a, big.NewInt(7)) || authority.Lists(a, big.NewInt(8)) {
		t.Error("the first list names others than it was told to")
	}
	if !authority.Lists(b, big.NewInt(7)) || !authority.Lists(b, big.NewInt(8)) || len(b.RevokedCertificateEntries) != 2 || b.Number.Cmp(a.Number) <= 0 {
		t.Errorf("the second list, number %v, names %v", b.Number, b.RevokedCertificateEntries)
	}
	if again, err := ca.Revoke(second, big.NewInt(7)); err != nil || !slices.Equal(again, second) {
		t.Errorf("the same once more is another list, %v", err)
	}
	other, err := authority.New("HospitalA", "enrolment authority")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Revoke(first, big.NewInt(9)); err == nil {
		t.Error("another authority's list was taken over")
	}
}
