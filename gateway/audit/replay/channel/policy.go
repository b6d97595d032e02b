package channel

import (
	"fmt"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"github.com/hyperledger/fabric-protos-go-apiv2/msp"
	"github.com/hyperledger/fabric-protos-go-apiv2/peer"
	"google.golang.org/protobuf/proto"
)

// Policy says whose signatures together are enough.
type Policy interface {
	// Satisfied is told the distinct identities whose signatures were found good.
	Satisfied(by []*Identity) bool
}

// nobody is the policy that isn't there: Fabric then rejects everything.
type nobody struct{}

func (nobody) Satisfied([]*Identity) bool { return false }

// implicit asks for a number of the policies of the groups below.
type implicit struct {
	need int
	sub  []Policy
}

func (p *implicit) Satisfied(by []*Identity) bool {
	met := 0
	for _, sub := range p.sub {
		if met < p.need && sub.Satisfied(by) {
			met++
		}
	}
	return met >= p.need
}

// signature is a compiled signature policy (Fabric: common/cauthdsl).
type signature struct{ rule rule }

func (p signature) Satisfied(by []*Identity) bool { return p.rule(by, make([]bool, len(by))) }

// rule marks the signatures it uses: one counts once.
type rule func(by []*Identity, used []bool) bool

// maxNesting bounds policies and combined principals: both come from transactions.
const maxNesting = 64

func compile(p *common.SignaturePolicy, principals []principal, depth int) (rule, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("the policy is nested deeper than %d", maxNesting)
	}
	switch t := p.GetType().(type) {
	case *common.SignaturePolicy_SignedBy:
		if t.SignedBy < 0 || int(t.SignedBy) >= len(principals) {
			return nil, fmt.Errorf("the policy names principal %d of %d", t.SignedBy, len(principals))
		}
		who := principals[t.SignedBy]
		return func(by []*Identity, used []bool) bool {
			for i, id := range by {
				if !used[i] && who(id) {
					used[i] = true
					return true
				}
			}
			return false
		}, nil
	case *common.SignaturePolicy_NOutOf_:
		rules := make([]rule, len(t.NOutOf.GetRules()))
		for i, sub := range t.NOutOf.GetRules() {
			var err error
			if rules[i], err = compile(sub, principals, depth+1); err != nil {
				return nil, err
			}
		}
		return outOf(int(t.NOutOf.GetN()), rules), nil
	}
	return nil, fmt.Errorf("the policy has an empty element")
}

func outOf(need int, rules []rule) rule {
	return func(by []*Identity, used []bool) bool {
		met, trial := 0, make([]bool, len(used))
		for _, r := range rules {
			copy(trial, used)
			if r(by, trial) {
				met++
				copy(used, trial)
			}
		}
		return met >= need
	}
}

// principal tells whether somebody is meant.
type principal func(*Identity) bool

func (c *Config) signaturePolicy(e *common.SignaturePolicyEnvelope) (Policy, error) {
	if e == nil || e.Version != 0 {
		return nil, fmt.Errorf("a signature policy of an unknown version")
	}
	principals := make([]principal, len(e.Identities))
	for i, p := range e.Identities {
		principals[i] = c.principal(p, 0)
	}
	r, err := compile(e.Rule, principals, 0)
	if err != nil {
		return nil, err
	}
	return signature{r}, nil
}

// principal follows Fabric's msp.satisfiesPrincipalInternalV142. What can't be read
// means nobody, and so does an organisational unit, which no policy of Yitong's names.
func (c *Config) principal(p *msp.MSPPrincipal, depth int) principal {
	none := func(*Identity) bool { return false }
	if depth > maxNesting {
		return none
	}
	switch p.GetPrincipalClassification() {
	case msp.MSPPrincipal_ROLE:
		var role msp.MSPRole
		if proto.Unmarshal(p.Principal, &role) != nil {
			return none
		}
		return func(i *Identity) bool { return i.MSP == role.MspIdentifier && i.has(role.Role) }
	case msp.MSPPrincipal_IDENTITY:
		wanted, err := c.Identity(p.Principal)
		if err != nil || wanted.Invalid != nil {
			return none
		}
		key := wanted.key()
		return func(i *Identity) bool { return i.key() == key }
	case msp.MSPPrincipal_COMBINED:
		var all msp.CombinedPrincipal
		if proto.Unmarshal(p.Principal, &all) != nil || len(all.Principals) == 0 {
			return none
		}
		each := make([]principal, len(all.Principals))
		for i, one := range all.Principals {
			each[i] = c.principal(one, depth+1)
		}
		return func(i *Identity) bool {
			for _, who := range each {
				if !who(i) {
					return false
				}
			}
			return true
		}
	case msp.MSPPrincipal_ANONYMITY:
		var a msp.MSPIdentityAnonymity
		if proto.Unmarshal(p.Principal, &a) != nil || a.AnonymityType != msp.MSPIdentityAnonymity_NOMINAL {
			return none
		}
		return func(*Identity) bool { return true }
	}
	return none
}

