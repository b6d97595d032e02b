package replay_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/orderer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"yitong/chaincode/contract"
	"yitong/gateway/audit/height"
	"yitong/gateway/audit/replay"
	"yitong/gateway/audit/replay/channel"
	"yitong/gateway/audit/replay/replaytest"
)

// genuine is one chain for all tests that spoil a copy of it.
func genuine(t testing.TB) *replaytest.Chain {
	t.Helper()
	c := replaytest.New(t, replaytest.Options{Seed: 11, PerBlock: 8})
	c.History(160)
	return c
}

// found wants the checks to be among the divergences, and the first one to be at the block.
func found(t *testing.T, r *replay.Report, block uint64, checks ...replay.Check) {
	t.Helper()
	if r.Sound() {
		t.Fatalf("nothing was found, want %v", checks)
	}
	first := slices.MinFunc(r.Divergences, func(a, b replay.Divergence) int { return int(a.Block) - int(b.Block) })
	if first.Block != block {
		t.Errorf("first found at block %d, want %d: %v", first.Block, block, r.Divergences)
	}
	for _, check := range checks {
		if !slices.ContainsFunc(r.Divergences, func(d replay.Divergence) bool { return d.Check == check && d.Block == block }) {
			t.Errorf("%s at block %d isn't among %v", check, block, r.Divergences)
		}
	}
}

