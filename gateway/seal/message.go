package seal

import (
	"crypto/rand"
	"fmt"

	"github.com/cloudflare/circl/hpke"
)

// Message is a secret of any content for one member, by HPKE as Wrap does it.
type Message struct {
	Key        string `json:"key"`        // PublicKey.ID of the key it is sealed to
	Enc        []byte `json:"enc"`        // KEM ciphertext, 1120 bytes; base64
	Ciphertext []byte `json:"ciphertext"` // content and tag; base64
}

// Place says what a message is good for: a label that names the sort of message, then
// the fields that it depends on, in their order. All of it goes into HPKE's info, so that
// a message moved to another place doesn't open.
type Place struct {
	Label  string
	Fields []string
}

func (p Place) info() []byte {
	b := canonical("yitong message v1").text(p.Label).number(int64(len(p.Fields)))
	for _, f := range p.Fields {
		b = b.text(f)
	}
	return b
}

// SealTo encrypts content to one member's HPKE key in one place. It authenticates no
// sender: what comes in a message is to be held against a commitment.
func SealTo(to PublicKey, at Place, content []byte) (Message, error) {
	fail := func(err error) (Message, error) { return Message{}, fmt.Errorf("seal message: %w", err) }
	sender, err := suite.NewSender(to.key, at.info())
	if err != nil {
		return fail(err)
	}
	enc, sealer, err := sender.Setup(rand.Reader)
	if err != nil {
		return fail(err)
	}
	ct, err := sealer.Seal(content, nil)
	if err != nil {
		return fail(err)
	}
	return Message{Key: to.ID(), Enc: enc, Ciphertext: ct}, nil
}

// OpenFrom is SealTo's other side. Errors: ErrWrongKey, ErrUnwrap.
func OpenFrom(priv PrivateKey, at Place, m Message) ([]byte, error) {
	if id := priv.Public().ID(); m.Key != id {
		return nil, fmt.Errorf("%w: %q, this is %s", ErrWrongKey, m.Key, id)
	}
	if len(m.Enc) != encSize {
		return nil, ErrUnwrap
	}
	receiver, err := suite.NewReceiver(priv.key, at.info())
	if err != nil {
		return nil, fmt.Errorf("open message: %w", err)
	}
	var opener hpke.Opener
	if opener, err = receiver.Setup(m.Enc); err != nil {
		return nil, ErrUnwrap
	}
	content, err := opener.Open(m.Ciphertext, nil)
	if err != nil {
		return nil, ErrUnwrap
	}
	return content, nil
}
