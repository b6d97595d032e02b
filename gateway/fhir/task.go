package fhir

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	yitongv1 "yitong/gateway/api/yitong/v1"
)

// maxTask bounds a Task that is received, in bytes.
const maxTask = 256 << 10

// tasks is FHIR's Task: a request for access to a custodian's records, and the answer to it. The
// decision is taken on the ledger while the Task is created: a denial is an answer like any other,
// the Task is then rejected, with the reason.
//
//	POST Task ──▶ accepted ──$open──▶ completed   (failed: what came doesn't verify)
//	          └─▶ rejected
func (f *facade) tasks() resource {
	both := func(name, doc string, patient bool) []param {
		return []param{{name: name + ".identifier", kind: "token", doc: doc, patient: patient}, {name: name + ":identifier", kind: "token", doc: doc, patient: patient}}
	}
	params := []param{
		{name: "status", kind: "token", doc: "accepted, rejected, completed or failed"},
		{name: "business-status", kind: "token", doc: "permitted, released, expired, opened, failed or denied"},
		{name: "code", kind: "token", doc: taskSystem + "|access or emergency-access"},
		{name: "identifier", kind: "token", doc: accessSystem + "|id"},
		{name: "authored-on", kind: "date", doc: "when it was asked"},
		{name: "_sort", kind: "special", doc: "authored-on or -authored-on, which is the default"},
	}
	params = append(params, both("patient", "whose records, as system|value", true)...)
	params = append(params, both("owner", "the custodian, as "+memberSystem+"|MSP id", false)...)
	params = append(params, both("requester", "the member that asked, likewise", false)...)
	return resource{
		kind: "Task",
		documentation: "A request for access. Created with status requested, intent order, code " + taskSystem + "#access, owner (the custodian), for (the patient), reasonCode (PurposeOfUse) and inputs of " +
			inputSystem + "; answered at once as accepted, with the permit's scope and end, or rejected, with the rule. $open has what is permitted released, verified and kept until the permit ends; " +
			"its outputs name the documents. #emergency-access is break-glass. A custodian finds the requests put to it here too.",
		read: readTaskResource, create: createTask, search: searchTasks, params: params,
		operations: []operation{{name: "open", definition: "urn:yitong:operation:open", instance: true, serve: openTask}},
	}
}

func (c *call) requests() yitongv1.RequestsClient { return yitongv1.NewRequestsClient(c.conn) }

// asked reads the access that the address names.
func (c *call) askedFor() (*yitongv1.Asked, error) {
	if !isLedgerID(c.id) {
		return nil, notFound()
	}
	out, err := c.requests().Get(c.ctx(), &yitongv1.GetAskedRequest{Id: c.id})
	if status.Code(err) == codes.NotFound {
		return nil, notFound()
	}
	return out, err
}

func readTaskResource(c *call) (answer, error) {
	asked, err := c.askedFor()
	if err != nil {
		return answer{}, err
	}
	return c.taskAnswer(asked)
}

// taskAnswer is an access as a Task, with what of it can be read now.
func (c *call) taskAnswer(asked *yitongv1.Asked) (answer, error) {
	members, err := c.members()
	if err != nil {
		return answer{}, err
	}
	t := taskOut(asked, members, c.Now())
	if t.BusinessStatus.Coding[0].Code == "opened" && asked.GetAccess().GetRequester() == members.find(c.Member).GetMspId() {
		documents, err := c.documentsOf(asked.GetAccess())
		if err != nil {
			return answer{}, err
		}
		t.Output = append(t.Output, documents...)
	}
	return answer{resource: t, etag: t.Meta.VersionID, modified: modifiedOf(asked.GetAccess()), message: "access " + t.ID + ": " + t.BusinessStatus.Coding[0].Code}, nil
}

func createTask(c *call) (answer, error) {
	e, err := c.received("Task", maxTask)
	if err != nil {
		return answer{}, err
	}
	members, err := c.members()
	if err != nil {
		return answer{}, err
	}
	w, err := readTask(e, members, members.find(c.Member).GetMspId())
	if err != nil {
		return answer{}, err
	}
	var out *yitongv1.AccessResponse
	if w.reason != "" {
		out, err = yitongv1.NewEmergenciesClient(c.conn).Open(c.ctx(), w.emergency())
	} else {
		out, err = yitongv1.NewAccessesClient(c.conn).Request(c.ctx(), w.access)
	}
	if err != nil {
		return answer{}, at("Task", err)
	}
	a, err := c.taskAnswer(&yitongv1.Asked{Access: out.GetAccess(), Patient: w.access.GetPatient()})
	a.status, a.location = http.StatusCreated, "Task/"+out.GetAccess().GetId()
	return a, err
}

