package door_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"yitong/chaincode/refusal"
	"yitong/cmd/yitong/gatewaytest"
	"yitong/gateway/api"
	"yitong/gateway/handle"
)

// hostile are texts that mean something to what might stand behind a door: a query
// language, a path, a composite key.
var hostile = []string{
	`hostile"}`, `{"$or":[{"hostile":{"$gt":""}}]}`, "hostile\x00", "\x00access\x00HospitalA\x00hostile\x00", "hostile\U0010ffff",
	"../../hostile", "..", "hostile/HospitalA", "hostile' OR '1'='1", "hostile\r\nhostile", "hostile|", strings.Repeat("0123456789abcdef", 4096),
}

// plain are well-formed texts, by the name of the field that they are for.
var plain = map[string]string{
	"after": "0-0-0", "types": "access.requested", "url": "https://ehr.example/hook",
	"recipients": "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", "method": "Records.List", "access_id": "0123456789abcdef0123456789abcdef", "keys": "0123456789abcdef0123456789abcdef", "ids": "0123456789abcdef0123456789abcdef", "statuses": "active",
	"id": "0123456789abcdef0123456789abcdef", "consent_id": "0123456789abcdef0123456789abcdef", "record_id": "0123456789abcdef0123456789abcdef",
	"supersedes": "0123456789abcdef0123456789abcdef", "permit": "0123456789abcdef0123456789abcdef", "order": "0123456789abcdef0123456789abcdef",
	"object":    "0123456789abcdef0123456789abcdef",
	"custodian": "HospitalA", "requester": "Insurer", "member": "HospitalB", "evaluator": "Insurer", "evaluators": "Insurer", "holder": "HospitalA",
	"regulator": "Regulator", "msp_id": "Insurer", "channel": "test", "key_id": strings.Repeat("ab", 32),
	"handle": "1-" + strings.Repeat("ab", 32), "system": "https://hospital-a.example/mrn", "value": "MRN-0042",
	"media_type": "application/pdf", "data_class": "laboratory", "labels": "PSY", "classes": "laboratory", "record_types": "fhir",
	"purpose": "TREAT", "purposes": "TREAT", "action": "access", "actions": "access", "type": "permit", "kind": "insurer", "kinds": "consent",
	"outcomes": "success", "outcome": "accepted", "what": "user", "act": "grant", "use": "signing", "algorithm": "ed25519", "assurance": "attested",
	"reason": "patient-request", "state": "overdue", "fate": "erased", "ground": "law", "answer": "given", "format": "csv", "language": "en", "bookmark": "",
	"origins": "https://portal.example", "claim": "C-1", "note": "n",
}

// opaque are the fields that hold what the caller likes: never a part of a state key,
// and for nobody to interpret. Each with what it is.
var opaque = map[string]string{
	"description": "a line for people beside a webhook; nothing but the list of webhooks has it",
	"claim":       "the claim's number at the insurer; the ledger has a salted digest",
	"note":        "free text beside an emergency; the ledger has a salted digest",
	"system":      "likewise, the authority's own URI",
	"value":       "an identifier as its authority spells it; the ledger has a handle derived from it",
}

