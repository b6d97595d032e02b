package demo_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/demo"
	"yitong/cmd/yitong/gatewaytest"
	"yitong/cmd/yitong/synthetic"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

var today = time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)

func cast(t *testing.T) demo.Cast {
	t.Helper()
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	dial := func(member string, user ...string) *client.Client {
		p, err := client.ReadProfile(dir, member)
		if len(user) > 0 && err == nil {
			p, err = p.For(user[0])
		}
		if err != nil {
			t.Fatal(err)
		}
		c, err := client.Dial(p)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	return demo.Cast{
		Hospital: dial("hospital-a"), OtherHospital: dial("hospital-b"), Insurer: dial("insurer"), Regulator: dial("regulator"),
		Clinician: dial("hospital-b", "clinician"),
	}
}

// patientOf finds the first identifier in a Bundle made by package synthetic.
func patientOf(bundle []byte) *yitongv1.Patient {
	_, rest, _ := strings.Cut(string(bundle), `"value": "MRN-`)
	value, _, _ := strings.Cut(rest, `"`)
	return &yitongv1.Patient{System: synthetic.MRNSystem, Value: "MRN-" + value}
}

func play(bundle []byte, patient *yitongv1.Patient) demo.Play {
	return demo.Play{Bundle: bundle, Patient: patient, Now: func() time.Time { return today }}
}

func run(t *testing.T, c demo.Cast, seed uint64) (demo.Outcome, []string) {
	t.Helper()
	bundle := synthetic.Bundle(seed, today)
	var broken []string
	o, err := demo.Run(t.Context(), c, play(bundle, patientOf(bundle)), 1, func(s demo.Step) {
		for _, check := range s.Checks {
			if !check.OK {
				broken = append(broken, check.What+": "+check.Why)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return o, broken
}

func TestTheWholeStoryHoldsAndHoldsAgainForTheSamePatient(t *testing.T) {
	c := cast(t)
	for range 2 {
		o, broken := run(t, c, 1)
		if o.Failed != 0 || o.Verified < 40 {
			t.Fatalf("%d verified, %d failed: %v", o.Verified, o.Failed, broken)
		}
	}
}

// What a gateway or a peer might do wrong, and the check that finds it.
func TestTheStoryNotices(t *testing.T) {
	honest := cast(t)
	seed := uint64(100)
	for name, tc := range map[string]struct {
		wrong func(*demo.Cast)
		found string
	}{
		"a flipped bit in an opened part": {
			func(c *demo.Cast) { c.Insurer.Accesses = &lyingOpen{AccessesClient: c.Insurer.Accesses, flip: true} },
			"came out byte for byte",
		},
		"a part that the consent doesn't cover": {
			func(c *demo.Cast) {
				c.Insurer.Accesses = &lyingOpen{AccessesClient: c.Insurer.Accesses, extra: `{"resourceType":"Bundle"}`}
			},
			"nothing else is delivered",
		},
		"a part that is missing": {
			func(c *demo.Cast) { c.Insurer.Accesses = &lyingOpen{AccessesClient: c.Insurer.Accesses, drop: true} },
			"came out byte for byte",
		},
		"a deny that became a permit": {
			func(c *demo.Cast) { c.Insurer.Accesses = lenient{c.Insurer.Accesses} },
			"without a consent the decision is deny",
		},
		"a transaction that is missing in the history": {
			func(c *demo.Cast) { c.Regulator.Audit = lyingAudit{c.Regulator.Audit, forget("consent:Direct")} },
			"consent:Direct in transaction",
		},
		"a release before its permit": {
			func(c *demo.Cast) {
				c.Regulator.Audit = lyingAudit{c.Regulator.Audit, func(e *yitongv1.Event) bool {
					if e.GetFunction() == "access:Release" {
						e.Block = 1
					}
					return true
				}}
			},
			"the permit came before the release",
		},
		"a transaction that one member endorsed alone": {
			func(c *demo.Cast) {
				c.Regulator.Audit = lyingAudit{c.Regulator.Audit, func(e *yitongv1.Event) bool {
					e.Endorsers = e.Endorsers[:1]
					return true
				}}
			},
			"each endorsed by 3 members or more",
		},
		"the patient's birth date on the ledger": {
			func(c *demo.Cast) {
				c.Regulator.Audit = lyingAudit{c.Regulator.Audit, func(e *yitongv1.Event) bool {
					bundle := synthetic.Bundle(seed, today)
					_, rest, _ := strings.Cut(string(bundle), `"birthDate": "`)
					e.Writes = append(e.Writes, &yitongv1.StateWrite{Value: []byte(`{"born":"` + rest[:10] + `"}`)})
					return true
				}}
			},
			"no identifier of the patient",
		},
	} {
		t.Run(name, func(t *testing.T) {
			seed++ // each case has a patient of its own
			playing := actors(honest)
			tc.wrong(&playing)
			o, broken := run(t, playing, seed)
			if o.Failed == 0 || !strings.Contains(strings.Join(broken, "\n"), tc.found) {
				t.Errorf("%d failed, want %q among %q", o.Failed, tc.found, broken)
			}
		})
	}
}

// actors are copies of the clients, so that a case can change its own.
func actors(c demo.Cast) demo.Cast {
	copied := func(c *client.Client) *client.Client { mine := *c; return &mine }
	return demo.Cast{
		Hospital: copied(c.Hospital), OtherHospital: copied(c.OtherHospital), Insurer: copied(c.Insurer), Regulator: copied(c.Regulator),
		Clinician: copied(c.Clinician),
	}
}

// lenient says permit whatever the ledger decided.
type lenient struct{ yitongv1.AccessesClient }

func (l lenient) Request(ctx context.Context, in *yitongv1.AccessRequest, opts ...grpc.CallOption) (*yitongv1.AccessResponse, error) {
	answer, err := l.AccessesClient.Request(ctx, in, opts...)
	if err == nil {
		answer.Access.Outcome = "permit"
	}
	return answer, err
}

// lyingOpen changes what an access delivers, and makes the sums fit.
type lyingOpen struct {
	yitongv1.AccessesClient
	flip, drop bool
	extra      string
}

func (l *lyingOpen) Open(ctx context.Context, in *yitongv1.OpenRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[yitongv1.OpenResponse], error) {
	s, err := l.AccessesClient.Open(ctx, in, opts...)
	return &lyingStream{ServerStreamingClient: s, how: l}, err
}

type lyingStream struct {
	grpc.ServerStreamingClient[yitongv1.OpenResponse]
	how     *lyingOpen
	record  string
	parts   int32
	bytes   int64
	pending []*yitongv1.OpenResponse
}

func (s *lyingStream) Recv() (*yitongv1.OpenResponse, error) {
	if len(s.pending) > 0 {
		m := s.pending[0]
		s.pending = s.pending[1:]
		return m, nil
	}
	m, err := s.ServerStreamingClient.Recv()
	if err != nil {
		return nil, err
	}
	switch {
	case m.GetPart() != nil:
		s.parts++
		s.record = m.GetPart().GetRecordId()
		if s.how.drop && s.parts == 1 {
			return s.skip()
		}
	case m.GetContent() != nil:
		if s.how.flip {
			content := m.GetContent()
			content[len(content)/2] ^= 1
		}
	case m.GetSummary() != nil:
		if s.how.drop {
			m.GetSummary().Parts--
			m.GetSummary().Bytes -= s.bytes
		}
		if extra := s.how.extra; extra != "" {
			m.GetSummary().Parts++
			m.GetSummary().Bytes += int64(len(extra))
			s.pending = []*yitongv1.OpenResponse{{Message: &yitongv1.OpenResponse_Content{Content: []byte(extra)}}, m}
			return &yitongv1.OpenResponse{Message: &yitongv1.OpenResponse_Part{Part: &yitongv1.Part{
				RecordId: s.record, Index: 9, DataClass: "condition", Labels: []string{"PSY"},
			}}}, nil
		}
	}
	return m, nil
}

// skip leaves the part just begun out.
func (s *lyingStream) skip() (*yitongv1.OpenResponse, error) {
	for {
		m, err := s.ServerStreamingClient.Recv()
		if err != nil || m.GetContent() == nil {
			return m, err
		}
		s.bytes += int64(len(m.GetContent()))
	}
}

// lyingAudit changes or leaves out events.
type lyingAudit struct {
	yitongv1.AuditClient
	change func(*yitongv1.Event) (shown bool)
}

func forget(function string) func(*yitongv1.Event) bool {
	return func(e *yitongv1.Event) bool { return e.GetFunction() != function }
}

func (l lyingAudit) History(ctx context.Context, in *yitongv1.HistoryRequest, opts ...grpc.CallOption) (grpc.ServerStreamingClient[yitongv1.Event], error) {
	s, err := l.AuditClient.History(ctx, in, opts...)
	return &lyingEvents{s, l.change}, err
}

type lyingEvents struct {
	grpc.ServerStreamingClient[yitongv1.Event]
	change func(*yitongv1.Event) bool
}

func (s *lyingEvents) Recv() (*yitongv1.Event, error) {
	for {
		e, err := s.ServerStreamingClient.Recv()
		if err != nil {
			return nil, err
		}
		copied := proto.Clone(e).(*yitongv1.Event)
		if s.change(copied) {
			return copied, nil
		}
	}
}

func TestTheStoryAsksForWhatTheUsersOwnBundleHas(t *testing.T) {
	bundle := []byte(`{"resourceType":"Bundle","type":"collection","entry":[
{"resource":{"resourceType":"Patient","id":"p","identifier":[{"system":"urn:x","value":"12345678"}]}},
{"resource":{"resourceType":"Immunization","id":"i","status":"completed","patient":{"reference":"Patient/p"},"occurrenceDateTime":"2024-01-01"}}]}`)
	o, err := demo.Run(t.Context(), cast(t), play(bundle, &yitongv1.Patient{System: "urn:x", Value: "12345678"}), 1, func(s demo.Step) {
		for _, c := range s.Checks {
			if !c.OK {
				t.Errorf("step %d: %s: %s", s.Number, c.What, c.Why)
			}
		}
	})
	if err != nil || o.Failed != 0 {
		t.Errorf("%d failed, %v", o.Failed, err)
	}
}

func TestSyntheaPatientsPlayTheStoryToo(t *testing.T) {
	if testing.Short() {
		t.Skip("a large Bundle; left out with -short")
	}
	files, _ := filepath.Glob("../../../../shared/data/synthea/Liz_*.json")
	if len(files) == 0 {
		t.Skip("the Synthea bundles are not here")
	}
	bundle, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	p := &yitongv1.Patient{System: "http://hospital.smarthealthit.org", Value: "27c911c6-f045-4ffa-af5d-6eba57ac94b2"}
	o, err := demo.Run(t.Context(), cast(t), play(bundle, p), 1, func(demo.Step) {})
	if err != nil || o.Failed != 0 {
		t.Errorf("%d failed, %v", o.Failed, err)
	}
}
