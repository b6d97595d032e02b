package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"yitong/chaincode/record"
	"yitong/cmd/yitong/client"
	"yitong/cmd/yitong/screen"
	"yitong/cmd/yitong/study"
	"yitong/cmd/yitong/synthetic"
	yitongv1 "yitong/gateway/api/yitong/v1"
	"yitong/gateway/dicom"
	"yitong/gateway/share"
)

func (a *app) record() *cobra.Command {
	verbs := []*cobra.Command{a.recordSubmit(), a.recordList(), a.recordShow(), a.recordRetract(), a.recordEscrow(), a.recordExample()}
	return noun("record", "Records that a hospital holds: seal and anchor, list, retract, erase", append(verbs, a.recordEnds()...)...)
}

const fhir = "application/fhir+json"

func (a *app) recordSubmit() *cobra.Command {
	var (
		patient patientFlags
		data    periodFlags
		header  yitongv1.SubmitHeader
	)
	cmd := &cobra.Command{
		Use:   "submit FILE|FOLDER",
		Short: "Seal a record and anchor it on the ledger",
		Long: `Seal a record and anchor it on the ledger.

A FHIR R4 Bundle is split into parts by data class and sensitivity label, and its own
patient is taken when none is given. Any other file (PDF, DICOM, …) is one part; say
its class with --class, which a DICOM file's header says itself. FILE may be - for
standard input. A file of 64 MiB or more is uploaded piece by piece: after Ctrl-C or a
broken connection the same command goes on where it was.

A folder is a DICOM study: all DICOM files in it, and in folders within, become one record,
a part for each data class by their modalities (a tar of those files). Other files are left
out, and named.

--supersedes ID puts the record in the place of an older one.`,
		Example: "  yitong record submit bundle.json --as hospital-a\n" +
			"  yitong record submit letter.pdf --class document --patient-file patient.txt --as hospital-a\n" +
			"  yitong record submit CT-20240301/ --patient-file patient.txt --as hospital-a",
		Args: cobra.ExactArgs(1),
	}
	f := cmd.Flags()
	patient.add(f)
	f.StringVar(&header.MediaType, "media-type", "", "media type (default: by the file's content and name)")
	f.StringVar(&header.DataClass, "class", "", "data class of a file that is not FHIR")
	f.StringSliceVar(&header.Labels, "label", nil, "sensitivity labels of a file that is not FHIR")
	f.StringVar(&header.Supersedes, "supersedes", "", "id of the record that this one replaces")
	f.StringVar(&header.Id, "id", "", "id of the record, 32 hexadecimal characters (default: a random one)")
	data.add(f, "data-from", "data-until", "data of a file that is not FHIR is")
	a.mustComplete(cmd, "class", classCodes)
	a.mustComplete(cmd, "label", labelCodes)
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, args []string) (err error) {
		if args[0] == "-" && patient.file == "-" {
			return usage("the record and the patient can't both come from standard input")
		}
		if header.DataPeriod, err = data.period(); err != nil {
			return err
		}
		if err := errors.Join(known(header.Labels, record.ParseLabel), knownClass(header.DataClass)); err != nil {
			return err
		}
		from, err := a.recordContent(args[0], &header)
		if err != nil {
			return err
		}
		defer from.Close()
		if header.Patient, err = a.patient(patient); err != nil {
			return err
		}
		if err := a.completeHeader(&header, from); err != nil {
			return err
		}
		a.id = header.Id
		var answer *yitongv1.SubmitResponse
		if from.file != nil && header.MediaType != fhir && from.size >= large {
			answer, err = a.upload(ctx, c, &header, cmd.Flags().Changed("id"), from)
		} else {
			bar := a.screen.Progress("sealing", from.size)
			answer, err = c.Submit(ctx, &header, bar.Reader(from))
			bar.Close()
		}
		if err != nil {
			return err
		}
		return a.showSubmitted(answer)
	})
	return cmd
}

func knownClass(code string) error {
	if code == "" {
		return nil
	}
	return known([]string{code}, record.ParseClass)
}

// source is what is submitted.
type source struct {
	io.Reader
	io.Closer
	size  int64         // 0 where it isn't known
	file  io.ReadSeeker // the same from its beginning; nil of what can't be read twice
	print string        // tells it from other files, and from what it was before it changed
}