// shapes are what a request needs besides, or mustn't have, for one of its texts to be
// judged by itself: by the beginning of the text's name, path and value, "" for none.
var shapes = []struct {
	of  string
	set map[string]string
}{
	{"Consents.Amend", map[string]string{"version": "2"}},
	{"Consents.Grant/provision/actors/kind", map[string]string{"provision/actors/member": ""}},
	{"Consents.Grant/provision/provisions/actors/kind", map[string]string{"provision/provisions/actors/member": ""}},
	{"Consents.Amend/provision/actors/kind", map[string]string{"provision/actors/member": ""}},
	{"Consents.Amend/provision/provisions/actors/kind", map[string]string{"provision/provisions/actors/member": ""}},
	{"Patients.Prepare/provision/actors/kind", map[string]string{"provision/actors/member": ""}},
	{"Patients.Prepare/provision/provisions/actors/kind", map[string]string{"provision/provisions/actors/member": ""}},
	{"Emergencies.Open", map[string]string{"reason": "unconscious", "purpose": "ETREAT"}},
	{"Audit.Entries/filter", map[string]string{"filter/handle": "", "filter/patient": ""}},
	{"Audit.Export/filter", map[string]string{"filter/handle": "", "filter/patient": ""}},
	{"Audit.Entries/filter/patient", map[string]string{"filter/handle": ""}},
	{"Audit.Disclosures", map[string]string{"patient": ""}},
	{"Audit.Disclosures/patient", map[string]string{"handle": ""}},
	{"Audit.OrderDisclosure", map[string]string{"subject/handle": ""}},
	{"Audit.OrderDisclosure/subject/handle", map[string]string{"subject/what": "form", "subject/version": "1"}},
	{"Patients.Prepare", map[string]string{"reason": "", "key": "", "custodian": "HospitalA"}},
	{"Patients.Prepare/reason", map[string]string{"act": "withdraw", "provision": ""}},
	{"Patients.Prepare/key", map[string]string{"act": "rebind", "provision": "", "consent_id": ""}},
	{"Patients.Prepare/delegates/key", map[string]string{"delegates/key/public": strings.Repeat("k", 32)}},
	{"Policies.Set/relying_parties", map[string]string{"relying_parties/sites/id": "portal.example", "relying_parties/sites/origins": "https://portal.example"}},
	{"Events.Subscribe", map[string]string{"url": "https://ehr.example/hook", "format": ""}},
	{"Escrow.Index", map[string]string{"entries/requester": "HospitalB"}},
	{"Escrow.Deposit", map[string]string{"header/package": "{}", "header/parts": "[]"}},
	{"Escrow.Share", map[string]string{"manifest": "{}"}},
	{"Evaluator.Evaluate", map[string]string{"epoch": "1", "blinded": blinded()}},
}

// particular are the well-formed texts of fields whose name means something else elsewhere.
var particular = map[string]string{
	"Requests.Search/outcomes":              "permit",
	"Events.Subscribe/format":               "",
	"Emergencies.Open/reason":               "unconscious",
	"Escrow.Index/entries/requester":        "HospitalB",
	"Policies.Set/relying_parties/sites/id": "portal.example",
}

// blinded is what an evaluator is sent.
func blinded() string {
	k, err := handle.NewKey()
	if err != nil {
		panic(err)
	}
	b, err := handle.Blind(k.Public(), [][]byte{[]byte("MRN-0042")})
	if err != nil {
		panic(err)
	}
	return string(b.Elements()[0])
}

// elsewhere are the texts that this test can't judge, and where that is done.
var elsewhere = map[string]string{
	"Backups.Create":  "gatewaytest makes no backups; gateway/backup tries damaged recipients",
	"Outbox.List":     "gatewaytest has no outbox; gateway/outbox tries its own bookmarks",
	"Exchange.Height": "gatewaytest keeps no heights; gateway/audit/height.TestOnlyAMembersOwnWordIsTaken",
	"Patients.Prepare/delegates/key/algorithm": "judged with the key's bytes; chaincode/directive.FuzzParse and TestAKeyThatAnybodySignsWithIsNone",
	"Patients.Prepare/key/algorithm":           "likewise",
	"Patients.Direct/key/algorithm":            "likewise",
	"Escrow.Deposit/header/share/key_id":       "looked up only once the package is the anchor's; gateway/share.TestABadShareIsRefusedAndItsHolderNamed",
	"Escrow.Deposit/chunk/record_id":           "compared only once the package is the anchor's; gateway/share.TestABadShareIsRefusedAndItsHolderNamed",
}

// keyPart is what the parts of a composite key are made of; "|", "/" and "_" stand in
// some of our own making.
var keyPart = regexp.MustCompile(`^[A-Za-z0-9.:|_-]*$`)

// field is one text of one method's request.
type field struct {
	method protoreflect.MethodDescriptor
	path   []protoreflect.FieldDescriptor
}

func (f field) name() string { return string(f.path[len(f.path)-1].Name()) }

func (f field) String() string {
	s := string(f.method.Parent().Name()) + "." + string(f.method.Name())
	for _, one := range f.path {
		s += "/" + string(one.Name())
	}
	return s
}