// openTask has what a permit covers released and opened. The gateway keeps a copy of it until the
// permit ends, and the documents are read from that; here only the bytes are counted.
func openTask(c *call) (answer, error) {
	asked, err := c.askedFor()
	if err != nil {
		return answer{}, err
	}
	a := asked.GetAccess()
	if a.GetOutcome() != "permit" {
		return answer{}, &Fault{Status: http.StatusForbidden, Type: "suppressed", Code: "not-permitted", Expression: "Task.status",
			Message: "this access was denied: " + a.GetRule().GetReason(), Allowed: "another request, once the patient consents"}
	}
	stream, err := yitongv1.NewAccessesClient(c.conn).Open(c.ctx(), &yitongv1.OpenRequest{Id: a.GetId(), Custodian: a.GetCustodian()})
	if err != nil {
		return answer{}, at("Task", err)
	}
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return answer{}, at("Task", err)
		}
		// As long as something comes, the answer has its time.
		_ = http.NewResponseController(c.out).SetWriteDeadline(time.Now().Add(time.Minute))
	}
	if asked, err = c.askedFor(); err != nil {
		return answer{}, err
	}
	return c.taskAnswer(asked)
}

func searchTasks(c *call, q query) (page, error) {
	in := &yitongv1.SearchRequestsRequest{NewestFirst: true}
	var also []func(taskResource) bool
	for _, cr := range q.criteria {
		filter, ok, err := taskCriterion(cr, in)
		if err != nil || !ok {
			return page{}, err
		}
		if filter != nil {
			also = append(also, filter)
		}
	}
	members, err := c.members()
	if err != nil {
		return page{}, err
	}
	return gather(q, rounds, func(at *yitongv1.Page) (found []taskResource, next string, err error) {
		in.Page = at
		out, err := c.requests().Search(c.ctx(), in)
		for _, asked := range out.GetRequests() {
			found = append(found, taskOut(asked, members, c.Now()))
		}
		return found, out.GetNextBookmark(), err
	}, also, func(t taskResource) entry { return entry{id: t.ID, resource: t} })
}

// taskCriterion puts a criterion into the gateway's own, and returns what is left to be seen of the
// Tasks. ok is false where nothing can match.
func taskCriterion(cr criterion, in *yitongv1.SearchRequestsRequest) (also func(taskResource) bool, ok bool, err error) {
	t := tokenOf(cr.values[0])
	switch cr.param.name {
	case "patient.identifier", "patient:identifier":
		system, value, err := patientOf("http."+cr.param.name, cr.values[0])
		in.Patient = &yitongv1.Patient{System: system, Value: value}
		return nil, err == nil, err
	case "owner.identifier", "owner:identifier":
		in.Custodian = t.code
		return nil, t.anySystem || t.system == memberSystem, nil
	case "requester.identifier", "requester:identifier":
		in.Requester = t.code
		return nil, t.anySystem || t.system == memberSystem, nil
	case "_id", "identifier":
		in.Ids = ledgerIDs(cr.values)
		return nil, in.Ids != nil, nil
	case "status":
		all := codesOf(cr.values)
		if !slices.Contains(all, "rejected") {
			in.Outcomes = []string{"permit"}
		} else if len(all) == 1 {
			in.Outcomes = []string{"deny"}
		}
		return func(r taskResource) bool { return slices.Contains(all, r.Status) }, true, nil
	case "business-status":
		return func(r taskResource) bool { return cr.has(r.BusinessStatus.Coding...) }, true, nil
	case "code":
		return func(r taskResource) bool { return cr.has(r.Code.Coding...) }, true, nil
	case "authored-on", "_lastUpdated":
		if err := cr.checkDates(); err != nil {
			return nil, false, err
		}
		if cr.param.name == "authored-on" {
			in.Requested = overlapping(in.Requested, cr)
		}
		return func(r taskResource) bool {
			of := r.AuthoredOn
			if cr.param.name == "_lastUpdated" {
				of = r.LastModified
			}
			at, err := time.Parse(time.RFC3339, of)
			return err == nil && cr.covers(at, at.Add(time.Second))
		}, true, nil
	case "_sort":
		in.NewestFirst = cr.values[0] == "-authored-on"
		if v := cr.values[0]; v != "authored-on" && v != "-authored-on" {
			return nil, false, invalid("http._sort", "this order isn't known here", "authored-on or -authored-on")
		}
	}
	return nil, true, nil
}

// documentsOf are the documents that were opened under an access and can be read still, as outputs
// of its Task; none for a caller who may not read them.
func (c *call) documentsOf(a *yitongv1.Access) (out []taskPiece, err error) {
	found, err := c.all(&yitongv1.ListContentsRequest{AccessId: a.GetId()})
	if status.Code(err) == codes.PermissionDenied {
		return nil, nil
	}
	for _, e := range found {
		out = append(out, taskPiece{Type: piece(outputSystem, "document"), ValueReference: &Reference{Reference: "DocumentReference/" + placeOf(e).id(), Type: "DocumentReference"}})
	}
	return out, err
}
