package channel

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/hyperledger/fabric-protos-go-apiv2/common"
	"google.golang.org/protobuf/proto"
)

// Update is the configuration that a configuration block leads to. It is refused unless
// the update within is one that the present configuration allows, signed as it asks, and
// gives exactly the configuration stated (Fabric: configtx.ValidatorImpl.Validate).
func (c *Config) Update(e *common.ConfigEnvelope) (*Config, error) {
	if e.GetConfig() == nil {
		return nil, errors.New("the configuration block holds no configuration")
	}
	if e.Config.Sequence != c.Sequence+1 {
		return nil, fmt.Errorf("configuration %d follows configuration %d", e.Config.Sequence, c.Sequence)
	}
	update, err := readUpdate(e.LastUpdate)
	if err != nil {
		return nil, err
	}
	elements, err := c.authorize(update)
	if err != nil {
		return nil, err
	}
	group, err := rebuild(elements, "/"+rootGroup)
	if err != nil {
		return nil, err
	}
	if !proto.Equal(group, e.Config.ChannelGroup) {
		return nil, errors.New("the update doesn't give the configuration that the block states")
	}
	return New(c.Channel, e.Config)
}

// readUpdate takes the update out of its envelope.
func readUpdate(env *common.Envelope) (*common.ConfigUpdateEnvelope, error) {
	payload, header, update := &common.Payload{}, &common.ChannelHeader{}, &common.ConfigUpdateEnvelope{}
	if err := proto.Unmarshal(env.GetPayload(), payload); err != nil {
		return nil, fmt.Errorf("configuration update: %w", err)
	}
	if err := proto.Unmarshal(payload.GetHeader().GetChannelHeader(), header); err != nil {
		return nil, fmt.Errorf("configuration update: %w", err)
	}
	if common.HeaderType(header.Type) != common.HeaderType_CONFIG_UPDATE {
		return nil, fmt.Errorf("configuration update: header type %d", header.Type)
	}
	if err := proto.Unmarshal(payload.Data, update); err != nil {
		return nil, fmt.Errorf("configuration update: %w", err)
	}
	return update, nil
}

// element is a group, value or policy of a configuration at its path.
type element struct {
	item      item
	group     []string // path of the group it belongs to; a group's own path without its name
	name      string
	isGroup   bool
	modPolicy string
}

// item is what the three kinds have in common.
type item interface {
	proto.Message
	GetVersion() uint64
	GetModPolicy() string
}

// The kinds of element, in front of their paths.
const (
	groupKind  = "group "
	valueKind  = "value "
	policyKind = "policy "
)

var elementName = regexp.MustCompile(`^[a-zA-Z0-9.-]{1,249}$`)

// elementsOf lists what a group holds by kind and path.
func elementsOf(root *common.ConfigGroup) (map[string]element, error) {
	out := map[string]element{}
	if root == nil {
		return out, nil
	}
	return out, collect(out, nil, rootGroup, root, 0)
}

func collect(out map[string]element, parent []string, name string, g *common.ConfigGroup, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("nested deeper than %d", maxNesting)
	}
	add := func(kind string, group []string, name string, it item) error {
		if !elementName.MatchString(name) || name == "." || name == ".." {
			return fmt.Errorf("%q is no name of a configuration element", name)
		}
		out[kind+pathOf(group, name)] = element{item: it, group: group, name: name, isGroup: kind == groupKind, modPolicy: it.GetModPolicy()}
		return nil
	}
	if err := add(groupKind, parent, name, g); err != nil {
		return err
	}
	path := append(append([]string{}, parent...), name)
	for n, sub := range g.GetGroups() {
		if err := collect(out, path, n, sub, depth+1); err != nil {
			return err
		}
	}
	for n, v := range g.GetValues() {
		if err := add(valueKind, path, n, v); err != nil {
			return err
		}
	}
	for n, p := range g.GetPolicies() {
		if err := add(policyKind, path, n, p); err != nil {
			return err
		}
	}
	return nil
}

func pathOf(group []string, name string) string {
	return "/" + strings.Join(append(append([]string{}, group...), name), "/")
}