// A15: what would reach into a query, a path or a key of its own making is refused by a
// validator, in every text of every request of every method; and no state key holds any of it.
func TestNoTextOfAnyRequestReachesIntoAKey(t *testing.T) {
	c := gatewaytest.Start(t, t.TempDir())
	fields := everyText()
	if len(fields) < 200 {
		t.Fatalf("only %d texts are known", len(fields))
	}
	callers := connect(t, c)
	admitted := map[string]string{} // fields whose hostile values got past the validator
	judged := map[string][]string{}
	for _, f := range fields {
		for _, who := range slices.Sorted(maps.Keys(callers)) {
			if !callers[who].calls(f.method) {
				continue
			}
			for _, text := range hostile {
				err := call(t.Context(), callers[who], f, text)
				refused, byRule := api.RefusalOf(err)
				switch {
				case opaque[f.name()] != "":
				case err == nil:
					admitted[f.String()] = fmt.Sprintf("%.40q from %s", text, who)
				case status.Code(err) == codes.Internal || status.Code(err) == codes.Unknown:
					t.Errorf("%s fails over %.40q from %s: %v", f, text, who, err)
				case byRule && slices.Contains([]refusal.Code{refusal.Malformed, refusal.TooLarge, refusal.NotFound}, refused.Code):
					judged[f.String()] = append(judged[f.String()], who)
				case status.Code(err) == codes.InvalidArgument:
					judged[f.String()] = append(judged[f.String()], who)
				}
			}
		}
	}
	for f, what := range admitted {
		t.Errorf("%s: what isn't well-formed is taken, as %s", f, what)
	}
	keys := c.Keys()
	for _, key := range keys {
		for _, part := range strings.Split(strings.Trim(key, "\x00"), "\x00") {
			if !keyPart.MatchString(part) || len(part) > 200 || strings.Contains(part, "hostile") {
				t.Errorf("a state key has the part %q", part)
			}
		}
	}
	if len(keys) < 8 {
		t.Errorf("only %d state keys were ever written", len(keys))
	}

	t.Run("control: the same call with well-formed texts isn't refused by that validator", func(t *testing.T) {
		for _, f := range fields {
			method, _, _ := strings.Cut(f.String(), "/")
			if opaque[f.name()] != "" || elsewhere[method] != "" || elsewhere[f.String()] != "" {
				continue
			}
			good, known := plain[f.name()]
			if own, differs := particular[f.String()]; differs {
				good = own
			}
			if !known {
				t.Errorf("%s: say in plain what a well-formed %s is, or in opaque why there is none", f, f.name())
				continue
			}
			var answers []string
			passed := false
			for _, who := range slices.Compact(judged[f.String()]) {
				err := call(t.Context(), callers[who], f, good)
				refused, _ := api.RefusalOf(err)
				passed = passed || refused == nil || refused.Code != refusal.Malformed
				if passed {
					break
				}
				answers = append(answers, fmt.Sprintf("%s: %v", who, err))
			}
			if !passed {
				t.Errorf("%s: refused either way, so nothing is shown: %v", f, answers)
			}
		}
	})
}

// betweenGateways are the services that members' gateways offer each other.
var betweenGateways = []string{"Exchange", "Tombstones", "Escrow", "Evaluator"}

// caller is a member's software, one of its people, or another member's gateway.
type caller struct {
	*grpc.ClientConn
	gateway bool
}

func (c caller) calls(m protoreflect.MethodDescriptor) bool {
	return slices.Contains(betweenGateways, string(m.Parent().Name())) == c.gateway
}

func connect(t *testing.T, c *gatewaytest.Consortium) map[string]caller {
	t.Helper()
	all := map[string]caller{"hospital-b's clinician": {c.Software(t, "hospital-b", "clinician"), false}}
	for _, member := range c.Members() {
		all[member] = caller{c.Software(t, member), false}
	}
	for member, as := range map[string]string{"hospital-a": "insurer", "regulator": "hospital-a", "insurer": "hospital-a"} {
		all["at "+member+", "+as+"'s gateway"] = caller{c.Gateway(t, member, as), true}
	}
	return all
}

// everyText lists every text of every request, from the API's own description.
func everyText() (fields []field) {
	protoregistry.GlobalFiles.RangeFilesByPackage("yitong.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				texts(methods.Get(j).Input(), nil, func(path []protoreflect.FieldDescriptor) {
					fields = append(fields, field{methods.Get(j), path})
				})
			}
		}
		return true
	})
	return fields
}

