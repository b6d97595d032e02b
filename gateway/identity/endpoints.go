package identity

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"

	"yitong/gateway/identity/scope"
)

// Where a service finds what it needs. Both documents of SMART are the same one: clients
// look for it below the FHIR base.
const (
	tokenPath      = "/oauth/token"
	keysPath       = "/oauth/jwks"
	smartPath      = "/.well-known/smart-configuration"
	smartBelowFHIR = "/fhir" + smartPath
)

// maxForm bounds a token request, in bytes.
const maxForm = 32 << 10

// Paths are those that Handler serves. They are for everybody: whoever asks there has no
// token yet.
var Paths = []string{tokenPath, keysPath, smartPath, smartBelowFHIR}

// Handler serves the token endpoint (RFC 6749, section 4.4), the key that verifies its
// tokens, and /.well-known/smart-configuration.
func (s *Services) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+tokenPath, s.token)
	mux.HandleFunc("GET "+keysPath, func(out http.ResponseWriter, _ *http.Request) {
		doc, err := s.published()
		if err != nil {
			answer(out, http.StatusInternalServerError, oauthError{"server_error", "the key can't be written"})
			return
		}
		out.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = out.Write(doc)
	})
	for _, path := range []string{smartPath, smartBelowFHIR} {
		mux.HandleFunc("GET "+path, func(out http.ResponseWriter, _ *http.Request) { answer(out, http.StatusOK, s.configuration()) })
	}
	return mux
}

// configuration is SMART App Launch 2.2, "Authorization Server Metadata".
func (s *Services) configuration() any {
	var scopes []string
	for _, r := range append([]string{"*"}, scope.Resources...) {
		scopes = append(scopes, scope.Scope{Resource: r, Letters: "cruds"}.String())
	}
	return map[string]any{
		"issuer": s.issuer, "jwks_uri": s.issuer + keysPath, "token_endpoint": s.issuer + tokenPath,
		"grant_types_supported":                            []string{"client_credentials"},
		"token_endpoint_auth_methods_supported":            []string{"private_key_jwt"},
		"token_endpoint_auth_signing_alg_values_supported": assertionAlgorithms,
		"scopes_supported":                                 scopes,
		"response_types_supported":                         []string{},
		"code_challenge_methods_supported":                 []string{"S256"}, // SMART wants it said, used or not
		"capabilities":                                     []string{"client-confidential-asymmetric", "permission-v1", "permission-v2"},
	}
}

// oauthError is an error of RFC 6749, section 5.2.
type oauthError struct {
	Code   string `json:"error"`
	Reason string `json:"error_description"`
}

const bearerAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func (s *Services) token(out http.ResponseWriter, in *http.Request) {
	out.Header().Set("Cache-Control", "no-store")
	form, problem := readForm(out, in)
	switch {
	case problem != "":
		answer(out, http.StatusBadRequest, oauthError{"invalid_request", problem})
		return
	case form.Get("grant_type") != "client_credentials":
		answer(out, http.StatusBadRequest, oauthError{"unsupported_grant_type", "the grant_type here is client_credentials"})
		return
	case form.Get("client_assertion_type") != bearerAssertion || form.Get("client_assertion") == "":
		answer(out, http.StatusUnauthorized, oauthError{"invalid_client", "send client_assertion, and " + bearerAssertion + " as client_assertion_type"})
		return
	}
	given, err := s.Issue(in.Context(), form.Get("client_assertion"), scope.ParseList(form.Get("scope")))
	var refused *Refusal
	switch {
	case err == nil:
		answer(out, http.StatusOK, map[string]any{
			"access_token": given.Token, "token_type": "bearer", "expires_in": int(given.Expires.Seconds()), "scope": scope.List(given.Scopes),
		})
	case errors.Is(err, errNoScope):
		answer(out, http.StatusBadRequest, oauthError{"invalid_scope", err.Error()})
	case errors.As(err, &refused):
		answer(out, http.StatusUnauthorized, oauthError{"invalid_client", refused.Reason})
	case errors.Is(err, ErrUnavailable):
		out.Header().Set("Retry-After", "10")
		answer(out, http.StatusServiceUnavailable, oauthError{"temporarily_unavailable", "this client's keys can't be fetched from its jwks_url"})
	default:
		answer(out, http.StatusInternalServerError, oauthError{"server_error", "the token can't be made"})
	}
}

// readForm reads a token request: each parameter once, and none in the address, which ends
// up in logs.
func readForm(out http.ResponseWriter, in *http.Request) (form url.Values, problem string) {
	if kind, _, err := mime.ParseMediaType(in.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, "send application/x-www-form-urlencoded"
	}
	if in.URL.RawQuery != "" {
		return nil, "send the parameters in the body, not in the address"
	}
	in.Body = http.MaxBytesReader(out, in.Body, maxForm)
	if err := in.ParseForm(); err != nil {
		return nil, "the form can't be read, or is longer than 32 KiB"
	}
	for name, values := range in.PostForm {
		if len(values) > 1 {
			return nil, "a parameter is there more than once: " + name
		}
	}
	return in.PostForm, ""
}

func answer(out http.ResponseWriter, status int, doc any) {
	raw, err := json.Marshal(doc)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(status)
	_, _ = out.Write(raw)
}