// The table of docs/replay.md: what is done to the chain, by whom, and what finds it.
func TestEachTamperingIsFoundAndNamed(t *testing.T) {
	base := genuine(t)
	request, requestAt := base.Find(contract.AccessRequest, 3)
	release, releaseAt := base.Find(contract.AccessRelease, 0)
	withdraw, withdrawAt := base.Find(contract.ConsentWithdraw, 0)
	const middle = 9
	type tampering struct {
		do     func(c *replaytest.Chain)
		block  int
		checks []replay.Check
	}
	metadata := func(c *replaytest.Chain, block int, slot common.BlockMetadataIndex) *[]byte {
		return &c.Blocks[block].Metadata.Metadata[slot]
	}
	signatures := func(c *replaytest.Chain, block int, change func(*common.Metadata)) {
		m, raw := &common.Metadata{}, metadata(c, block, common.BlockMetadataIndex_SIGNATURES)
		must(t, proto.Unmarshal(*raw, m))
		change(m)
		*raw = marshal(t, m)
	}
	for name, tt := range map[string]tampering{
		"a thief changes a transaction": {func(c *replaytest.Chain) { c.Blocks[middle].Data.Data[0][40] ^= 1 }, middle, []replay.Check{replay.DataHash}},
		"a thief changes a transaction and the data hash": {func(c *replaytest.Chain) {
			b := c.Blocks[middle]
			other := c.Clone()
			other.Blocks[middle].Data.Data[0][40] ^= 1
			other.Reseal(middle)
			b.Data, b.Header.DataHash = other.Blocks[middle].Data, other.Blocks[middle].Header.DataHash
		}, middle, []replay.Check{replay.OrdererSign}},
		"a thief drops a block":            {func(c *replaytest.Chain) { c.Blocks = slices.Delete(c.Blocks, middle, middle+1) }, middle + 1, []replay.Check{replay.Number}},
		"a thief swaps two blocks":         {func(c *replaytest.Chain) { c.Blocks[middle], c.Blocks[middle+1] = c.Blocks[middle+1], c.Blocks[middle] }, middle, []replay.Check{replay.Number}},
		"a thief puts a block there twice": {func(c *replaytest.Chain) { c.Blocks = slices.Insert(c.Blocks, middle, c.Blocks[middle]) }, middle, []replay.Check{replay.Number}},
		"a thief renumbers a block":        {func(c *replaytest.Chain) { c.Blocks[middle].Header.Number = 500 }, middle + 1, nil},
		"a thief changes the link":         {func(c *replaytest.Chain) { c.Blocks[middle].Header.PreviousHash[0] ^= 1 }, middle, []replay.Check{replay.Link, replay.OrdererSign}},
		"a thief leaves out a signature": {func(c *replaytest.Chain) {
			signatures(c, middle, func(m *common.Metadata) { m.Signatures = m.Signatures[1:] })
		}, middle, []replay.Check{replay.OrdererQuorum}},
		"a thief leaves out all signatures": {func(c *replaytest.Chain) { signatures(c, middle, func(m *common.Metadata) { m.Signatures = nil }) }, middle, []replay.Check{replay.OrdererQuorum}},
		"a thief counts a signature twice": {func(c *replaytest.Chain) {
			signatures(c, middle, func(m *common.Metadata) { m.Signatures[1] = m.Signatures[0] })
		}, middle, []replay.Check{replay.OrdererSign}},
		"a thief changes what the orderers signed beside the block": {func(c *replaytest.Chain) {
			signatures(c, middle, func(m *common.Metadata) {
				m.Value = marshal(t, &common.OrdererBlockMetadata{LastConfig: &common.LastConfig{Index: 4}})
			})
		}, middle, []replay.Check{replay.OrdererSign}},
		"a thief calls a valid transaction invalid": {func(c *replaytest.Chain) {
			(*metadata(c, request, common.BlockMetadataIndex_TRANSACTIONS_FILTER))[requestAt] = byte(peer.TxValidationCode_MVCC_READ_CONFLICT)
		}, request, []replay.Check{replay.ValidationCode}},
		"a thief leaves out a verdict": {func(c *replaytest.Chain) {
			f := metadata(c, middle, common.BlockMetadataIndex_TRANSACTIONS_FILTER)
			*f = (*f)[1:]
		}, middle, []replay.Check{replay.ValidationCode}},
		"a thief changes the commit hash":    {func(c *replaytest.Chain) { (*metadata(c, middle, common.BlockMetadataIndex_COMMIT_HASH))[5] ^= 1 }, middle, []replay.Check{replay.CommitHash}},
		"a thief takes away the commit hash": {func(c *replaytest.Chain) { *metadata(c, middle, common.BlockMetadataIndex_COMMIT_HASH) = nil }, middle, []replay.Check{replay.CommitHash}},
		"a thief hides bytes where nobody signs": {func(c *replaytest.Chain) {
			*metadata(c, middle, 3) = []byte("x") /* ORDERER, which Fabric has given up */
		}, middle, []replay.Check{replay.Unsigned}},
		"a thief adds a part to the metadata": {func(c *replaytest.Chain) {
			m := c.Blocks[middle].Metadata
			m.Metadata = append(m.Metadata, []byte("x"))
		}, middle, []replay.Check{replay.Encoding}},
		"a thief replaces the first block": {func(c *replaytest.Chain) { *c = *replaytest.New(t, replaytest.Options{Seed: 99}) }, 0, []replay.Check{replay.Genesis}},
		"a thief signs the first block": {func(c *replaytest.Chain) {
			signatures(c, 0, func(m *common.Metadata) { m.Signatures = []*common.MetadataSignature{{Signature: []byte("x")}} })
		}, 0, []replay.Check{replay.Unsigned}},

		"the orderers change a transaction": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Orderers, func(p *replaytest.Parts) { p.Action.Response.Payload = []byte("{}") })
		}, request, []replay.Check{replay.ValidationCode}},
		"the orderers leave out a signature they owe": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Orderers, func(p *replaytest.Parts) { p.Spoil = func(e *common.Envelope) { e.Signature = nil } })
		}, request, []replay.Check{replay.ValidationCode}},
		"the orderers put a transaction there twice": {func(c *replaytest.Chain) {
			b := c.Blocks[request]
			b.Data.Data = append(b.Data.Data, b.Data.Data[requestAt])
			f := metadata(c, request, common.BlockMetadataIndex_TRANSACTIONS_FILTER)
			*f = append(*f, byte(peer.TxValidationCode_VALID))
			c.Reseal(request)
		}, request, []replay.Check{replay.ValidationCode, replay.CommitHash}},
		"the orderers drop a transaction": {func(c *replaytest.Chain) {
			b := c.Blocks[withdraw]
			b.Data.Data = slices.Delete(b.Data.Data, withdrawAt, withdrawAt+1)
			f := metadata(c, withdraw, common.BlockMetadataIndex_TRANSACTIONS_FILTER)
			*f = slices.Delete(*f, withdrawAt, withdrawAt+1)
			c.Reseal(withdraw)
		}, withdraw, []replay.Check{replay.CommitHash}},
		"the sender changes what was endorsed": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Sender, func(p *replaytest.Parts) { p.Action.Response.Payload = []byte("{}") })
		}, request, []replay.Check{replay.ValidationCode}},
		"the sender changes what he asked for": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Sender, func(p *replaytest.Parts) {
				p.Args[1] = bytes.Replace(p.Args[1], []byte("CLMATTCH"), []byte("TREAT"), 1)
			})
		}, request, []replay.Check{replay.ValidationCode}},
		"the sender changes his transaction's id": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) { p.Header.TxId = strings.Repeat("0", 64) })
		}, request, []replay.Check{replay.ValidationCode}},
		"another member sends what was endorsed for the first": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Sender, func(p *replaytest.Parts) {
				p.Sender = c.Org("HospitalB").Gateway
				p.Creator.Creator = p.Sender.Serialized
			})
		}, request, []replay.Check{replay.ValidationCode}},
		"a certificate of a stranger's authority": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) {
				p.Sender = stranger(t)
				resend(p)
			})
		}, request, []replay.Check{replay.ValidationCode}},
		"a peer's certificate sends": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) {
				p.Sender = c.Org("Insurer").Peer
				resend(p)
			})
		}, request, []replay.Check{replay.NotWriter}},
		"too few endorse": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) { p.Endorsers = p.Endorsers[:2] })
		}, request, []replay.Check{replay.ValidationCode}},
		"one endorses three times": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) {
				p.Endorsers = []*replaytest.Party{p.Endorsers[0], p.Endorsers[0], p.Endorsers[0]}
			})
		}, request, []replay.Check{replay.ValidationCode}},
		"gateways endorse in place of peers": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) {
				p.Endorsers = []*replaytest.Party{c.Orgs[0].Gateway, c.Orgs[1].Gateway, c.Orgs[2].Gateway}
			})
		}, request, []replay.Check{replay.ValidationCode}},
		"all but the custodian release": {func(c *replaytest.Chain) {
			grant, at := c.Find(contract.ConsentGrant, 2)
			c.Forge(grant, at, replaytest.Endorsers, func(p *replaytest.Parts) {
				custodian := p.Sender.MSP
				p.Endorsers = nil
				for _, o := range c.Orgs {
					if o.MSP != custodian {
						p.Endorsers = append(p.Endorsers, o.Peer)
					}
				}
			})
		}, -1, []replay.Check{replay.ValidationCode}},

		"everybody makes a permit of a denial": {func(c *replaytest.Chain) {
			block, at := denied(t, c)
			c.Forge(block, at, replaytest.Endorsers, func(p *replaytest.Parts) {
				for _, w := range p.Sets[replaytest.ChaincodeName].Writes {
					w.Value = bytes.Replace(w.Value, []byte(`"deny"`), []byte(`"permit"`), 1)
				}
			})
		}, -1, []replay.Check{replay.ReadWriteSet, replay.CommitHash}},
		"everybody releases to the wrong manifest": {func(c *replaytest.Chain) {
			c.Forge(release, releaseAt, replaytest.Endorsers, func(p *replaytest.Parts) {
				for _, w := range p.Sets[replaytest.ChaincodeName].Writes {
					w.Value = bytes.Replace(w.Value, []byte(`"manifest":"`), []byte(`"manifest":"00`), 1)
				}
			})
		}, release, []replay.Check{replay.ReadWriteSet}},
		"everybody answers otherwise": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) { p.Action.Response.Payload = append(p.Action.Response.Payload, ' ') })
		}, request, []replay.Check{replay.Response}},
		"everybody forgets to read the consents": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) {
				s := p.Sets[replaytest.ChaincodeName]
				s.Reads = slices.DeleteFunc(s.Reads, func(r *kvrwset.KVRead) bool { return strings.Contains(r.Key, "directives") })
			})
		}, request, []replay.Check{replay.ReadWriteSet}},
		"everybody has an insurer grant consents": {func(c *replaytest.Chain) {
			grant, at := c.Find(contract.ConsentGrant, 0)
			c.Forge(grant, at, replaytest.Endorsers, func(p *replaytest.Parts) {
				p.Sender = c.Org("Insurer").Gateway
				resend(p)
			})
		}, -1, []replay.Check{replay.Rules}},
		"everybody backdates": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) {
				p.Header.Timestamp = timestamppb.New(p.Header.Timestamp.AsTime().Add(-10 * time.Hour))
			})
		}, request, []replay.Check{replay.Order}},
		"everybody signs after their certificates' end": {func(c *replaytest.Chain) {
			c.Forge(request, requestAt, replaytest.Endorsers, func(p *replaytest.Parts) {
				p.Header.Timestamp = timestamppb.New(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
			})
		}, request, []replay.Check{replay.Certificate}},
	} {
		t.Run(name, func(t *testing.T) {
			c := base.Clone()
			tt.do(c)
			if tt.block < 0 {
				tt.block = firstChange(base, c)
			}
			r, err := replay.Run(t.Context(), replaytest.Each(c.Encoded()), replay.Options{Genesis: base.Genesis(), Chaincode: replaytest.ChaincodeName})
			if err != nil {
				t.Fatal(err)
			}
			found(t, r, uint64(tt.block), tt.checks...)
		})
	}
	t.Run("untouched", func(t *testing.T) {
		if r := run(t, base, base.Clone().Encoded()); !r.Sound() {
			t.Errorf("%v", r.Divergences)
		}
	})
	t.Run("untouched, and signed anew by those who made it", func(t *testing.T) {
		c := base.Clone()
		c.Forge(request, requestAt, replaytest.Endorsers, func(*replaytest.Parts) {})
		if r := run(t, base, c.Encoded()); !r.Sound() {
			t.Errorf("%v", r.Divergences)
		}
	})
}

