package ledgertest

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
)

// Network is a channel on which Probe is committed under the MAJORITY policy of at least
// three members: this package's ledger or real peers.
type Network interface {
	// Members lists the MSP ids.
	Members() []string
	// Endorse has the script proposed by one member's client and simulated at the peers of
	// the endorsers. A refusal by the chaincode is an error that contains its message.
	Endorse(ctx context.Context, who string, endorsers []string, script string) (Endorsed, error)
	// Commit orders the transactions into one block in this order and returns their
	// validation codes. A network that ended up with several blocks tries no case over.
	Commit(ctx context.Context, txs ...Endorsed) ([]peer.TxValidationCode, error)
}

// Endorsed is a transaction endorsed and not yet sent to be ordered.
type Endorsed interface {
	// Answer is what the chaincode answered with.
	Answer() []byte
}

// Answer implements Endorsed.
func (tx *Tx) Answer() []byte { return tx.Response }

// Network is the ledger, with Probe installed, as Cases wants it.
func (l *Ledger) Network() Network {
	l.Install(Probe{})
	return inProcess{l}
}

type inProcess struct{ ledger *Ledger }

func (n inProcess) Members() []string { return n.ledger.Members() }

func (n inProcess) Endorse(ctx context.Context, who string, endorsers []string, script string) (Endorsed, error) {
	return n.ledger.Endorse(ctx, n.ledger.Client(who), endorsers, "run", script)
}

func (n inProcess) Commit(_ context.Context, txs ...Endorsed) ([]peer.TxValidationCode, error) {
	own := make([]*Tx, len(txs))
	for i, tx := range txs {
		t, ok := tx.(*Tx)
		if !ok {
			return nil, fmt.Errorf("commit: %T is another network's", tx)
		}
		own[i] = t
	}
	return n.ledger.Commit(own...), nil
}

// scene is a case being run: short words for what a case does all the time.
type scene struct {
	t *testing.T
	n Network
	k string // prefix of the case's own keys
}

func (s scene) majority() []string { return s.n.Members()[:len(s.n.Members())/2+1] }

func (s scene) endorse(endorsers []string, steps ...Step) Endorsed {
	s.t.Helper()
	tx, err := s.n.Endorse(s.t.Context(), s.n.Members()[0], endorsers, Script(steps...))
	if err != nil {
		s.t.Fatalf("endorse: %v", err)
	}
	return tx
}

// refused wants the chaincode to fail.
func (s scene) refused(steps ...Step) error {
	s.t.Helper()
	_, err := s.n.Endorse(s.t.Context(), s.n.Members()[0], s.majority(), Script(steps...))
	if err == nil {
		s.t.Fatal("endorsed, want an error")
	}
	return err
}

func (s scene) commit(want string, txs ...Endorsed) {
	s.t.Helper()
	codes, err := s.n.Commit(s.t.Context(), txs...)
	if err != nil {
		s.t.Fatalf("commit: %v", err)
	}
	got := ""
	for _, c := range codes {
		got += c.String() + " "
	}
	if got != want+" " {
		s.t.Errorf("validation codes %s, want %s", got, want)
	}
}

// do endorses by the majority and commits in a block of its own.
func (s scene) do(steps ...Step) {
	s.t.Helper()
	s.commit(valid, s.endorse(s.majority(), steps...))
}

// says wants the answers of the steps, evaluated.
func (s scene) says(want []string, steps ...Step) {
	s.t.Helper()
	var got []string
	if err := json.Unmarshal(s.endorse(s.majority(), steps...).Answer(), &got); err != nil {
		s.t.Fatal(err)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		s.t.Errorf("answers %q, want %q", got, want)
	}
}