func (i *Identity) has(role msp.MSPRole_MSPRoleType) bool {
	if role == msp.MSPRole_ADMIN && i.admin {
		return true
	}
	if i.Invalid != nil {
		return false
	}
	switch role {
	case msp.MSPRole_MEMBER:
		return true
	case msp.MSPRole_ADMIN, msp.MSPRole_CLIENT, msp.MSPRole_PEER, msp.MSPRole_ORDERER:
		return i.Role == strings.ToLower(role.String())
	}
	return false
}

// Policy is the policy at an absolute path, such as /Channel/Orderer/BlockValidation.
// One that isn't there is satisfied by nobody.
func (c *Config) Policy(path string) Policy {
	if p, ok := c.policies[path]; ok {
		return p
	}
	return nobody{}
}

// ApplicationPolicy is a chaincode's endorsement policy as its definition has it: a
// signature policy or the path of one of the channel's. What can't be read is satisfied
// by nobody.
func (c *Config) ApplicationPolicy(raw []byte) Policy {
	return c.cached("application", raw, func() (Policy, error) {
		var p peer.ApplicationPolicy
		if err := proto.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		switch t := p.Type.(type) {
		case *peer.ApplicationPolicy_SignaturePolicy:
			return c.signaturePolicy(t.SignaturePolicy)
		case *peer.ApplicationPolicy_ChannelConfigPolicyReference:
			return c.Policy(t.ChannelConfigPolicyReference), nil
		}
		return nobody{}, nil
	})
}

// SignaturePolicy is a key's own endorsement policy as its metadata has it.
func (c *Config) SignaturePolicy(raw []byte) Policy {
	return c.cached("signature", raw, func() (Policy, error) {
		var e common.SignaturePolicyEnvelope
		if err := proto.Unmarshal(raw, &e); err != nil {
			return nil, err
		}
		return c.signaturePolicy(&e)
	})
}

func (c *Config) cached(kind string, raw []byte, read func() (Policy, error)) Policy {
	key := kind + "\x00" + string(raw)
	if p, ok := c.compiled.Load(key); ok {
		return p.(Policy)
	}
	p, err := read()
	if err != nil {
		p = nobody{}
	}
	c.compiled.Store(key, p)
	return p
}

// readPolicies compiles the policies of a group and those below it.
func (c *Config) readPolicies(g *common.ConfigGroup, path string, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("the configuration is nested deeper than %d", maxNesting)
	}
	for name, sub := range g.GetGroups() {
		if err := c.readPolicies(sub, path+"/"+name, depth+1); err != nil {
			return err
		}
	}
	for name, p := range g.GetPolicies() {
		policy, err := c.readPolicy(p.GetPolicy(), g, path)
		if err != nil {
			return fmt.Errorf("policy %s/%s: %w", path, name, err)
		}
		c.policies[path+"/"+name] = policy
	}
	return nil
}

func (c *Config) readPolicy(p *common.Policy, g *common.ConfigGroup, path string) (Policy, error) {
	switch common.Policy_PolicyType(p.GetType()) {
	case common.Policy_SIGNATURE:
		var e common.SignaturePolicyEnvelope
		if err := proto.Unmarshal(p.Value, &e); err != nil {
			return nil, err
		}
		return c.signaturePolicy(&e)
	case common.Policy_IMPLICIT_META:
		var meta common.ImplicitMetaPolicy
		if err := proto.Unmarshal(p.Value, &meta); err != nil {
			return nil, err
		}
		out := &implicit{}
		for name := range g.GetGroups() {
			out.sub = append(out.sub, c.Policy(path+"/"+name+"/"+meta.SubPolicy))
		}
		n := len(out.sub)
		switch {
		case n == 0:
		case meta.Rule == common.ImplicitMetaPolicy_ANY:
			out.need = 1
		case meta.Rule == common.ImplicitMetaPolicy_ALL:
			out.need = n
		case meta.Rule == common.ImplicitMetaPolicy_MAJORITY:
			out.need = n/2 + 1
		}
		return out, nil
	}
	return nil, fmt.Errorf("a policy of type %d can't be evaluated", p.GetType())
}
