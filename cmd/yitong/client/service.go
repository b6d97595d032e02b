package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// ServiceToken is what a backend service may show for a while.
type ServiceToken struct {
	Token   string `json:"access_token"`
	Seconds int    `json:"expires_in"`
	Scope   string `json:"scope"`
}

// ErrNoService says that the profile knows no backend service.
var ErrNoService = errors.New("no backend service here")

// GetToken gets a token for scopes, separated by spaces, as SMART Backend Services do: for an
// assertion signed with the service's key.
func (p Profile) GetToken(ctx context.Context, scopes string) (ServiceToken, error) {
	if p.Service == nil {
		return ServiceToken{}, ErrNoService
	}
	doc, err := os.ReadFile(p.Service.Key)
	if err != nil {
		return ServiceToken{}, fmt.Errorf("reading the service's key: %w", err)
	}
	var key jose.JSONWebKey
	if err := key.UnmarshalJSON(doc); err != nil {
		return ServiceToken{}, fmt.Errorf("reading the service's key: %w", err)
	}
	endpoint := p.Service.URL + "/oauth/token"
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return ServiceToken{}, fmt.Errorf("using the service's key: %w", err)
	}
	now := time.Now()
	assertion, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: p.Service.ID, Subject: p.Service.ID, Audience: jwt.Audience{endpoint}, ID: NewID(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(4 * time.Minute)),
	}).Serialize()
	if err != nil {
		return ServiceToken{}, err
	}
	config, err := p.TLS()
	if err != nil {
		return ServiceToken{}, err
	}
	form := url.Values{
		"grant_type": {"client_credentials"}, "scope": {scopes}, "client_assertion": {assertion},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return ServiceToken{}, err
	}
	ask.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	// The assertion says who we are; no certificate is shown.
	doer := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: config.RootCAs, ServerName: config.ServerName}}}
	answer, err := doer.Do(ask)
	if err != nil {
		return ServiceToken{}, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		return ServiceToken{}, err
	}
	if answer.StatusCode != http.StatusOK {
		var why struct {
			Code   string `json:"error"`
			Reason string `json:"error_description"`
		}
		_ = json.Unmarshal(raw, &why)
		return ServiceToken{}, fmt.Errorf("the gateway gives no token (%s): %s %s", answer.Status, why.Code, why.Reason)
	}
	var out ServiceToken
	return out, json.Unmarshal(raw, &out)
}
