package blob

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// azureSigner signs with the key of the account, else with a key that Azure
// lends to an identity ("user delegation"). With neither – a SAS token – there
// is nothing to sign with.
type azureSigner struct {
	key     *blob.SharedKeyCredential
	service *service.Client // of an identity
	now     func() time.Time

	refused atomic.Bool
	mu      sync.Mutex
	lent    *service.UserDelegationCredential
	lentTil time.Time
}

// Azure's clocks and ours may differ; a lent key is used for many addresses,
// and may live for a week.
const (
	azureSkew  = 5 * time.Minute
	lentFor    = 24 * time.Hour
	azureWeek  = 7 * 24 * time.Hour
	notAllowed = bloberror.Code("AuthorizationPermissionMismatch")
)

func (s *azureSigner) signs() bool {
	return s.key != nil || s.service != nil && !s.refused.Load()
}

func (s *azureSigner) sign(ctx context.Context, v sas.BlobSignatureValues, valid time.Duration) (string, error) {
	now := s.now().UTC()
	v.ExpiryTime = now.Add(valid)
	var q sas.QueryParameters
	var err error
	if s.key != nil {
		q, err = v.SignWithSharedKey(s.key)
	} else {
		var lent *service.UserDelegationCredential
		if lent, err = s.lend(ctx, now, valid); err != nil {
			return "", err
		}
		v.StartTime = now.Add(-azureSkew)
		q, err = v.SignWithUserDelegation(lent)
	}
	return q.Encode(), err
}

// lend gets the key that Azure lends, unless there is one that lives long enough.
func (s *azureSigner) lend(ctx context.Context, now time.Time, valid time.Duration) (*service.UserDelegationCredential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lent != nil && s.lentTil.After(now.Add(valid)) {
		return s.lent, nil
	}
	start, end := now.Add(-azureSkew), now.Add(min(max(valid+time.Hour, lentFor), azureWeek-azureSkew))
	from, til := start.Format(sas.TimeFormat), end.Format(sas.TimeFormat)
	lent, err := s.service.GetUserDelegationCredential(ctx, service.KeyInfo{Start: &from, Expiry: &til}, nil)
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && answer.StatusCode == http.StatusForbidden {
		s.refused.Store(bloberror.HasCode(err, notAllowed))
		return nil, errors.Join(ErrCannotSign, err)
	}
	if err != nil {
		return nil, err
	}
	s.lent, s.lentTil = lent, end
	return lent, nil
}

// accountKey is the key in a connection string, if it has one.
func accountKey(connection string) (*blob.SharedKeyCredential, error) {
	values := map[string]string{}
	for pair := range strings.SplitSeq(connection, ";") {
		name, value, _ := strings.Cut(pair, "=")
		values[strings.ToLower(strings.TrimSpace(name))] = value
	}
	if values["accountname"] == "" || values["accountkey"] == "" {
		return nil, nil //nolint:nilnil // A SAS token: the string is valid, and there is no key.
	}
	return blob.NewSharedKeyCredential(values["accountname"], values["accountkey"])
}

func (o *azureObjects) signs() bool { return o.signer.signs() }

// signed is the address of an object with the signature as its query.
func (o *azureObjects) signed(ctx context.Context, name string, v sas.BlobSignatureValues, valid time.Duration) (*url.URL, error) {
	parts, err := sas.ParseURL(o.container.NewBlobClient(name).URL())
	if err != nil {
		return nil, err
	}
	v.ContainerName, v.BlobName = parts.ContainerName, name
	v.Protocol = sas.ProtocolHTTPS
	if parts.Scheme == "http" {
		v.Protocol = sas.ProtocolHTTPSandHTTP
	}
	query, err := o.signer.sign(ctx, v, valid)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(o.container.NewBlobClient(name).URL())
	if err != nil {
		return nil, err
	}
	u.RawQuery = query
	return u, nil
}

func (o *azureObjects) beginParts(ctx context.Context, name string, parts int, valid time.Duration) (id string, addresses []string, err error) {
	u, err := o.signed(ctx, name, sas.BlobSignatureValues{Permissions: (&sas.BlobPermissions{Write: true}).String()}, valid)
	if err != nil {
		return "", nil, err
	}
	id, signature := newUpload(), u.RawQuery
	for n := range parts {
		u.RawQuery = "comp=block&blockid=" + url.QueryEscape(blockOf(id, n+1)) + "&" + signature
		addresses = append(addresses, u.String())
	}
	return id, addresses, nil
}

func (o *azureObjects) joinParts(ctx context.Context, name, id string, parts []Part) error {
	ids := make([]string, len(parts))
	for i, p := range parts {
		ids[i] = blockOf(id, p.Number)
	}
	_, err := o.container.NewBlockBlobClient(name).CommitBlockList(ctx, ids, nil)
	if bloberror.HasCode(err, bloberror.InvalidBlockList, bloberror.InvalidBlockID) {
		return errors.Join(ErrParts, err)
	}
	return azureError(err)
}

// dropParts has nothing to do: Azure drops blocks that nobody commits after a
// week, and knows no way to do it sooner.
func (o *azureObjects) dropParts(context.Context, string, string) error { return nil }

func (o *azureObjects) address(ctx context.Context, method, name string, valid time.Duration) (address string, header http.Header, err error) {
	v := sas.BlobSignatureValues{Permissions: (&sas.BlobPermissions{Read: true}).String(), ContentDisposition: Disposition(name)}
	header = http.Header{}
	if method == http.MethodPut {
		v = sas.BlobSignatureValues{Permissions: (&sas.BlobPermissions{Create: true, Write: true}).String()}
		header.Set("X-Ms-Blob-Type", "BlockBlob")
	}
	u, err := o.signed(ctx, name, v, valid)
	if err != nil {
		return "", nil, err
	}
	return u.String(), header, nil
}