// recordContent opens the file and finds out what it is. A Bundle is read whole
// (the gateway does so too), any other file is streamed.
func (a *app) recordContent(path string, h *yitongv1.SubmitHeader) (s source, err error) {
	s = source{Reader: a.In, Closer: io.NopCloser(nil)}
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return s, &failure{exit: exitUsage, err: err, next: "name a file or a folder that can be read, or - for standard input"}
		}
		info, err := file.Stat()
		if err != nil || info.IsDir() {
			file.Close()
		}
		if err != nil {
			return s, &failure{exit: exitUsage, err: err, next: "name a file that can be read"}
		}
		if info.IsDir() {
			return a.studyContent(path, h)
		}
		absolute, _ := filepath.Abs(path)
		s = source{Reader: file, Closer: file, size: info.Size(), file: file, print: absolute + "\x00" + info.ModTime().String()}
	}
	head := make([]byte, 512)
	n, err := io.ReadFull(s.Reader, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.Close()
		return s, fmt.Errorf("reading the record: %w", err)
	}
	head = head[:n]
	s.Reader = io.MultiReader(bytes.NewReader(head), s.Reader)
	looksJSON := bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n\ufeff"), []byte("{"))
	if h.MediaType == fhir || h.MediaType == "" && h.DataClass == "" && looksJSON {
		doc, err := io.ReadAll(s.Reader)
		if err != nil {
			s.Close()
			return s, fmt.Errorf("reading the record: %w", err)
		}
		if h.MediaType == "" && isBundle(doc) {
			h.MediaType = fhir
		}
		s.Reader, s.size = bytes.NewReader(doc), int64(len(doc))
	}
	if h.MediaType == "" {
		h.MediaType = mediaType(path, head)
	}
	return s, nil
}

// studyContent is a folder of DICOM files.
func (a *app) studyContent(path string, h *yitongv1.SubmitHeader) (source, error) {
	if h.MediaType != "" || h.DataClass != "" {
		return source{}, usage("the DICOM files of a folder say themselves what they hold; leave out --media-type and --class")
	}
	packed, err := study.Open(path)
	if err != nil {
		return source{}, &failure{exit: exitUsage, err: err, next: "name a folder that holds the DICOM files of one study, and no others"}
	}
	if n := len(packed.Skipped); n > 0 {
		more := ""
		if n > 5 {
			more = ", …"
		}
		a.screen.Say("left out, for they are no DICOM files to be shared: %s%s (%d of %d)", strings.Join(packed.Skipped[:min(n, 5)], ", "), more, n, n+packed.Files)
	}
	h.MediaType = share.Tar
	absolute, _ := filepath.Abs(path)
	return source{Reader: packed, Closer: packed, size: packed.Size(), file: packed, print: absolute + "\x00" + packed.Print()}, nil
}

// mediaTypes are those of medicine that content sniffing doesn't know.
var mediaTypes = map[string]string{".dcm": "application/dicom", ".json": "application/json", ".xml": "application/xml", ".hl7": "x-application/hl7-v2+er7", ".tar": share.Tar}

func mediaType(path string, head []byte) string {
	if t := mediaTypes[strings.ToLower(filepath.Ext(path))]; t != "" {
		return t
	}
	t, _, _ := strings.Cut(http.DetectContentType(head), ";")
	return t
}

// completeHeader fills in what can be known, and refuses what is missing.
func (a *app) completeHeader(h *yitongv1.SubmitHeader, from source) (err error) {
	if h.Id == "" {
		h.Id = client.NewID()
	}
	if h.MediaType != fhir {
		if h.DataClass == "" && h.MediaType != dicom.MediaType && h.MediaType != share.Tar {
			return usage("a file of type %s needs its data class: --class, one of %s", h.MediaType, strings.Join(record.AllClasses.Codes(), ", "))
		}
		if h.Patient == nil {
			return usage("no patient given: use --patient-file FILE, or --patient 'system|value'")
		}
		return nil
	}
	if h.DataClass != "" || len(h.Labels) > 0 || h.DataPeriod != nil {
		return usage("a FHIR Bundle says itself what it holds; leave out --class, --label, --data-from and --data-until")
	}
	if h.Patient == nil {
		doc := from.Reader.(*bytes.Reader)
		raw, err := io.ReadAll(doc)
		if err != nil {
			return err
		}
		if _, err := doc.Seek(0, io.SeekStart); err != nil {
			return err
		}
		h.Patient, err = a.patientOfBundle(raw)
		return err
	}
	return nil
}