// Every byte of every region of a block matters.
func TestNoByteCanBeChanged(t *testing.T) {
	// What finds a changed bit first, before any rule is run: docs/replay.md says so.
	damage := []replay.Check{
		replay.Framing, replay.Encoding, replay.Genesis, replay.Number, replay.Link, replay.DataHash, replay.OrdererSign,
		replay.OrdererQuorum, replay.LastConfig, replay.Unsigned, replay.Configuration, replay.ValidationCode, replay.CommitHash,
	}
	base := replaytest.New(t, replaytest.Options{Seed: 5, PerBlock: 4})
	base.History(12)
	raw := base.Encoded()
	random := rand.New(rand.NewPCG(5, 5))
	tries := 500
	if testing.Short() {
		tries = 200
	}
	for range tries {
		block := random.IntN(len(raw))
		offset, bit := random.IntN(len(raw[block])), byte(1)<<random.IntN(8)
		spoilt := slices.Clone(raw)
		spoilt[block] = slices.Clone(raw[block])
		spoilt[block][offset] ^= bit
		r, err := replay.Run(t.Context(), replaytest.Each(spoilt), replay.Options{Genesis: base.Genesis(), Chaincode: replaytest.ChaincodeName, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if r.Sound() {
			t.Errorf("bit %08b of byte %d of block %d isn't missed", bit, offset, block)
		} else if check := r.Divergences[0].Check; !slices.Contains(damage, check) {
			t.Errorf("bit %08b of byte %d of block %d is first found by %s", bit, offset, block, check)
		}
	}
	// The end of a block is its metadata: try each byte, not only some.
	last := raw[len(raw)-1]
	from := len(last) - len(marshal(t, base.Blocks[len(raw)-1].Metadata))
	for offset := from; offset < len(last); offset++ {
		spoilt := slices.Clone(raw)
		spoilt[len(raw)-1] = slices.Clone(last)
		spoilt[len(raw)-1][offset] ^= 1
		if r := run(t, base, spoilt); r.Sound() {
			t.Errorf("byte %d of the last block's metadata isn't missed", offset-from)
		}
	}
}

func TestAHiddenTailAndAForkAreFoundByOthersHeights(t *testing.T) {
	c := genuine(t)
	raw := c.Encoded()
	n := len(raw)
	state := func(member string, last int, hash [32]byte) height.Statement {
		s := height.Statement{Channel: replaytest.ChannelName, Member: member, Blocks: uint64(last + 1), Hash: hash, At: time.Now()}
		s.Sign("signing", func(m []byte) []byte { return ed25519.Sign(replaytest.SigningKey(11, member).Private, m) })
		return s
	}
	head := state("HospitalB", n-1, hashOf(t, c, n-1))
	early := state("Insurer", 3, hashOf(t, c, 3))
	other := state("Insurer", 3, [32]byte{1})
	forged := early
	forged.Blocks = uint64(n + 9)
	for name, tt := range map[string]struct {
		blocks  int
		heights []height.Statement
		want    replay.Check
	}{
		"the whole chain":                      {n, []height.Statement{head, early}, ""},
		"the last block is hidden":             {n - 1, []height.Statement{head, early}, replay.Hidden},
		"the last five are hidden":             {n - 5, []height.Statement{head}, replay.Hidden},
		"nobody speaks of what is hidden":      {n - 5, []height.Statement{early}, ""},
		"a statement nobody signed":            {n, []height.Statement{head, forged}, replay.Statement},
		"another member has seen another past": {n, []height.Statement{other}, replay.Fork},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := replay.Run(t.Context(), replaytest.Each(raw[:tt.blocks]), replay.Options{Genesis: c.Genesis(), Chaincode: replaytest.ChaincodeName, Heights: tt.heights})
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tt.want == "" && !r.Sound():
				t.Errorf("%v", r.Divergences)
			case tt.want != "" && (len(r.Divergences) != 1 || r.Divergences[0].Check != tt.want):
				t.Errorf("got %v, want %s", r.Divergences, tt.want)
			}
		})
	}
}

