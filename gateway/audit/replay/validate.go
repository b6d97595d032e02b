package replay

import (
	"maps"
	"slices"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/ledger/rwset/kvrwset"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer/lifecycle"
	"google.golang.org/protobuf/proto"

	"yitong/gateway/audit/replay/channel"
)

// lifecycleSpace is where Fabric keeps the chaincodes' definitions.
const lifecycleSpace = "_lifecycle"

const validationParameter = "VALIDATION_PARAMETER"

// implicitCollection begins the name of an organisation's own collection.
const implicitCollection = "_implicit_org_"

// validator gives the transactions of one block their validation codes, as a peer does:
// first ids and endorsements of the whole block, then reads in the order of the block.
type validator struct {
	config   *channel.Config
	state    state
	policies map[string]channel.Policy // by namespace, as defined before the block; nil if not
	changed  map[place]bool            // keys whose policy an earlier transaction of the block changes
}

func newValidator(c *channel.Config, s state) *validator {
	return &validator{config: c, state: s, policies: map[string]channel.Policy{}, changed: map[place]bool{}}
}

// checkEndorsements follows plugindispatcher.Dispatch and statebased.KeyLevelValidator.
func (v *validator) checkEndorsements(t *transaction) {
	spaces := map[string]bool{t.chaincode: true}
	for _, n := range t.sets {
		if n.writes() {
			spaces[n.namespace] = true
		}
	}
	for _, space := range slices.Sorted(maps.Keys(spaces)) {
		policy := v.policyOf(space)
		if policy == nil {
			t.fail(peer.TxValidationCode_INVALID_CHAINCODE, "chaincode %s isn't defined", space)
			return
		}
		if why := v.endorsed(t, space, policy); why != "" {
			t.fail(peer.TxValidationCode_ENDORSEMENT_POLICY_FAILURE, "%s", why)
			return
		}
		for _, n := range t.sets {
			if n.namespace == space {
				v.note(n)
			}
		}
	}
}

// note remembers the keys whose policy a transaction changes. Fabric lets it hold for the
// rest of the block once the endorsements are good, be the reads good or not.
func (v *validator) note(n namespaceSet) {
	for _, w := range n.kv.MetadataWrites {
		v.changed[place{n.namespace, w.Key}] = true
	}
	for _, c := range n.collections {
		for _, w := range c.set.MetadataWrites {
			v.changed[place{collectionSpace(n.namespace, c.name), string(w.KeyHash)}] = true
		}
	}
}

// policyOf is the endorsement policy of a chaincode's definition, nil if it has none.
func (v *validator) policyOf(space string) channel.Policy {
	if p, ok := v.policies[space]; ok {
		return p
	}
	var p channel.Policy
	if space == lifecycleSpace {
		p = v.config.Policy(channel.LifecycleEndorsement)
	} else if d, ok := definitionOf(v.state, space); ok {
		p = v.config.ApplicationPolicy(d.policy)
	}
	v.policies[space] = p
	return p
}

// definition is a chaincode's, as the members have agreed on it.
type definition struct {
	sequence int64
	version  string
	policy   []byte // peer.ApplicationPolicy
}

// definitionOf reads Fabric's lifecycle.ChaincodeDefinition out of the state.
func definitionOf(s state, name string) (definition, bool) {
	var meta lifecycle.StateMetadata
	e := s.get(place{lifecycleSpace, "namespaces/metadata/" + name})
	if e == nil || proto.Unmarshal(e.Value, &meta) != nil || meta.Datatype != "ChaincodeDefinition" {
		return definition{}, false
	}
	var validation lifecycle.ChaincodeValidationInfo
	var endorsement lifecycle.ChaincodeEndorsementInfo
	if !field(s, name, "ValidationInfo", &validation) || !field(s, name, "EndorsementInfo", &endorsement) {
		return definition{}, false
	}
	if validation.ValidationPlugin == "" || len(validation.ValidationParameter) == 0 {
		return definition{}, false
	}
	var sequence lifecycle.StateData
	if e := s.get(place{lifecycleSpace, "namespaces/fields/" + name + "/Sequence"}); e != nil {
		_ = proto.Unmarshal(e.Value, &sequence) // 0 if it can't be read: it is told, not relied on
	}
	return definition{sequence: sequence.GetInt64(), version: endorsement.Version, policy: validation.ValidationParameter}, true
}

func field(s state, name, field string, into proto.Message) bool {
	var data lifecycle.StateData
	e := s.get(place{lifecycleSpace, "namespaces/fields/" + name + "/" + field})
	return e != nil && proto.Unmarshal(e.Value, &data) == nil && proto.Unmarshal(data.GetBytes(), into) == nil
}

// endorsed checks what a transaction writes of one namespace, key by key. It returns why
// it isn't endorsed, "" if it is.
func (v *validator) endorsed(t *transaction, space string, policy channel.Policy) string {
	c := keyCheck{v: v, t: t, namespace: space, policy: policy}
	for _, n := range t.sets {
		if n.namespace != space {
			continue
		}
		for _, w := range n.kv.Writes {
			c.key("", w.Key)
		}
		for _, w := range n.kv.MetadataWrites {
			c.key("", w.Key)
		}
		for _, coll := range n.collections {
			for _, w := range coll.set.HashedWrites {
				c.key(coll.name, string(w.KeyHash))
			}
		}
		for _, coll := range n.collections {
			for _, w := range coll.set.MetadataWrites {
				c.key(coll.name, string(w.KeyHash))
			}
		}
	}
	if c.why == "" && !c.some && !policy.Satisfied(t.endorsers) {
		c.why = "the endorsements don't meet the policy of chaincode " + space
	}
	return c.why
}

