package consent

import "yitong/chaincode/record"

// grant is the permit for the granted classes.
func (e *evaluation) grant(granted record.Classes) Decision {
	refused := e.request.Classes &^ granted
	rules, basis := e.count(granted)
	d := Decision{Outcome: Permit, Until: e.until}
	d.Scope = Scope{Classes: granted, Types: e.request.Types, Period: e.request.Period}
	d.Scope.Rules, d.Basis, d.Refused = room(rules, basis, !refused.Empty())

	for group := range e.groups {
		d.Basis = append(d.Basis, e.basis(group))
		for i := range group {
			if rule := group[i].Residual; rule.Classes&granted != 0 {
				rule.Classes &= granted
				d.Scope.Rules = append(d.Scope.Rules, rule)
			}
		}
		if d.Rule.Reason == "" && group[0].permit&granted != 0 {
			d.Rule = e.rule(permitting(group, granted), Permitted)
		}
	}
	d.Refused = e.refuse(d.Refused, refused)
	return d
}

// denial is the deny for all requested classes.
func (e *evaluation) denial() Decision {
	d := Decision{Outcome: Deny, Until: e.until}
	_, basis := e.count(0)
	_, d.Basis, d.Refused = room(0, basis, true)
	for group := range e.groups {
		d.Basis = append(d.Basis, e.basis(group))
	}
	d.Refused = e.refuse(d.Refused, e.request.Classes)
	d.Rule = Rule{Reason: NothingSaid}
	if len(d.Refused) > 0 { // but for a request of no class, which isn't valid
		d.Rule = d.Refused[0].Rule
	}
	return d
}

// groups yields the nodes of each consent that has a say, by consent id.
func (e *evaluation) groups(yield func([]node) bool) {
	for _, from := range e.order {
		group := e.nodes[from:]
		to := 1
		for to < len(group) && group[to].Depth > 0 {
			to++
		}
		if !yield(group[:to]) {
			return
		}
	}
}

// count says how many rules about the granted classes and how many consents have a say.
func (e *evaluation) count(granted record.Classes) (rules, consents int) {
	for group := range e.groups {
		consents++
		for i := range group {
			if group[i].Classes&granted != 0 {
				rules++
			}
		}
	}
	return rules, consents
}

func (e *evaluation) basis(group []node) Basis {
	c := &e.consents[group[0].consent]
	return Basis{ID: c.ID, Version: c.Version}
}

func (e *evaluation) rule(n *node, why Reason) Rule {
	c := &e.consents[n.consent]
	return Rule{Consent: c.ID, Version: c.Version, Path: n.path, Reason: why}
}

// permitting is the provision of a consent that permits: the least deep that does of itself.
func permitting(group []node, granted record.Classes) *node {
	n, rest := &group[0], group[1:]
	for {
		granted &= n.permit
		if n.Type == Permit && n.own&granted != 0 {
			return n
		}
		next, below := exception(n, rest, func(x *node) bool { return x.permit&granted != 0 })
		if next == n {
			return n
		}
		n, rest = next, below
	}
}

// denying is the provision of a consent that denies: the deepest.
func denying(group []node, refused record.Classes) (*node, record.Classes) {
	n, rest := &group[0], group[1:]
	for {
		refused &= n.deny
		next, below := exception(n, rest, func(x *node) bool { return x.deny&refused != 0 })
		if next == n {
			return n, refused
		}
		n, rest = next, below
	}
}

// exception is the first exception to n that is as wanted, and the nodes after it; n if there is none.
func exception(n *node, after []node, wanted func(*node) bool) (*node, []node) {
	for i := range after {
		x := &after[i]
		if x.Depth <= n.Depth {
			break
		}
		if x.Depth == n.Depth+1 && wanted(x) {
			return x, after[i+1:]
		}
	}
	return n, nil
}

// refuse appends who keeps the refused classes back: the provisions that deny them, then, for those
// on which all are silent, the consents that came nearest.
func (e *evaluation) refuse(list []Refused, classes record.Classes) []Refused {
	for group := range e.groups {
		for group[0].deny&classes != 0 {
			n, denied := denying(group, classes)
			list = append(list, Refused{Classes: denied, Rule: e.rule(n, Denied)})
			classes &^= denied
		}
	}
	for !classes.Empty() {
		near := e.nearest(classes)
		list = append(list, near)
		classes &^= near.Classes
	}
	return list
}

// nearest names the consent that came nearest to permitting some of the classes.
func (e *evaluation) nearest(classes record.Classes) Refused {
	best := Refused{Classes: classes, Rule: Rule{Reason: NothingSaid}}
	var by *Consent
	for i := range e.consents {
		c := &e.consents[i]
		if c.Provision.Type != Permit {
			continue
		}
		about, miss := e.match(&c.Provision, c.Period.Intersect(c.Provision.Period), e.request.Classes)
		about &= classes
		switch {
		case miss == NotPurpose || miss == NotAction:
			about = classes // of whichever class
		case about.Empty():
			about, miss = classes, NotClass
		case miss == "" && c.Status != Active:
			miss = IsWithdrawn
		case miss == "" && c.Assurance < e.request.Assurance:
			miss = NotSure
		case miss == "":
			miss = NotClass // an exception takes it out
		}
		if by == nil || nearness(miss) > nearness(best.Rule.Reason) ||
			miss == best.Rule.Reason && before(c, by) {
			by = c
			best = Refused{Classes: about, Rule: Rule{Consent: c.ID, Version: c.Version, Path: root, Reason: miss}}
		}
	}
	return best
}

// nearness orders the reasons for a silence by how much of a consent did match (see match).
func nearness(why Reason) int {
	for i, r := range [...]Reason{NotPurpose, NotAction, NotClass, NotType, NotData, NotActor, NotYet, IsOver, IsWithdrawn, NotSure} {
		if r == why {
			return i
		}
	}
	return -1
}
