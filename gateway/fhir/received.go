package fhir

// received reads the one resource of the body: FHIR in JSON, strictly parsed, of the kind
// wanted, and as the R4 definitions have it. limit is in bytes. Its raw is what was received.
func (c *call) received(kind string, limit int64) (*element, error) {
	if err := c.sent(); err != nil {
		return nil, err
	}
	doc, err := c.body(limit)
	if err != nil {
		return nil, err
	}
	e, err := parse(doc, kind)
	if err != nil {
		return nil, err
	}
	if got := e.str("resourceType"); got != kind {
		return nil, invalid(kind+".resourceType", "this is another resource, or none", "a "+kind)
	}
	if err := validate(e, kind); err != nil {
		return nil, err
	}
	return e, nil
}
