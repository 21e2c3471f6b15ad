package blob

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// entra gets tokens of Microsoft Entra as programs in a cluster or on a
// machine of Azure do: workload identity, a client secret, else the identity
// that the machine has. Azure's own module for it would bring browsers,
// keychains and another release of what Kubernetes is pinned to.
type entra struct {
	getenv func(string) string
	client *http.Client
	now    func() time.Time
}

const (
	entraHost    = "https://login.microsoftonline.com/"
	machineToken = "http://169.254.169.254/metadata/identity/oauth2/token"
)

// GetToken implements azcore.TokenCredential; azcore keeps a token until it ends.
func (e *entra) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	req, err := e.request(ctx, strings.Join(o.Scopes, " "))
	if err != nil {
		return azcore.AccessToken{}, err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("token of Azure: %w; set AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCESS_KEY, or give the pod or machine an identity", err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token   string          `json:"access_token"`
		Expires json.RawMessage `json:"expires_in"` // a number, or a string with one
		Error   string          `json:"error_description"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer); err != nil || answer.Token == "" {
		return azcore.AccessToken{}, errors.Join(fmt.Errorf("token of Azure: %s %s", resp.Status, answer.Error), err)
	}
	seconds, err := strconv.ParseInt(strings.Trim(string(answer.Expires), `"`), 10, 64)
	if err != nil {
		return azcore.AccessToken{}, fmt.Errorf("token of Azure: it ends at %s: %w", answer.Expires, err)
	}
	return azcore.AccessToken{Token: answer.Token, ExpiresOn: e.now().Add(time.Duration(seconds) * time.Second)}, nil
}

func (e *entra) request(ctx context.Context, scope string) (*http.Request, error) {
	tenant, client := e.getenv("AZURE_TENANT_ID"), e.getenv("AZURE_CLIENT_ID")
	form := url.Values{"client_id": {client}, "scope": {scope}, "grant_type": {"client_credentials"}}
	switch file, secret := e.getenv("AZURE_FEDERATED_TOKEN_FILE"), e.getenv("AZURE_CLIENT_SECRET"); {
	case tenant != "" && client != "" && file != "":
		assertion, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("AZURE_FEDERATED_TOKEN_FILE: %w", err)
		}
		form.Set("client_assertion", string(assertion))
		form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	case tenant != "" && client != "" && secret != "":
		form.Set("client_secret", secret)
	default:
		return e.machine(ctx, client, scope)
	}
	host := e.getenv("AZURE_AUTHORITY_HOST")
	if host == "" {
		host = entraHost
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(host, "/")+"/"+url.PathEscape(tenant)+"/oauth2/v2.0/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

func (e *entra) machine(ctx context.Context, client, scope string) (*http.Request, error) {
	q := url.Values{"api-version": {"2018-02-01"}, "resource": {strings.TrimSuffix(scope, "/.default")}}
	if client != "" {
		q.Set("client_id", client)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, machineToken+"?"+q.Encode(), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Metadata", "true")
	return req, nil
}
