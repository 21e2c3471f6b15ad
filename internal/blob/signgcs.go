package blob

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cloud.google.com/go/compute/metadata"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"golang.org/x/sync/errgroup"
)

// gcsSigner signs addresses as a service account ("V4"): with its key, else
// Google's IAM does it for whoever may (roles/iam.serviceAccountTokenCreator).
type gcsSigner struct {
	// account finds the name of the service account.
	account func(ctx context.Context) (string, error)
	bytes   func(ctx context.Context, account string, b []byte) ([]byte, error)
	now     func() time.Time
	refused atomic.Bool
}

// gcsFile is what a file of credentials says about signing.
type gcsFile struct {
	Type        string `json:"type"`
	Email       string `json:"client_email"`
	Key         string `json:"private_key"`
	Impersonate string `json:"service_account_impersonation_url"`
}

const (
	iamScope = "https://www.googleapis.com/auth/cloud-platform"
	iamHost  = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/"
	iamToken = ":generateAccessToken"
)

// newGCSSigner finds how to sign: nil if the credentials are a person's, or
// of an identity without a service account. Without a file they are the machine's.
func newGCSSigner(ctx context.Context, file []byte) (*gcsSigner, error) {
	s := &gcsSigner{now: time.Now}
	var f gcsFile
	if len(file) > 0 {
		if err := json.Unmarshal(file, &f); err != nil {
			return nil, err
		}
	}
	prefix, account, impersonates := cutLast(strings.TrimSuffix(f.Impersonate, iamToken), "/")
	switch {
	case f.Key != "":
		key, err := privateKey(f.Key)
		if err != nil {
			return nil, err
		}
		s.account = func(context.Context) (string, error) { return f.Email, nil }
		s.bytes = func(_ context.Context, _ string, b []byte) ([]byte, error) {
			sum := sha256.Sum256(b)
			return rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		}
		return s, nil
	case impersonates:
		s.account = func(context.Context) (string, error) { return account, nil }
		return s, s.atIAM(ctx, prefix+"/")
	case len(file) == 0:
		s.account = func(ctx context.Context) (string, error) { return metadata.EmailWithContext(ctx, "default") }
		return s, s.atIAM(ctx, iamHost)
	}
	return nil, nil //nolint:nilnil // There is nothing to sign with, which is no error.
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func privateKey(text string) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("private_key is not in PEM form")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("private_key: %w", err)
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("private_key is not of RSA")
	}
	return key, nil
}

// atIAM lets Google sign; a refusal is remembered.
func (s *gcsSigner) atIAM(ctx context.Context, accounts string) error {
	credentials, err := google.FindDefaultCredentials(ctx, iamScope)
	if err != nil {
		return err
	}
	client := oauth2.NewClient(ctx, credentials.TokenSource)
	s.bytes = func(ctx context.Context, account string, b []byte) ([]byte, error) {
		body, err := json.Marshal(map[string][]byte{"payload": b})
		if err != nil {
			return nil, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, accounts+account+":signBlob", bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode == http.StatusForbidden {
			s.refused.Store(true)
			return nil, errors.Join(ErrCannotSign, gcsError(resp))
		}
		if resp.StatusCode != http.StatusOK {
			return nil, gcsError(resp)
		}
		defer resp.Body.Close()
		var answer struct {
			Signature []byte `json:"signedBlob"`
		}
		return answer.Signature, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&answer)
	}
	return nil
}

