package dicom_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	reference "github.com/suyashkumar/dicom"
	"github.com/suyashkumar/dicom/pkg/tag"
	"github.com/suyashkumar/dicom/pkg/uid"

	"yitong/chaincode/record"
	"yitong/gateway/dicom"
)

// written is a file as a library of others' writes it.
func written(t testing.TB, syntax string, elements map[tag.Tag]any) []byte {
	t.Helper()
	var set reference.Dataset
	add := func(at tag.Tag, value any) {
		e, err := reference.NewElement(at, value)
		if err != nil {
			t.Fatal(err)
		}
		set.Elements = append(set.Elements, e)
	}
	add(tag.MediaStorageSOPClassUID, []string{"1.2.840.10008.5.1.4.1.1.2"})
	add(tag.MediaStorageSOPInstanceUID, []string{"1.2.3.4.5"})
	add(tag.TransferSyntaxUID, []string{syntax})
	for _, at := range []tag.Tag{tag.StudyDate, tag.Modality} { // in their order
		if value, ok := elements[at]; ok {
			add(at, value)
		}
	}
	add(tag.PatientName, []string{"CANARY^PATIENT"})
	var b bytes.Buffer
	if err := reference.Write(&b, set, reference.SkipVRVerification(), reference.SkipValueTypeVerification()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

var study = map[tag.Tag]any{tag.Modality: []string{"CT"}, tag.StudyDate: []string{"20240301"}}

func TestTheHeaderOfWhatOthersWrite(t *testing.T) {
	for name, syntax := range map[string]string{"explicit": uid.ExplicitVRLittleEndian, "implicit": uid.ImplicitVRLittleEndian, "big-endian": uid.ExplicitVRBigEndian} {
		h, err := dicom.Read(written(t, syntax, study))
		if err != nil || h.Modality != "CT" || h.Class != record.Imaging || h.Study.Start != record.At(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)) || h.Study.End-h.Study.Start != 86400 {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	for code, want := range map[string]record.Class{"MR": record.Imaging, "SR": record.Document, "ECG": record.VitalSigns, "RTPLAN": record.CarePlan, "XX": record.Imaging} {
		h, err := dicom.Read(written(t, uid.ExplicitVRLittleEndian, map[tag.Tag]any{tag.Modality: []string{code}}))
		if err != nil || h.Class != want || !h.Study.IsZero() {
			t.Errorf("%s: %+v, %v", code, h, err)
		}
	}
	if h, err := dicom.Read(written(t, uid.ExplicitVRLittleEndian, nil)); err != nil || h.Class != 0 {
		t.Errorf("without a modality: %+v, %v", h, err)
	}
}

// explicit is a file of hand-made elements after the meta information.
func explicit(syntax string, data []byte) []byte {
	b := append(make([]byte, 128), "DICM"...)
	if len(syntax)%2 == 1 {
		syntax += "\x00"
	}
	b = append(b, 2, 0, 0x10, 0, 'U', 'I', byte(len(syntax)), 0)
	return append(append(b, syntax...), data...)
}

func short(group, number uint16, vr, value string) []byte {
	b := binary.LittleEndian.AppendUint16(nil, group)
	b = append(binary.LittleEndian.AppendUint16(b, number), vr...)
	return append(binary.LittleEndian.AppendUint16(b, uint16(len(value))), value...)
}

func TestWhatLiesBeforeTheModalityIsPassedOver(t *testing.T) {
	sequence := []byte{8, 0, 0x51, 0, 'S', 'Q', 0, 0, 0xff, 0xff, 0xff, 0xff}
	begin, end := []byte{0xfe, 0xff, 0x00, 0xe0, 0xff, 0xff, 0xff, 0xff}, []byte{0xfe, 0xff, 0x0d, 0xe0, 0, 0, 0, 0}
	over := []byte{0xfe, 0xff, 0xdd, 0xe0, 0, 0, 0, 0}
	// The inner modality is that of an item, not of the file.
	nested := bytes.Join([][]byte{sequence, begin, short(8, 0x60, "CS", "MR"), end, over}, nil)
	data := append(nested, short(8, 0x60, "CS", "SR")...)
	h, err := dicom.Read(explicit(uid.ExplicitVRLittleEndian, data))
	if err != nil || h.Modality != "SR" {
		t.Errorf("%+v, %v", h, err)
	}
	var deflated bytes.Buffer
	w, _ := flate.NewWriter(&deflated, flate.BestCompression)
	w.Write(data)
	w.Close()
	if h, err := dicom.Read(explicit(uid.DeflatedExplicitVRLittleEndian, deflated.Bytes())); err != nil || h.Modality != "SR" {
		t.Errorf("deflated: %+v, %v", h, err)
	}
}

// A20: lengths that promise what isn't there, sequences without end, and a deflated bomb.
func TestABadHeaderIsAnErrorThatTellsNothing(t *testing.T) {
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestCompression)
	w.Write(make([]byte, 256<<20))
	w.Close()
	sequence := []byte{8, 0, 0x51, 0, 'S', 'Q', 0, 0, 0xff, 0xff, 0xff, 0xff}
	for name, tc := range map[string]struct {
		file []byte
		want error
	}{
		"nothing":                      {nil, dicom.ErrNotDICOM},
		"another file":                 {bytes.Repeat([]byte("CANARY"), 100), dicom.ErrNotDICOM},
		"the prefix alone":             {append(make([]byte, 128), "DICM"...), dicom.ErrHeader},
		"4 GiB in the meta":            {append(append(make([]byte, 128), "DICM"...), 2, 0, 1, 0, 'O', 'B', 0, 0, 0xfe, 0xff, 0xff, 0xff, 'C', 'A', 'N', 'A', 'R', 'Y'), dicom.ErrHeader},
		"4 GiB before the modality":    {explicit(uid.ExplicitVRLittleEndian, []byte{8, 0, 1, 0, 'U', 'N', 0, 0, 0xfe, 0xff, 0xff, 0xff}), dicom.ErrHeader},
		"sequences within sequences":   {explicit(uid.ExplicitVRLittleEndian, bytes.Repeat(sequence, 5000)), dicom.ErrHeader},
		"a deflated bomb":              {explicit(uid.DeflatedExplicitVRLittleEndian, bomb.Bytes()[:min(bomb.Len(), dicom.HeadSize)]), dicom.ErrHeader},
		"no transfer syntax":           {append(append(make([]byte, 128), "DICM"...), short(8, 0x60, "CS", "CT")...), dicom.ErrHeader},
		"cut in the middle of a value": {explicit(uid.ExplicitVRLittleEndian, short(8, 0x20, "DA", "20240301")[:12]), dicom.ErrHeader},
	} {
		t.Run(name, func(t *testing.T) {
			h, err := dicom.Read(tc.file)
			if !errors.Is(err, tc.want) || h != (dicom.Header{}) {
				t.Errorf("%+v, %v", h, err)
			}
			if err != nil && strings.Contains(err.Error(), "CANARY") {
				t.Error("the error quotes the file")
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(written(f, uid.ExplicitVRLittleEndian, study))
	f.Add(written(f, uid.ImplicitVRLittleEndian, study))
	f.Add(explicit(uid.DeflatedExplicitVRLittleEndian, []byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, head []byte) {
		h, err := dicom.Read(head)
		if err != nil && h != (dicom.Header{}) {
			t.Error("an error comes with a header")
		}
		if err == nil && h.Modality != "" && h.Class == 0 {
			t.Error("a modality without a class")
		}
	})
}
