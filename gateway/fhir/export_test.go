package fhir

// Shortened is an access in the id of a part.
func Shortened(access string) string {
	id := place{record: "", index: -1, access: access}.id()
	return id[1:]
}