func (a *app) showSubmitted(answer *yitongv1.SubmitResponse) error {
	if a.screen.JSON {
		return a.screen.Document(answer)
	}
	r := answer.GetRecord()
	var rows [][]string
	for _, p := range r.GetParts() {
		rows = append(rows, []string{strconv.Itoa(int(p.GetIndex())), p.GetDataClass(), screen.List(p.GetLabels()),
			screen.Span(p.GetDataPeriod()), screen.Bytes(p.GetContentSize())})
	}
	if err := a.screen.Table([]string{"PART", "CLASS", "LABELS", "TIME OF DATA", "SIZE"}, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.Out, "record %s %s%s\n", r.GetId(), r.GetStatus(), committed(answer.GetCommit()))
	return err
}

// committed says where an entry stands on the ledger.
func committed(c *yitongv1.Commit) string {
	if c == nil {
		return " (it was on the ledger already)"
	}
	return fmt.Sprintf(", transaction %s in block %d", screen.Short(c.GetTransactionId()), c.GetBlock())
}

func (a *app) recordList() *cobra.Command {
	var patient patientFlags
	var limit int
	cmd := &cobra.Command{Use: "list", Short: "List this hospital's records, newest last", Args: cobra.NoArgs}
	patient.add(cmd.Flags())
	cmd.Flags().IntVar(&limit, "limit", 0, "at most this many, 0 for all")
	cmd.RunE = a.streaming(func(ctx context.Context, c *client.Client, _ []string) error {
		who, err := a.patient(patient)
		if err != nil {
			return err
		}
		list := newListing(a.screen, []string{"RECORD", "STATUS", "SUBMITTED", "PARTS", "CLASSES", "TYPE"})
		err = pages(limit, func(page *yitongv1.Page) ([]*yitongv1.Record, string, error) {
			ctx, cancel := a.limited(ctx)
			defer cancel()
			answer, err := c.Records.List(ctx, &yitongv1.ListRecordsRequest{Page: page, Patient: who})
			return answer.GetRecords(), answer.GetNextBookmark(), err
		}, func(r *yitongv1.Record) error {
			var classes record.Classes
			for _, p := range r.GetParts() {
				class, _ := record.ParseClass(p.GetDataClass()) // unknown is none
				classes = classes.With(class)
			}
			return list.add(r, r.GetId(), recordStatus(r), screen.Time(r.GetSubmitted()), strconv.Itoa(len(r.GetParts())),
				screen.List(classes.Codes()), screen.Or(r.GetMediaType(), "-"))
		})
		return list.end(err)
	})
	return cmd
}

func (a *app) recordRetract() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "retract ID", Short: "Mark a record as no longer to be released",
		Long: "Mark a record as no longer to be released. The anchor stays on the ledger with the reason;\n" +
			"what was released before is beyond recall.",
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().StringVar(&reason, "reason", "entered-in-error", "why: entered-in-error, wrong-patient or legal-order")
	a.mustComplete(cmd, "reason", fixed(string(record.EnteredInError), string(record.WrongPatient), string(record.LegalOrder)))
	cmd.RunE = a.verb(func(ctx context.Context, c *client.Client, args []string) error {
		answer, err := c.Records.Retract(ctx, &yitongv1.RetractRequest{Id: args[0], Reason: reason})
		if err != nil {
			return err
		}
		if a.screen.JSON {
			return a.screen.Document(answer)
		}
		_, err = fmt.Fprintf(a.Out, "record %s retracted%s\n", args[0], committed(answer.GetCommit()))
		return err
	})
	return cmd
}

func (a *app) recordExample() *cobra.Command {
	var seed uint64
	var day string
	cmd := &cobra.Command{
		Use: "example", Short: "Print a made-up patient's record, a FHIR R4 Bundle, to try things with",
		Example: "  yitong record example > bundle.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			today := a.Now()
			if day != "" {
				at, err := time.Parse(time.DateOnly, day)
				if err != nil {
					return usage("--day %q is not a date like 2026-11-21", day)
				}
				today = at
			}
			_, err := a.Out.Write(synthetic.Bundle(seed, today))
			return err
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 1, "which patient; the same seed and day give the same bytes")
	cmd.Flags().StringVar(&day, "day", "", "last day of the record (default today)")
	return cmd
}
