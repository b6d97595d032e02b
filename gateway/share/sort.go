package share

import (
	"bufio"
	"fmt"
	"io"

	"yitong/chaincode/record"
	"yitong/chaincode/refusal"
	"yitong/gateway/dicom"
)

// ClassContradicts refuses a submission that says of a DICOM file what its header doesn't.
const ClassContradicts refusal.Code = "class-contradicts"

// sorted completes what is said of a DICOM file by its header: its data class by the modality,
// the time of its data by the study's day. What was said is taken where the header says nothing,
// and refused where it says something else: a patient's consent goes by both, and an image
// under the class of documents would go to whoever may have documents. Nothing of the header is
// in a refusal. The content is streamed on as it came.
func (s Submission) sorted(content io.Reader) (Submission, io.Reader, error) {
	if s.MediaType != dicom.MediaType {
		return s, content, nil
	}
	whole := bufio.NewReaderSize(content, dicom.HeadSize)
	head, err := whole.Peek(dicom.HeadSize)
	if err != nil && err != io.EOF { // what can't be read now is not what is malformed
		return s, whole, fmt.Errorf("reading the content: %w", err)
	}
	h, err := dicom.Read(head)
	s, err = s.by(h, err)
	return s, whole, err
}

// by completes what is said of a DICOM file by what was read of its header.
func (s Submission) by(h dicom.Header, err error) (Submission, error) {
	switch {
	case err != nil && s.Class == 0:
		return s, refusal.New(refusal.Malformed, err.Error()+", so its data class isn't known", "the data class, or a DICOM file (PS3.10)")
	case h.Class == 0 && s.Class == 0:
		return s, refusal.New(refusal.Malformed, "the DICOM file doesn't name its modality, so its data class isn't known", "the data class")
	case h.Class != 0 && s.Class != 0 && h.Class != s.Class:
		return s, refusal.New(ClassContradicts, "the data class isn't the one that the DICOM file's modality has", "leaving the class out: it is taken from the file")
	case !h.Study.IsZero() && !within(h.Study, s.Period):
		return s, refusal.New(ClassContradicts, "the DICOM file's study lies outside the time given for its data", "leaving the time out: it is taken from the file")
	}
	if s.Class == 0 {
		s.Class = h.Class
	}
	if s.Period.IsZero() {
		s.Period = h.Study
	}
	return s, nil
}

// within reports whether a period lies in another; a side that is zero is open.
func within(p, in record.Period) bool {
	return (in.Start.IsZero() || in.Start <= p.Start) && (in.End.IsZero() || p.End <= in.End)
}