func TestTheConfigurationInForceIsFollowed(t *testing.T) {
	change := func(root *common.ConfigGroup) {
		v := root.Groups["Orderer"].Values["BatchSize"]
		v.Version++
		v.Value, _ = proto.Marshal(&orderer.BatchSize{MaxMessageCount: 7})
	}
	three := func(c *replaytest.Chain) []*replaytest.Org { return c.Orgs[:3] }
	two := func(c *replaytest.Chain) []*replaytest.Org { return c.Orgs[:2] }
	for name, tt := range map[string]struct {
		change func(root *common.ConfigGroup)
		by     func(*replaytest.Chain) []*replaytest.Org
		ok     bool
	}{
		"a majority changes it":            {change, three, true},
		"too few change it":                {change, two, false},
		"a version is left out":            {func(g *common.ConfigGroup) { change(g); g.Groups["Orderer"].Values["BatchSize"].Version++ }, three, false},
		"something changes under the hand": {func(g *common.ConfigGroup) { change(g); g.Groups["Orderer"].Values["ConsensusType"].Value = []byte{} }, three, false},
		"a member's authority is replaced": {func(g *common.ConfigGroup) {
			for _, part := range []string{"Application", "Orderer"} {
				v := g.Groups[part].Groups["HospitalB"].Values["MSP"]
				v.Version++
			}
		}, three, false}, // only its own administrators may
	} {
		t.Run(name, func(t *testing.T) {
			c := replaytest.New(t, replaytest.Options{Seed: 21})
			c.History(30)
			by := tt.by(c)
			if name == "a member's authority is replaced" {
				by = []*replaytest.Org{c.Orgs[0], c.Orgs[2], c.Orgs[3]}
			}
			at := uint64(len(c.Blocks))
			c.Configure(tt.change, by...)
			c.History(30)
			r := run(t, c, c.Encoded())
			if tt.ok {
				if !r.Sound() || r.Sequence != 1 {
					t.Errorf("configuration %d, %v", r.Sequence, r.Divergences)
				}
				return
			}
			found(t, r, at, replay.Configuration)
		})
	}
}