// authorize overlays an update on the configuration, if it may be.
func (c *Config) authorize(e *common.ConfigUpdateEnvelope) (map[string]element, error) {
	update := &common.ConfigUpdate{}
	if err := proto.Unmarshal(e.ConfigUpdate, update); err != nil {
		return nil, fmt.Errorf("configuration update: %w", err)
	}
	if update.ChannelId != c.Channel {
		return nil, fmt.Errorf("the update is for channel %q", update.ChannelId)
	}
	present, err := elementsOf(c.config.ChannelGroup)
	if err != nil {
		return nil, err
	}
	read, err := elementsOf(update.ReadSet)
	if err != nil {
		return nil, fmt.Errorf("read set: %w", err)
	}
	write, err := elementsOf(update.WriteSet)
	if err != nil {
		return nil, fmt.Errorf("write set: %w", err)
	}
	for path, r := range read {
		if is, ok := present[path]; !ok || is.item.GetVersion() != r.item.GetVersion() {
			return nil, fmt.Errorf("the update was made for another version of %s", path)
		}
	}
	signers, err := c.updateSigners(e)
	if err != nil {
		return nil, err
	}
	changed := map[string]element{}
	for path, w := range write {
		if r, ok := read[path]; !ok || r.item.GetVersion() != w.item.GetVersion() {
			changed[path] = w
		}
	}
	if len(changed) == 0 {
		return nil, errors.New("the update changes nothing")
	}
	for path, w := range changed {
		if err := c.mayChange(path, w, present, signers); err != nil {
			return nil, err
		}
	}
	next := maps.Clone(present)
	maps.Copy(next, changed)
	for path := range write {
		if _, ok := next[path]; !ok {
			return nil, fmt.Errorf("the update names %s, which isn't there", path)
		}
	}
	return next, nil
}

func (c *Config) mayChange(path string, w element, present map[string]element, signers []*Identity) error {
	if w.modPolicy == "" {
		return fmt.Errorf("%s would be nobody's to change", path)
	}
	for _, part := range strings.Split(strings.TrimPrefix(w.modPolicy, "/"), "/") {
		if !elementName.MatchString(part) {
			return fmt.Errorf("%s: %q is no policy", path, w.modPolicy)
		}
	}
	is, ok := present[path]
	if !ok {
		if w.item.GetVersion() != 0 {
			return fmt.Errorf("%s is new and can't have version %d", path, w.item.GetVersion())
		}
		return nil
	}
	if w.item.GetVersion() != is.item.GetVersion()+1 {
		return fmt.Errorf("%s has version %d and can't get version %d", path, is.item.GetVersion(), w.item.GetVersion())
	}
	if !c.Policy(is.governedBy()).Satisfied(signers) {
		return fmt.Errorf("%s is changed without the signatures that %s asks for", path, is.governedBy())
	}
	return nil
}

// governedBy is the path of the policy under which an element may change. A relative one
// is looked for in the element's group; a group's own policies are within the group.
func (e element) governedBy() string {
	if strings.HasPrefix(e.modPolicy, "/") {
		return e.modPolicy
	}
	group := e.group
	if e.isGroup {
		group = append(append([]string{}, group...), e.name)
	}
	return pathOf(group, e.modPolicy)
}

func (c *Config) updateSigners(e *common.ConfigUpdateEnvelope) ([]*Identity, error) {
	var set []Signed
	for _, s := range e.Signatures {
		header := &common.SignatureHeader{}
		if err := proto.Unmarshal(s.SignatureHeader, header); err != nil {
			return nil, fmt.Errorf("signature of the update: %w", err)
		}
		set = append(set, Signed{
			Identity: header.Creator, Signature: s.Signature,
			Message: append(append([]byte{}, s.SignatureHeader...), e.ConfigUpdate...),
		})
	}
	signers, _ := c.Signers(set)
	return signers, nil
}

// rebuild makes a group of its elements again.
func rebuild(all map[string]element, path string) (*common.ConfigGroup, error) {
	e, ok := all[groupKind+path]
	if !ok {
		return nil, fmt.Errorf("%s is missing", path)
	}
	from := e.item.(*common.ConfigGroup)
	to := &common.ConfigGroup{
		Version: from.Version, ModPolicy: from.ModPolicy, Groups: map[string]*common.ConfigGroup{},
		Values: map[string]*common.ConfigValue{}, Policies: map[string]*common.ConfigPolicy{},
	}
	for name := range from.Groups {
		sub, err := rebuild(all, path+"/"+name)
		if err != nil {
			return nil, err
		}
		to.Groups[name] = sub
	}
	for name := range from.Values {
		v, ok := all[valueKind+path+"/"+name]
		if !ok {
			return nil, fmt.Errorf("%s/%s is missing", path, name)
		}
		to.Values[name] = v.item.(*common.ConfigValue)
	}
	for name := range from.Policies {
		p, ok := all[policyKind+path+"/"+name]
		if !ok {
			return nil, fmt.Errorf("%s/%s is missing", path, name)
		}
		to.Policies[name] = p.item.(*common.ConfigPolicy)
	}
	return to, nil
}
