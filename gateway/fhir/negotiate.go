package fhir

import (
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// mediaType is FHIR's in JSON (hl7.org/fhir/R4/http.html#mime-type), the only one there is here.
const mediaType = "application/fhir+json"

// fhirVersion is R4's, as the parameter of the media type has it.
const fhirVersion = "4.0"

// formats are the media types, and the codes of _format, that mean FHIR in JSON.
var formats = map[string]bool{mediaType: true, "application/json": true, "text/json": true, "json": true, "application/json+fhir": true}

// negotiate finds out what the caller can read, and refuses before anything is done where
// it can't read what there is.
func (c *call) negotiate() error {
	asked, err := url.ParseQuery(c.in.URL.RawQuery)
	if err != nil {
		return invalid("http.query", "the parameters of the address can't be read", "name=value, percent-encoded, joined by &")
	}
	c.asked = asked
	if v := asked.Get("_pretty"); v != "" {
		if c.pretty, err = strconv.ParseBool(v); err != nil {
			return invalid("http._pretty", "this is no boolean", "true or false")
		}
	}
	c.prefer, c.lenient = preference(c.in.Header.Values("Prefer"))
	if f := asked.Get("_format"); f != "" {
		// A plus in an address is a blank: people forget to encode it.
		kind, params, err := mime.ParseMediaType(strings.ReplaceAll(f, "fhir json", "fhir+json"))
		if err != nil || !formats[kind] || !rightVersion(params) {
			return notAcceptable("http._format")
		}
		c.wantsJSON = true
		return nil
	}
	accepted := c.in.Header.Values("Accept")
	if strings.TrimSpace(strings.Join(accepted, "")) == "" {
		c.anything = true
		return nil
	}
	any := false
	for _, part := range strings.Split(strings.Join(accepted, ","), ",") {
		kind, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); params["q"] != "" && (err != nil || q == 0) {
			continue
		}
		switch {
		case formats[kind] && rightVersion(params):
			c.wantsJSON, any = true, true
		case kind == "*/*" || kind == "application/*":
			any = true
		default:
			c.accepts = append(c.accepts, kind)
		}
	}
	c.anything = any
	if !any && !c.mayBeOther {
		return notAcceptable("http.header.Accept")
	}
	return nil
}

func rightVersion(params map[string]string) bool {
	v := params["fhirversion"]
	return (v == "" || v == fhirVersion || v == "4.0.1") && (params["charset"] == "" || strings.EqualFold(params["charset"], "utf-8"))
}

func notAcceptable(where string) error {
	return &Fault{Status: http.StatusNotAcceptable, Type: "not-supported", Code: "not-acceptable", Expression: where,
		Message: "FHIR is spoken here in JSON and R4 only", Allowed: mediaType + "; fhirVersion=" + fhirVersion}
}

// preference reads Prefer (RFC 7240): what to return, and how to handle parameters that
// aren't known.
func preference(headers []string) (returns string, lenient bool) {
	for _, part := range strings.FieldsFunc(strings.Join(headers, ","), func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		value = strings.Trim(value, `"`)
		switch name {
		case "return":
			if value == "minimal" || value == "representation" || value == "OperationOutcome" {
				returns = value
			}
		case "handling":
			lenient = value == "lenient"
		}
	}
	return returns, lenient
}

// sent says what the body is, and refuses what isn't FHIR in JSON.
func (c *call) sent() error {
	kind, params, err := mime.ParseMediaType(c.in.Header.Get("Content-Type"))
	if err != nil || !formats[kind] || kind == "json" || !rightVersion(params) {
		return &Fault{Status: http.StatusUnsupportedMediaType, Type: "not-supported", Code: "unsupported-media-type", Expression: "http.header.Content-Type",
			Message: "a resource is taken in JSON and R4 only", Allowed: mediaType + "; fhirVersion=" + fhirVersion}
	}
	return nil
}
