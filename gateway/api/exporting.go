package api

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"yitong/chaincode/refusal"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/audit/auditevent"
	"yitong/gateway/audit/history"
	"yitong/gateway/audit/report"
)

func (s auditing) Export(in *yitongv1.ExportRequest, stream grpc.ServerStreamingServer[yitongv1.ExportResponse]) error {
	ctx := stream.Context()
	f, err := s.filter(ctx, in.GetFilter())
	if err != nil {
		return err
	}
	if !slices.Contains(report.Formats, in.GetFormat()) {
		return refusal.New(refusal.Malformed, fmt.Sprintf("there is no format %.40q", in.GetFormat()), strings.Join(report.Formats, ", "))
	}
	if !slices.Contains([]string{"", "en", "zh"}, in.GetLanguage()) {
		return refusal.New(refusal.Malformed, fmt.Sprintf("there is no language %.40q", in.GetLanguage()), "en, zh")
	}
	members, err := s.history.Members(ctx) // not the peer's: it may be away
	if err != nil {
		return err
	}
	asOf, err := s.projection.Checkpoint(ctx)
	if err != nil {
		return err
	}
	r := report.Report{
		Source: auditevent.Source{Member: s.gateway.Self.MSP, Channel: s.channel}, Name: s.gateway.Self.Name, AsOf: asOf, Made: s.gateway.Now(),
		Language: in.GetLanguage(), Wanted: wanted(in.GetFilter()), Names: map[string]string{}, Gateways: map[string]string{},
		Entries: s.all(stream, f, asOf),
	}
	for _, m := range members {
		r.Names[m.MSP], r.Gateways[m.MSP] = m.Name, m.Gateway
	}
	digest := report.NewDigester()
	out := bufio.NewWriterSize(io.MultiWriter(digest, messageWriter{func(chunk []byte) error {
		return stream.Send(&yitongv1.ExportResponse{Message: &yitongv1.ExportResponse_Content{Content: chunk}})
	}}), 64<<10)
	if err := report.Write(out, in.GetFormat(), r); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	statement, err := digest.Statement(in.GetFormat(), s.channel, s.gateway.Self.MSP, asOf, r.Made).Canonical()
	if err != nil {
		return err
	}
	key, signature := s.gateway.Sign(report.Label, statement)
	return stream.Send(&yitongv1.ExportResponse{Message: &yitongv1.ExportResponse_Signature{Signature: &yitongv1.ExportSignature{
		Statement: statement, Signature: signature, KeyId: key.ID(), PublicKey: key.Bytes(),
	}}})
}

// all yields every entry that matches, up to what the export stands on: what blocks that
// come meanwhile bring is not in it.
func (s auditing) all(stream grpc.ServerStream, f history.Filter, asOf history.AsOf) iter.Seq2[history.Entry, error] {
	return func(yield func(history.Entry, error) bool) {
		for bookmark := ""; ; {
			list, next, _, err := s.history.Entries(stream.Context(), f, history.Page{Size: history.MaxPage, Bookmark: bookmark})
			if err != nil {
				yield(history.Entry{}, err)
				return
			}
			for _, e := range list {
				if e.Number >= asOf.Entries || !yield(e, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			bookmark = next
		}
	}
}

// wanted says what was asked for. A patient is said to have been named, not who.
func wanted(f *yitongv1.EntryFilter) [][2]string {
	var out [][2]string
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{"filter-" + name, value})
		}
	}
	if f.GetPatient() != nil {
		add("patient", "✓")
	}
	add("handle", f.GetHandle())
	add("member", f.GetMember())
	add("custodian", f.GetCustodian())
	add("requester", f.GetRequester())
	add("object", f.GetObject())
	add("kinds", strings.Join(f.GetKinds(), ", "))
	add("outcomes", strings.Join(f.GetOutcomes(), ", "))
	add("purpose", f.GetPurpose())
	add("reason", f.GetReason())
	if p := periodOf(f.GetTime()); !p.IsZero() {
		add("time", cmp.Or(p.Start.String(), "…")+" – "+cmp.Or(p.End.String(), "…"))
	}
	return out
}