// escapeV4 escapes all but what RFC 3986 leaves alone, as signatures want it.
func escapeV4(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// path is where the XML API has an object.
func (o *gcsObjects) path(name string) string {
	names := strings.Split(name, "/")
	for i, n := range names {
		names[i] = escapeV4(n)
	}
	return "/" + escapeV4(o.bucket) + "/" + strings.Join(names, "/")
}

// signed is an address of the XML API that counts for a time.
func (o *gcsObjects) signed(ctx context.Context, method, name string, query map[string]string, valid time.Duration) (string, error) {
	account, err := o.signer.account(ctx)
	if err != nil {
		return "", err
	}
	base, err := url.Parse(o.base)
	if err != nil {
		return "", err
	}
	now := o.signer.now().UTC()
	at, day := now.Format("20060102T150405Z"), now.Format("20060102")
	scope := day + "/auto/storage/goog4_request"
	q := maps.Clone(query)
	if q == nil {
		q = map[string]string{}
	}
	q["X-Goog-Algorithm"] = "GOOG4-RSA-SHA256"
	q["X-Goog-Credential"] = account + "/" + scope
	q["X-Goog-Date"] = at
	q["X-Goog-Expires"] = strconv.FormatInt(int64(valid/time.Second), 10)
	q["X-Goog-SignedHeaders"] = "host"
	pairs := make([]string, 0, len(q))
	for _, k := range slices.Sorted(maps.Keys(q)) {
		pairs = append(pairs, escapeV4(k)+"="+escapeV4(q[k]))
	}
	path, text := o.path(name), strings.Join(pairs, "&")
	request := strings.Join([]string{method, path, text, "host:" + base.Host, "", "host", "UNSIGNED-PAYLOAD"}, "\n")
	sum := sha256.Sum256([]byte(request))
	signature, err := o.signer.bytes(ctx, account, []byte(strings.Join([]string{"GOOG4-RSA-SHA256", at, scope, hex.EncodeToString(sum[:])}, "\n")))
	if err != nil {
		return "", err
	}
	return o.base + path + "?" + text + "&X-Goog-Signature=" + hex.EncodeToString(signature), nil
}

func (o *gcsObjects) signs() bool { return o.signer != nil && !o.signer.refused.Load() }

// xml sends a request of the XML API and reads its answer into out, if that is not nil.
func (o *gcsObjects) xml(ctx context.Context, method, name, query string, body []byte, out any) error {
	resp, err := o.do(ctx, method, o.base+o.path(name)+"?"+query, body, "Content-Type", "application/xml")
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return gcsError(resp)
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := xml.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(out); err != nil {
		return fmt.Errorf("answer of the store: %w", err)
	}
	return nil
}

// beginParts signs the first address before there is an upload to be
// forgotten, so that credentials that cannot sign leave nothing behind.
func (o *gcsObjects) beginParts(ctx context.Context, name string, parts int, valid time.Duration) (id string, addresses []string, err error) {
	if _, err := o.signed(ctx, http.MethodPut, name, nil, valid); err != nil {
		return "", nil, err
	}
	var made struct {
		ID string `xml:"UploadId"`
	}
	if err := o.xml(ctx, http.MethodPost, name, "uploads=", nil, &made); err != nil {
		return "", nil, err
	}
	addresses = make([]string, parts)
	g, signing := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for n := range parts {
		g.Go(func() (err error) {
			addresses[n], err = o.signed(signing, http.MethodPut, name, map[string]string{"partNumber": strconv.Itoa(n + 1), "uploadId": made.ID}, valid)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return "", nil, errors.Join(err, o.dropParts(context.WithoutCancel(ctx), name, made.ID))
	}
	return made.ID, addresses, nil
}

type gcsPart struct {
	Number int    `xml:"PartNumber"`
	ETag   string `xml:"ETag"`
}

// joinParts counts as done what is gone when the request is repeated because its
// answer was lost, if the object has changed meanwhile.
func (o *gcsObjects) joinParts(ctx context.Context, name, id string, parts []Part) error {
	list := struct {
		XMLName xml.Name  `xml:"CompleteMultipartUpload"`
		Parts   []gcsPart `xml:"Part"`
	}{}
	for _, p := range parts {
		list.Parts = append(list.Parts, gcsPart(p))
	}
	body, err := xml.Marshal(list)
	if err != nil {
		return err
	}
	before, unknown := o.head(ctx, name)
	if IsNotExist(unknown) {
		unknown = nil
	}
	var answer struct {
		XMLName xml.Name
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	err = o.xml(ctx, http.MethodPost, name, "uploadId="+escapeV4(id), body, &answer)
	if err != nil && strings.Contains(err.Error(), "<Code>InvalidPart") {
		return errors.Join(ErrParts, err)
	}
	if IsNotExist(err) && unknown == nil {
		if now, look := o.head(ctx, name); look == nil && now.Version != before.Version {
			return nil
		}
	}
	if err == nil && answer.XMLName.Local == "Error" { // said after the status was sent
		return fmt.Errorf("the store answered %s: %s", answer.Code, answer.Message)
	}
	return err
}

func (o *gcsObjects) dropParts(ctx context.Context, name, id string) error {
	ctx, cancel := context.WithTimeout(ctx, abortWithin)
	defer cancel()
	if err := o.xml(ctx, http.MethodDelete, name, "uploadId="+escapeV4(id), nil, nil); err != nil && !IsNotExist(err) {
		return err
	}
	return nil
}

func (o *gcsObjects) address(ctx context.Context, method, name string, valid time.Duration) (address string, header http.Header, err error) {
	var query map[string]string
	if method == http.MethodGet {
		query = map[string]string{"response-content-disposition": Disposition(name)}
	}
	address, err = o.signed(ctx, method, name, query, valid)
	return address, http.Header{}, err
}
