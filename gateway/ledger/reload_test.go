package ledger_test

import (
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/gateway"
	"golang.org/x/sync/errgroup"

	"yitong/gateway/credential"
)

func TestAnIdentityReplacedUnderLoadLosesNothing(t *testing.T) {
	c := newConsortium(t, 2)
	var mu sync.Mutex
	var creators []string
	var last string
	for _, p := range c.peers {
		p.onEndorse = func(_ int, in *gateway.EndorseRequest) error {
			mu.Lock()
			defer mu.Unlock()
			if last = string(creatorOf(in.GetProposedTransaction())); !slices.Contains(creators, last) {
				creators = append(creators, last)
			}
			return nil
		}
	}
	l := c.dial(t)
	const workers, each, changes = 4, 30, 5
	var working errgroup.Group
	begun := make(chan struct{}, workers*each)
	for range workers {
		working.Go(func() error {
			for range each {
				begun <- struct{}{}
				l.LookAgain()
				if _, err := l.Submit(t.Context(), "registry:Close", map[string]int{"through": 1}, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	ca := newAuthority(t, "enrolment CA")
	dir := t.TempDir()
	for range changes {
		for range workers * each / (changes + 1) {
			<-begun
		}
		certFile, keyFile := ca.issue(t, dir, "gateway.a")
		cert, err := os.ReadFile(certFile)
		if err != nil {
			t.Fatal(err)
		}
		key, err := os.ReadFile(keyFile)
		if err != nil {
			t.Fatal(err)
		}
		if err := (credential.Files{Cert: c.cfg.Cert, Key: c.cfg.Key}).Replace(cert, key); err != nil {
			t.Fatal(err)
		}
	}
	if err := working.Wait(); err != nil {
		t.Fatal(err)
	}
	l.LookAgain()
	if _, err := l.Submit(t.Context(), "registry:Close", map[string]int{"through": 1}, nil); err != nil {
		t.Fatal(err)
	}
	cert, err := os.ReadFile(c.cfg.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if len(creators) < 2 || !strings.Contains(last, string(cert)) {
		t.Errorf("of %d identities that made proposals the last isn't the present one", len(creators))
	}
}