func texts(m protoreflect.MessageDescriptor, above []protoreflect.FieldDescriptor, found func([]protoreflect.FieldDescriptor)) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if slices.ContainsFunc(above, func(a protoreflect.FieldDescriptor) bool { return a.FullName() == f.FullName() }) {
			continue // a provision within a provision
		}
		path := append(slices.Clone(above), f)
		switch {
		case f.Kind() == protoreflect.StringKind:
			found(path)
		case f.Message() != nil:
			texts(f.Message(), path, found)
		}
	}
}

// call sends a request that is well-formed but for one text.
func call(ctx context.Context, conn grpc.ClientConnInterface, f field, text string) error {
	patience := 5 * time.Second
	if f.method.IsStreamingServer() { // what is watched has no end
		patience = time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	in := message(f.method.Input())
	fill(in, f.path, text)
	for _, shape := range shapes {
		if strings.HasPrefix(f.String(), shape.of) {
			for path, value := range shape.set {
				if method, own, _ := strings.Cut(f.String(), "/"); method != "" && !strings.HasPrefix(own, path) {
					set(in, strings.Split(path, "/"), value)
				}
			}
		}
	}
	method := fmt.Sprintf("/%s/%s", f.method.Parent().FullName(), f.method.Name())
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	// A stream that the other side has ended says io.EOF here; why is in its answer.
	if err := stream.SendMsg(in.Interface()); err != nil && err != io.EOF {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		if err := stream.RecvMsg(message(f.method.Output()).Interface()); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func message(d protoreflect.MessageDescriptor) protoreflect.Message {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err)
	}
	return kind.New()
}

// usual are the fields that a request mostly needs, whichever is tried.
var usual = []string{"id", "method", "custodian", "requester", "patient", "purpose", "classes", "reason", "form", "provision", "subject", "what", "key", "entries", "media_type", "data_class", "record_id", "permit", "order", "answer", "regulator", "outcome", "act", "fate", "ground", "system", "value", "type", "member", "public", "algorithm", "channel", "handle", "format", "msp_id", "use", "document", "own", "header", "until"}

// fill makes a message well-formed, but for the text at path.
func fill(m protoreflect.Message, path []protoreflect.FieldDescriptor, text string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		target := len(path) > 0 && path[0] == f
		if !target && (!slices.Contains(usual, string(f.Name())) || f.ContainingOneof() != nil && f.ContainingOneof().Fields().Len() > 1) {
			continue
		}
		var value protoreflect.Value
		switch {
		case f.Kind() == protoreflect.StringKind && target && len(path) == 1:
			value = protoreflect.ValueOfString(text)
		case f.Kind() == protoreflect.StringKind:
			value = protoreflect.ValueOfString(plain[string(f.Name())])
		case f.Kind() == protoreflect.BytesKind:
			value = protoreflect.ValueOfBytes([]byte("signed"))
		case f.Message() != nil && f.Message().FullName() == "google.protobuf.Timestamp":
			continue
		case f.Message() != nil:
			inner := message(f.Message())
			if target {
				fill(inner, path[1:], text)
			} else {
				fill(inner, nil, "")
			}
			value = protoreflect.ValueOfMessage(inner)
		default:
			continue
		}
		if f.IsList() {
			m.Mutable(f).List().Append(value)
		} else {
			m.Set(f, value)
		}
	}
}

// set puts a value into a message, or takes one out.
func set(m protoreflect.Message, path []string, value string) {
	f := m.Descriptor().Fields().ByName(protoreflect.Name(path[0]))
	switch {
	case len(path) > 1 && f.IsList():
		if list := m.Mutable(f).List(); list.Len() > 0 {
			set(list.Get(0).Message(), path[1:], value)
		}
	case len(path) > 1:
		set(m.Mutable(f).Message(), path[1:], value)
	case value == "":
		m.Clear(f)
	case f.IsList() && f.Kind() == protoreflect.StringKind:
		m.Mutable(f).List().Append(protoreflect.ValueOfString(value))
	case f.IsList():
		m.Mutable(f).List().Append(protoreflect.ValueOfBytes([]byte(value)))
	case f.Kind() == protoreflect.StringKind:
		m.Set(f, protoreflect.ValueOfString(value))
	case f.Kind() == protoreflect.BytesKind:
		m.Set(f, protoreflect.ValueOfBytes([]byte(value)))
	default:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			panic(err)
		}
		m.Set(f, protoreflect.ValueOfInt32(int32(n)))
	}
}
