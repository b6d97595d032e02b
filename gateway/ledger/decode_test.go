package ledger

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}

// The shim joins a composite key as U+0000, object type, U+0000, attribute, U+0000 …
func TestSplitCompositeKeyUndoesTheShim(t *testing.T) {
	part := rapid.StringMatching(`[a-zA-Z0-9./-]{0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		kind := part.Filter(func(s string) bool { return s != "" }).Draw(t, "type")
		attrs := rapid.SliceOfN(part, 0, 5).Draw(t, "attributes")
		key := "\x00" + strings.Join(append([]string{kind}, attrs...), "\x00") + "\x00"
		gotKind, gotAttrs := splitCompositeKey(key)
		if gotKind != kind || len(gotAttrs) != len(attrs) || len(attrs) > 0 && !cmp.Equal(gotAttrs, attrs) {
			t.Errorf("%q splits into %q %q", key, gotKind, gotAttrs)
		}
	})
	for _, plain := range []string{"", "plain", "\x00", "\x00open", "closed\x00"} {
		if kind, attrs := splitCompositeKey(plain); kind != "" || attrs != nil {
			t.Errorf("%q splits into %q %q", plain, kind, attrs)
		}
	}
}

func TestValidationCodeOfATransactionWithoutVerdict(t *testing.T) {
	for name, meta := range map[string][][]byte{
		"no metadata":     nil,
		"too few entries": {nil, nil},
		"too few codes":   {nil, nil, {0}},
	} {
		b := &common.Block{Metadata: &common.BlockMetadata{Metadata: meta}}
		if got := validationCode(b, 1); got != peer.TxValidationCode_NOT_VALIDATED {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// FuzzDecode: whatever stands in a block, decoding neither panics nor takes a
// transaction for whole that Fabric's own messages can't be found in.
func FuzzDecode(f *testing.F) {
	header := func(kind common.HeaderType) *common.Header {
		return &common.Header{ChannelHeader: raw(&common.ChannelHeader{Type: int32(kind), TxId: "id", Extension: raw(&peer.ChaincodeHeaderExtension{ChaincodeId: &peer.ChaincodeID{Name: "yitong"}})})}
	}
	f.Add([]byte("no envelope"))
	f.Add(raw(&common.Envelope{Payload: raw(&common.Payload{Header: header(common.HeaderType_CONFIG)})}))
	f.Add(raw(&common.Envelope{Payload: raw(&common.Payload{Header: header(common.HeaderType_ENDORSER_TRANSACTION), Data: raw(&peer.Transaction{Actions: []*peer.TransactionAction{{Payload: raw(&peer.ChaincodeActionPayload{
		ChaincodeProposalPayload: raw(&peer.ChaincodeProposalPayload{Input: raw(&peer.ChaincodeInvocationSpec{ChaincodeSpec: &peer.ChaincodeSpec{Input: &peer.ChaincodeInput{Args: [][]byte{[]byte("f"), []byte("{}")}}}})}),
		Action:                   &peer.ChaincodeEndorsedAction{ProposalResponsePayload: raw(&peer.ProposalResponsePayload{Extension: raw(&peer.ChaincodeAction{Results: []byte{0x12, 0x00}})})},
	})}}})})}))
	f.Fuzz(func(t *testing.T, env []byte) {
		tx := decodeEnvelope(env)
		if tx.Malformed == "" && !tx.Config && proto.Unmarshal(env, &common.Envelope{}) != nil {
			t.Error("bytes that are no envelope were taken for a transaction")
		}
		b := &common.Block{}
		if proto.Unmarshal(env, b) == nil {
			_, _ = decodeBlock(b)
		}
	})
}

func raw(m proto.Message) []byte {
	out, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return out
}