// revoking puts a list of revoked certificates into a member's MSP.
func revoking(o *replaytest.Org, list []byte) func(root *common.ConfigGroup) {
	return func(root *common.ConfigGroup) {
		for _, part := range []string{"Application", "Orderer"} {
			v := root.Groups[part].Groups[o.MSP].Values["MSP"]
			outer, config := &msp.MSPConfig{}, &msp.FabricMSPConfig{}
			if proto.Unmarshal(v.Value, outer) != nil || proto.Unmarshal(outer.Config, config) != nil {
				panic("the MSP can't be read")
			}
			config.RevocationList = [][]byte{list}
			outer.Config, _ = proto.Marshal(config)
			v.Value, _ = proto.Marshal(outer)
			v.Version++
		}
	}
}

// From the block on that lists a certificate, a transaction under it isn't valid, whatever
// the peers said; and the member's own administrator is enough to list it.
func TestARevokedCertificateSignsNothingFromThatBlockOn(t *testing.T) {
	const hospitalB = 1
	for name, tc := range map[string]struct {
		revoke  func(c *replaytest.Chain) *replaytest.Party
		by      int // whose administrator signs the update
		sound   bool
		checked replay.Check
	}{
		"one that nobody uses":                  {func(c *replaytest.Chain) *replaytest.Party { return c.Orgs[hospitalB].Admin }, hospitalB, true, ""},
		"one that goes on signing":              {func(c *replaytest.Chain) *replaytest.Party { return c.Orgs[hospitalB].Gateway }, hospitalB, false, replay.ValidationCode},
		"one by another member's administrator": {func(c *replaytest.Chain) *replaytest.Party { return c.Orgs[hospitalB].Gateway }, 0, false, replay.Configuration},
	} {
		t.Run(name, func(t *testing.T) {
			c := replaytest.New(t, replaytest.Options{Seed: 23})
			c.History(40)
			at := len(c.Blocks)
			org := c.Orgs[hospitalB]
			c.Configure(revoking(org, org.CA.Revoke(tc.revoke(c))), c.Orgs[tc.by])
			c.History(40)
			r := run(t, c, c.Encoded())
			if tc.sound {
				if !r.Sound() || r.Sequence != 1 {
					t.Errorf("configuration %d, %v", r.Sequence, r.Divergences)
				}
				return
			}
			if r.Sound() {
				t.Fatal("nothing was found")
			}
			for _, d := range r.Divergences {
				if int(d.Block) < at {
					t.Errorf("before the revocation: %v", d)
				}
			}
			if !slices.ContainsFunc(r.Divergences, func(d replay.Divergence) bool { return d.Check == tc.checked }) {
				t.Errorf("%s isn't among %v", tc.checked, r.Divergences)
			}
		})
	}
}

