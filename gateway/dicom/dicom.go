// Package dicom reads, of the beginning of a DICOM file, the attributes by which a hospital's
// gateway sorts it: what made it (modality), when (study date), and which study it is of.
//
// It is a reader of its own because the libraries make a buffer as long as the file says that
// an element is, up to 4 GiB, before they find that it isn't there. Here nothing is made:
// what is looked at is the beginning that the caller holds, and every length is checked
// against what is left of it. No pixel is looked at, and no attribute that names anybody; an
// error holds nothing of the file.
//
// The encoding is that of DICOM PS3.5 section 7 and PS3.10 section 7.1.
package dicom

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"yitong/chaincode/record"
)

// HeadSize is how many bytes of a file Read needs at most.
const HeadSize = 128 << 10

// MediaType is that of a DICOM file (RFC 3240).
const MediaType = "application/dicom"

var (
	// ErrNotDICOM: it doesn't begin as a DICOM file does (PS3.10).
	ErrNotDICOM = errors.New("this is no DICOM file: the prefix DICM is missing")
	// ErrHeader: it does, and then goes on as none does, or what is needed lies too deep in it.
	ErrHeader = errors.New("the header of the DICOM file can't be read")
)

// Header is what is read of a file.
type Header struct {
	Modality string        // (0008,0060), a code; "" where the file has none
	Class    record.Class  // of data, by the modality; zero where the file has none
	Study    record.Period // the day of (0008,0020), in UTC; zero where the file has none
	StudyUID string        // (0020,000D), to tell studies apart; "" where it has none, or not within HeadSize
}

const (
	transferSyntax = 0x0002_0010
	studyDate      = 0x0008_0020
	modality       = 0x0008_0060
	studyUID       = 0x0020_000D
	item           = 0xFFFE_E000
	itemEnd        = 0xFFFE_E00D
	sequenceEnd    = 0xFFFE_E0DD
	undefined      = 0xFFFF_FFFF

	maxDepth = 8 // of sequences
)

// Read reads the beginning of a file.
func Read(head []byte) (Header, error) {
	if len(head) < 132 || string(head[128:132]) != "DICM" {
		return Header{}, ErrNotDICOM
	}
	meta := &elements{rest: head[132:], order: binary.LittleEndian, explicit: true}
	syntax := ""
	for len(meta.rest) >= 8 && binary.LittleEndian.Uint16(meta.rest) == 2 {
		e, err := meta.next()
		if err != nil {
			return Header{}, err
		}
		if e.tag == transferSyntax {
			syntax = text(e.value)
		}
	}
	data, err := dataSet(meta.rest, syntax)
	if err != nil {
		return Header{}, err
	}
	var h Header
	sorted := false // all that a class and a time go by is read
	for len(data.rest) > 0 {
		e, err := data.next()
		if err != nil && sorted {
			return h, nil
		}
		if err != nil {
			return Header{}, err
		}
		switch e.tag {
		case studyDate:
			h.Study = day(text(e.value))
		case modality:
			h.Modality = text(e.value)
			h.Class = ClassOf(h.Modality)
		case studyUID:
			h.StudyUID = text(e.value)
		}
		sorted = sorted || e.tag >= modality // they ascend
		if e.tag >= studyUID {
			return h, nil
		}
	}
	if !sorted {
		return Header{}, ErrHeader
	}
	return h, nil
}

// dataSet is what comes after the file's meta information, as its transfer syntax says.
func dataSet(rest []byte, syntax string) (*elements, error) {
	switch syntax {
	case "":
		return nil, ErrHeader
	case "1.2.840.10008.1.2":
		return &elements{rest: rest, order: binary.LittleEndian}, nil
	case "1.2.840.10008.1.2.2":
		return &elements{rest: rest, order: binary.BigEndian, explicit: true}, nil
	case "1.2.840.10008.1.2.1.99": // deflated; what it becomes is bounded too
		out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(rest)), HeadSize))
		if len(out) == 0 && err != nil {
			return nil, ErrHeader
		}
		return &elements{rest: out, order: binary.LittleEndian, explicit: true}, nil
	}
	return &elements{rest: rest, order: binary.LittleEndian, explicit: true}, nil
}

// elements are data elements one after the other.
type elements struct {
	rest     []byte
	order    binary.ByteOrder
	explicit bool // with their value representation
}

type element struct {
	tag   uint32
	value []byte // nil of a sequence of undefined length
}

func (s *elements) next() (element, error) { return s.element(0) }

func (s *elements) element(depth int) (element, error) {
	if len(s.rest) < 8 || depth > maxDepth {
		return element{}, ErrHeader
	}
	e := element{tag: uint32(s.order.Uint16(s.rest))<<16 | uint32(s.order.Uint16(s.rest[2:]))}
	length, head := s.order.Uint32(s.rest[4:]), 8
	if s.explicit && e.tag>>16 != 0xFFFE { // items have none
		vr := string(s.rest[4:6])
		length = uint32(s.order.Uint16(s.rest[6:]))
		if slices.Contains(long, vr) {
			if len(s.rest) < 12 {
				return e, ErrHeader
			}
			length, head = s.order.Uint32(s.rest[8:]), 12
		}
	}
	s.rest = s.rest[head:]
	if length == undefined {
		return e, s.skip(e.tag, depth)
	}
	if uint64(length) > uint64(len(s.rest)) {
		return e, ErrHeader
	}
	e.value, s.rest = s.rest[:length], s.rest[length:]
	return e, nil
}

// long are the value representations whose length has four bytes.
var long = []string{"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}

// skip passes over what has no length and ends by a delimiter: a sequence, or an item of one.
func (s *elements) skip(tag uint32, depth int) error {
	end := uint32(sequenceEnd)
	if tag == item {
		end = itemEnd
	}
	for {
		e, err := s.element(depth + 1)
		if err != nil || e.tag == end {
			return err
		}
	}
}

func text(value []byte) string { return strings.Trim(string(value), " \x00") }

// day is the day of a DICOM date (PS3.5 section 6.2, DA).
func day(date string) record.Period {
	from, err := time.Parse("20060102", date)
	if err != nil {
		return record.Period{}
	}
	return record.Period{Start: record.At(from), End: record.At(from.AddDate(0, 0, 1))}
}

// ClassOf is the class of data that a modality makes (DICOM PS3.3 section C.7.3.1.1.1): images
// where it isn't one of those that aren't; zero for "".
func ClassOf(modality string) record.Class {
	if modality == "" {
		return 0
	}
	if c, ok := notImages[modality]; ok {
		return c
	}
	return record.Imaging
}

var notImages = map[string]record.Class{
	"SR": record.Document, "DOC": record.Document, "SRDOC": record.Document, "PLAN": record.CarePlan,
	"RTPLAN": record.CarePlan, "RTSTRUCT": record.CarePlan, "RTDOSE": record.CarePlan, "RTRECORD": record.Procedure,
	"ECG": record.VitalSigns, "EEG": record.VitalSigns, "EMG": record.VitalSigns, "EOG": record.VitalSigns,
	"EPS": record.VitalSigns, "HD": record.VitalSigns, "RESP": record.VitalSigns, "BDUS": record.Imaging,
}
