package consent

import "yitong/chaincode/record"

// Evaluate decides a request at an instant by the consents of one relationship: the current version
// of each, ids all different, in any order. It is pure, and costs at most two allocations as long as
// no more than 32 provisions match. Consents and request are expected to be valid; of others it
// permits no more than a valid one could.
//
// See the package comment for what matches, and which rule wins.
func Evaluate(consents []Consent, r Request, at record.Instant) Decision {
	var (
		nodes  [32]node
		groups [32]int32
	)
	e := evaluation{consents: consents, request: &r, at: at}
	kept, order := nodes[:0], groups[:0]
	for i := range consents {
		from := len(kept)
		if kept = e.reduce(kept, i); len(kept) > from {
			order = e.insert(order, kept, from)
		}
	}
	e.nodes, e.order = kept, order
	granted := e.permit &^ e.deny & r.Classes
	if granted.Empty() {
		return e.denial()
	}
	return e.grant(granted)
}

// evaluation is one run of Evaluate. Its slices live on Evaluate's stack: they are handed on and
// returned rather than stored through the pointer, which would move them to the heap.
type evaluation struct {
	consents []Consent
	request  *Request
	at       record.Instant
	nodes    []node  // the provisions that match, each consent's in pre-order
	order    []int32 // where in nodes a consent's root is, by consent id
	until    record.Instant

	permit record.Classes // classes of which some consent may permit a part
	deny   record.Classes // classes of which some consent denies every part
}

// node is a provision that matches in all but what each part decides: class, labels, record type, data
// period.
type node struct {
	Residual
	consent int32
	path    Path

	// What it and its exceptions come to, per class.
	own    record.Classes // its own type may be what decides
	permit record.Classes // some part may be permitted
	deny   record.Classes // every part is denied
}

// insert adds a root's place in nodes to the order, so that the order of consents as given never
// matters. Only consents that have a say are compared, and they are few.
func (e *evaluation) insert(order []int32, nodes []node, from int) []int32 {
	order = append(order, int32(from))
	for k := len(order) - 1; k > 0; k-- {
		a, b := &e.consents[nodes[order[k]].consent], &e.consents[nodes[order[k-1]].consent]
		if !before(a, b) {
			break
		}
		order[k], order[k-1] = order[k-1], order[k]
	}
	return order
}

// before orders consents by id.
func before(a, b *Consent) bool {
	if a.ID != b.ID {
		return a.ID < b.ID
	}
	return a.Version < b.Version
}

// reduce appends what of a consent still depends on the part, and notes what that comes to. A
// consent that has no say leaves nothing.
func (e *evaluation) reduce(nodes []node, i int) []node {
	c := &e.consents[i]
	from := len(nodes)
	nodes = e.keep(nodes, &c.Provision, c.Period, i, root, 0, e.request.Classes)
	if len(nodes) == from {
		return nodes
	}
	group := nodes[from:]
	group[0].Withdrawn = !e.permits(c)
	if !weigh(group) {
		return nodes[:from]
	}
	e.permit |= group[0].permit
	e.deny |= group[0].deny
	return nodes
}

// permits reports whether what a consent permits counts: it is neither withdrawn nor less sure than
// demanded.
func (e *evaluation) permits(c *Consent) bool {
	return c.Status == Active && c.Assurance >= e.request.Assurance
}

