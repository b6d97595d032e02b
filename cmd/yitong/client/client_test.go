package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/gatewaytest"
	yitongv1 "yitong/gateway/api/yitong/v1"
)

func TestProfilesAreFoundByNameAndByMSPAndMoveWithTheirDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*") // no pattern, but a name
	key := filepath.Join(dir, "members", "insurer", "tls", "key.pem")
	if err := client.WriteProfile(dir, client.Profile{Member: "insurer", MSP: "InsurerMSP", Gateway: "127.0.0.1:1", CA: "/elsewhere/ca.pem", Cert: key, Key: key}); err != nil {
		t.Fatal(err)
	}
	moved := filepath.Join(t.TempDir(), "moved")
	if p, err := client.ReadProfile(dir, "InsurerMSP"); err != nil || p.Key != key {
		t.Errorf("by MSP id: %+v, %v", p, err)
	}
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	p, err := client.ReadProfile(moved, "insurer")
	if err != nil || p.Key != filepath.Join(moved, "members", "insurer", "tls", "key.pem") || p.CA != "/elsewhere/ca.pem" {
		t.Errorf("after the move: %+v, %v", p, err)
	}
	for _, name := range []string{"nobody", "../insurer", "", ".", "a/b"} {
		if _, err := client.ReadProfile(moved, name); !errors.Is(err, client.ErrNoProfile) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAProfileWithATypoIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := client.WriteProfile(dir, client.Profile{Member: "m", Gateway: "h:1", CA: "ca", Cert: "c", Key: "k"}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "members", "m", "client.yaml")
	for what, doc := range map[string]string{"unknown key": "member: m\ngatewy: h:1\n", "missing key": "member: m\ngateway: h:1\n"} {
		if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := client.ReadProfile(dir, "m"); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAGatewayOfAnotherMemberIsNotTalkedTo(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	own, err := client.ReadProfile(dir, "insurer")
	if err != nil {
		t.Fatal(err)
	}
	other, err := client.ReadProfile(dir, "hospital-a")
	if err != nil {
		t.Fatal(err)
	}
	history := func(p client.Profile) error {
		c, err := client.Dial(p)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		stream, err := c.Audit.History(t.Context(), &yitongv1.HistoryRequest{})
		if err != nil {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	if err := history(own); err != nil {
		t.Errorf("our own gateway: %v", err)
	}
	stranger := own
	stranger.Gateway = other.Gateway
	if err := history(stranger); err == nil {
		t.Error("another member's gateway was believed to be ours")
	}
	stranger.CA = other.CA
	if err := history(stranger); err == nil {
		t.Error("another member's gateway served us as its own software")
	}
	c, err := client.Dial(stranger)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 { // a gateway that refuses goes on answering
		if _, err := c.Node.Status(t.Context(), &yitongv1.StatusRequest{}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("another member's gateway answered a status with %v", err)
		}
	}
}

// script is a gateway's answer to Open.
type script struct {
	yitongv1.AccessesClient
	messages []*yitongv1.OpenResponse
}

func (s script) Open(context.Context, *yitongv1.OpenRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[yitongv1.OpenResponse], error) {
	return &scripted{messages: s.messages}, nil
}

type scripted struct {
	grpc.ServerStreamingClient[yitongv1.OpenResponse]
	messages []*yitongv1.OpenResponse
}

func (s *scripted) Recv() (*yitongv1.OpenResponse, error) {
	if len(s.messages) == 0 {
		return nil, io.EOF
	}
	m := s.messages[0]
	s.messages = s.messages[1:]
	return m, nil
}

func TestOpenBelievesOnlyAWholeAnswer(t *testing.T) {
	part := &yitongv1.OpenResponse{Message: &yitongv1.OpenResponse_Part{Part: &yitongv1.Part{}}}
	content := &yitongv1.OpenResponse{Message: &yitongv1.OpenResponse_Content{Content: []byte("12345")}}
	summary := func(parts int32, bytes int64) *yitongv1.OpenResponse {
		return &yitongv1.OpenResponse{Message: &yitongv1.OpenResponse_Summary{Summary: &yitongv1.OpenSummary{Parts: parts, Bytes: bytes}}}
	}
	for name, tc := range map[string]struct {
		messages []*yitongv1.OpenResponse
		ok       bool
	}{
		"two parts and their summary":     {[]*yitongv1.OpenResponse{part, content, content, part, content, summary(2, 15)}, true},
		"no part at all":                  {[]*yitongv1.OpenResponse{summary(0, 0)}, true},
		"an end without a summary":        {[]*yitongv1.OpenResponse{part, content}, false},
		"less content than announced":     {[]*yitongv1.OpenResponse{part, content, summary(1, 6)}, false},
		"a part less than announced":      {[]*yitongv1.OpenResponse{part, content, summary(2, 5)}, false},
		"content that belongs to no part": {[]*yitongv1.OpenResponse{content, summary(0, 5)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &client.Client{Accesses: script{messages: tc.messages}}
			_, err := c.Open(t.Context(), "id", "custodian", func(*yitongv1.Part) (io.Writer, error) { return io.Discard, nil })
			if (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestSubmit runs on one gateway of a hospital.
func TestSubmit(t *testing.T) {
	dir := t.TempDir()
	gatewaytest.Start(t, dir)
	p, err := client.ReadProfile(dir, "hospital-a")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(p)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	patient := &yitongv1.Patient{System: "urn:x", Value: "1"}

	t.Run("a file that can't be read to its end leaves no record", func(t *testing.T) {
		broken := errors.New("the disk is broken")
		_, err := c.Submit(t.Context(), &yitongv1.SubmitHeader{Id: client.NewID(), Patient: patient, MediaType: "text/plain", DataClass: "document"},
			io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		list, err := c.Records.List(t.Context(), &yitongv1.ListRecordsRequest{})
		if err != nil || len(list.GetRecords()) != 0 {
			t.Errorf("%d records, %v", len(list.GetRecords()), err)
		}
	})
	t.Run("a file of several messages arrives whole", func(t *testing.T) {
		content := bytes.Repeat([]byte("0123456789abcdef"), 5<<16+1)
		answer, err := c.Submit(t.Context(), &yitongv1.SubmitHeader{Id: client.NewID(), Patient: patient, MediaType: "application/dicom", DataClass: "imaging"},
			bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.GetRecord().GetParts()[0].GetContentSize(); got != int64(len(content)) {
			t.Errorf("%d bytes arrived, not %d", got, len(content))
		}
	})
}