// keyCheck is statebased's baseEvaluator with policyCheckerV20.
type keyCheck struct {
	v         *validator
	t         *transaction
	namespace string
	policy    channel.Policy
	met       map[string]bool // by collection: its policy was found met
	some      bool            // some policy was
	why       string
}

func (c *keyCheck) key(collection, key string) {
	if c.why != "" {
		return
	}
	space := c.namespace
	if collection != "" {
		space = collectionSpace(c.namespace, collection)
	}
	p := place{space, key}
	if c.v.changed[p] {
		c.why = "an earlier transaction of the block changes who has to endorse what this one writes"
		return
	}
	if e := c.v.state.get(p); e != nil && len(e.Policy) > 0 {
		if !c.v.config.SignaturePolicy(e.Policy).Satisfied(c.t.endorsers) {
			c.why = "the endorsements don't meet the policy of a key that is written"
		}
		c.some = true
		return
	}
	policy := c.policy
	if org, ok := strings.CutPrefix(collection, implicitCollection); ok {
		policy = c.v.config.Policy("/Channel/Application/" + org + "/Endorsement")
	} else {
		collection = ""
	}
	if c.met[collection] {
		return
	}
	if !policy.Satisfied(c.t.endorsers) {
		c.why = "the endorsements don't meet the policy of chaincode " + c.namespace
		return
	}
	if c.met == nil {
		c.met = map[string]bool{}
	}
	c.met[collection], c.some = true, true
}

// checkReads follows txmgmt/validation: everything read must be as it was when read.
func (v *validator) checkReads(t *transaction, u *updates) {
	for _, n := range t.sets {
		for _, r := range n.kv.Reads {
			if !v.unchanged(u, place{n.namespace, r.Key}, versionOf(r.Version)) {
				t.fail(peer.TxValidationCode_MVCC_READ_CONFLICT, "a key of %s that it read has changed since", n.namespace)
				return
			}
		}
		for _, q := range n.kv.RangeQueriesInfo {
			if !v.unchangedRange(u, n.namespace, q) {
				t.fail(peer.TxValidationCode_PHANTOM_READ_CONFLICT, "a range of %s that it read has changed since", n.namespace)
				return
			}
		}
		for _, c := range n.collections {
			for _, r := range c.set.HashedReads {
				if !v.unchanged(u, place{collectionSpace(n.namespace, c.name), string(r.KeyHash)}, versionOf(r.Version)) {
					t.fail(peer.TxValidationCode_MVCC_READ_CONFLICT, "a private key of %s that it read has changed since", n.namespace)
					return
				}
			}
		}
	}
}

func (v *validator) unchanged(u *updates, p place, read version) bool {
	if _, written := u.entries[p]; written {
		return false
	}
	e := v.state.get(p)
	if e == nil {
		return !read.Set
	}
	return e.Version == read
}

func (v *validator) unchangedRange(u *updates, space string, q *kvrwset.RangeQueryInfo) bool {
	keys := between(v.state, u, space, q.StartKey, q.EndKey, !q.ItrExhausted)
	reads := q.GetRawReads().GetKvReads()
	if q.GetReadsMerkleHashes() != nil {
		return true // see unverifiable
	}
	if len(keys) != len(reads) {
		return false
	}
	for i, r := range reads {
		e := u.get(v.state, place{space, keys[i]})
		if keys[i] != r.Key || e.Version != versionOf(r.Version) {
			return false
		}
	}
	return true
}

// unverifiable says that a transaction recorded a range only by a hash of what it held.
// No function of Yitong's that writes reads a range at all.
func unverifiable(t *transaction) bool {
	for _, n := range t.sets {
		for _, q := range n.kv.RangeQueriesInfo {
			if q.GetReadsMerkleHashes() != nil {
				return true
			}
		}
	}
	return false
}

// collect adds a valid transaction's writes to the block's changes. A key's policy
// outlives its value's changes and dies with the key; a policy for a key that doesn't
// exist is lost (Fabric: txmgmt/validation/tx_ops.go).
func (v *validator) collect(t *transaction, u *updates, at version) {
	for _, n := range t.sets {
		for _, w := range n.kv.Writes {
			u.write(v.state, place{n.namespace, w.Key}, w.Value, w.IsDelete || len(w.Value) == 0, at)
		}
		for _, w := range n.kv.MetadataWrites {
			u.setPolicy(v.state, place{n.namespace, w.Key}, w.Entries, at)
		}
		for _, c := range n.collections {
			space := collectionSpace(n.namespace, c.name)
			for _, w := range c.set.HashedWrites {
				u.write(v.state, place{space, string(w.KeyHash)}, w.ValueHash, w.IsDelete || len(w.ValueHash) == 0, at)
			}
			for _, w := range c.set.MetadataWrites {
				u.setPolicy(v.state, place{space, string(w.KeyHash)}, w.Entries, at)
			}
		}
	}
}

func (u *updates) write(s state, p place, value []byte, deleted bool, at version) {
	if deleted {
		u.entries[p] = &entry{Version: at}
		return
	}
	next := &entry{Value: value, Version: at}
	if before := u.get(s, p); before != nil {
		next.Policy = before.Policy
	}
	u.entries[p] = next
}

func (u *updates) setPolicy(s state, p place, entries []*kvrwset.KVMetadataEntry, at version) {
	before := u.get(s, p)
	if before == nil {
		return
	}
	var policy []byte
	for _, e := range entries {
		if e.Name == validationParameter {
			policy = e.Value
		}
	}
	u.entries[p] = &entry{Value: before.Value, Policy: policy, Version: at}
}