// keep appends the provision and its exceptions, as far as they match. period is the
// consent's for a root, all time for an exception; above are the classes its parents leave.
func (e *evaluation) keep(nodes []node, p *Provision, period record.Period, consent int, path Path, depth int, above record.Classes) []node {
	period = period.Intersect(p.Period)
	classes, miss := e.match(p, period, above)
	if miss == "" || miss == NotYet || miss == IsOver {
		e.mind(period)
	}
	if miss != "" {
		return nodes
	}
	n := node{consent: int32(consent), path: path, Residual: Residual{
		Depth: uint8(depth), Type: p.Type, Classes: classes, Labels: p.Labels, Types: p.Types, DataPeriod: p.DataPeriod,
	}}
	tooDeep := depth == MaxDepth-1 && len(p.Provisions) > 0 // no valid consent
	if n.Type != Permit || tooDeep {
		n.Type = Deny
	}
	if e.request.Period.Within(p.DataPeriod) {
		n.DataPeriod = record.Period{} // true of every part that can be covered at all
	}
	if asked := e.request.Types; !asked.Empty() {
		n.Types = asked.Intersect(p.Types)
		if asked.Without(p.Types).Empty() {
			n.Types = 0 // likewise
		}
	}
	nodes = append(nodes, n)
	if tooDeep {
		return nodes
	}
	for i := range p.Provisions {
		nodes = e.keep(nodes, &p.Provisions[i], record.Period{}, consent, path.child(depth, i), depth+1, classes)
	}
	return nodes
}

// match checks a provision's criteria in the order in which a miss is the less near: it returns the
// classes it is about, and the reason why it doesn't match, or "" if it does.
func (e *evaluation) match(p *Provision, period record.Period, above record.Classes) (record.Classes, Reason) {
	r := e.request
	classes := above
	if !p.Classes.Empty() {
		classes = classes.Intersect(p.Classes)
	}
	switch {
	case p.Purposes != 0 && !p.Purposes.Cover(r.Purpose):
		return 0, NotPurpose
	case p.Actions != 0 && !p.Actions.Has(r.Action):
		return 0, NotAction
	case classes.Empty():
		return 0, NotClass
	case !p.Types.Empty() && !r.Types.Empty() && p.Types.Intersect(r.Types).Empty():
		return classes, NotType
	case !p.DataPeriod.Overlaps(r.Period):
		return classes, NotData
	case !speaksOf(p.Actors, r):
		return classes, NotActor
	case period.Contains(e.at):
		return classes, ""
	case period.End != 0 && e.at >= period.End:
		return classes, IsOver
	default:
		return classes, NotYet
	}
}

func speaksOf(actors []Actor, r *Request) bool {
	for i := range actors {
		a := &actors[i]
		if (a.Member == "" || a.Member == r.Requester) && (a.Kind == "" || a.Kind == r.Kind) && *a != (Actor{}) {
			return true
		}
	}
	return len(actors) == 0
}

// mind notes when a period begins or ends next.
func (e *evaluation) mind(p record.Period) {
	for _, turn := range [2]record.Instant{p.Start, p.End} {
		if turn != 0 && turn > e.at && (e.until == 0 || turn < e.until) {
			e.until = turn
		}
	}
}

// weigh says of each node of one consent what it and its exceptions come to, per class. Whether a
// part has the labels, the record type or the data period a node asks for is open, so what comes out is what may
// happen to some part, and what must happen to every part. It reports whether the consent has a say.
func weigh(nodes []node) (speaks bool) {
	type tally struct{ permit, deny, silent, mustDeny record.Classes }
	const all = ^record.Classes(0)
	var below [MaxDepth + 1]tally // of the siblings met so far, by depth
	for d := range below {
		below[d].silent = all
	}
	for i := len(nodes) - 1; i >= 0; i-- { // backwards: exceptions come before what they except from
		n := &nodes[i]
		exceptions := below[n.Depth+1]
		below[n.Depth+1] = tally{silent: all}

		permit := exceptions.permit &^ exceptions.mustDeny
		deny := exceptions.deny
		n.own = exceptions.silent & n.Classes
		if n.Type == Permit {
			permit |= n.own
		} else {
			deny |= n.own
		}
		silent := all &^ n.Classes
		if n.Labels != 0 || n.Types != 0 || !n.DataPeriod.IsZero() {
			silent = all
		}
		if n.Withdrawn {
			silent |= permit
			permit = 0
		}
		n.permit = permit & n.Classes
		n.deny = deny &^ permit &^ silent & n.Classes
		speaks = (permit|deny)&n.Classes != 0 // in the end the root's

		siblings := &below[n.Depth]
		siblings.permit |= n.permit
		siblings.deny |= deny & n.Classes
		siblings.silent &= silent
		siblings.mustDeny |= n.deny
	}
	return speaks
}