func TestTheSameSeedMakesTheSameChain(t *testing.T) {
	a, b := genuine(t), genuine(t)
	if a.Genesis() != b.Genesis() || hashOf(t, a, len(a.Blocks)-1) != hashOf(t, b, len(b.Blocks)-1) {
		t.Error("two chains of one seed differ")
	}
}

// denied is a request that was denied.
func denied(t *testing.T, c *replaytest.Chain) (block, index int) {
	t.Helper()
	for n := range 100 {
		block, index = c.Find(contract.AccessRequest, n)
		if bytes.Contains(c.Open(block, index).Action.Response.Payload, []byte(`"outcome":"deny"`)) {
			return block, index
		}
	}
	t.Fatal("no request was denied")
	return 0, 0
}

// resend makes a transaction the new sender's own.
func resend(p *replaytest.Parts) {
	p.Creator.Creator = p.Sender.Serialized
	p.Header.TxId = replaytest.TransactionID(p.Creator.Nonce, p.Creator.Creator)
}

// stranger has a certificate that says Insurer, by an authority of the same name.
func stranger(t *testing.T) *replaytest.Party {
	return replaytest.New(t, replaytest.Options{Seed: 1234}).Org("Insurer").Gateway
}

func firstChange(a, b *replaytest.Chain) int {
	for i := range a.Blocks {
		if !proto.Equal(a.Blocks[i].Data, b.Blocks[i].Data) {
			return i
		}
	}
	return -1
}

func hashOf(t *testing.T, c *replaytest.Chain, block int) [32]byte {
	t.Helper()
	return channel.Hash(c.Blocks[block].Header)
}

func text(t *testing.T, doc any) string {
	t.Helper()
	b, err := json.MarshalIndent(doc, "", " ")
	must(t, err)
	return string(b)
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	must(t, err)
	return raw
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
