package seal

import (
	"crypto/ed25519"
	"fmt"
)

// statement is what a signature of a member's statement covers: the label says what it
// is a statement of, so that none can be taken for one of another sort, or for a manifest.
func statement(label string, content []byte) []byte {
	return append(fmt.Appendf(nil, "yitong statement v1\x00%d:%s\x00", len(label), label), content...)
}

// SignStatement signs what a member states, under a label.
func (k SigningKey) SignStatement(label string, content []byte) []byte {
	return ed25519.Sign(k.key, statement(label, content))
}

// VerifyStatement reports whether the signature is this key's over the statement.
func (k VerifyingKey) VerifyStatement(label string, content, signature []byte) bool {
	return len(k.key) == ed25519.PublicKeySize && ed25519.Verify(k.key, statement(label, content), signature)
}
