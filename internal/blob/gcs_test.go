package blob_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/kiwerk/kiwerk/internal/blob"
	"github.com/kiwerk/kiwerk/internal/blob/blobtest"
)

func newKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serviceAccount logs in with a key.
func serviceAccount(t *testing.T, key *rsa.PrivateKey) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	blobtest.Credentials(t, map[string]any{
		"type": "service_account", "client_email": "kiwerk@test.iam.gserviceaccount.com", "token_uri": "http://127.0.0.1:1/",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
}

// signedBy checks the signature of an address as Google describes it.
func signedBy(r *http.Request, key *rsa.PublicKey) error {
	q := r.URL.Query()
	signature, err := hex.DecodeString(q.Get("X-Goog-Signature"))
	if err != nil {
		return err
	}
	pairs := slices.DeleteFunc(strings.Split(r.URL.RawQuery, "&"), func(p string) bool { return strings.HasPrefix(p, "X-Goog-Signature=") })
	slices.Sort(pairs)
	request := sha256.Sum256([]byte(strings.Join([]string{r.Method, r.URL.EscapedPath(), strings.Join(pairs, "&"), "host:" + r.Host, "", "host", "UNSIGNED-PAYLOAD"}, "\n")))
	account, scope, _ := strings.Cut(q.Get("X-Goog-Credential"), "/")
	begins, err := time.Parse("20060102T150405Z", q.Get("X-Goog-Date"))
	if err != nil {
		return err
	}
	if account != "kiwerk@test.iam.gserviceaccount.com" || q.Get("X-Goog-Expires") != "60" || time.Since(begins) > time.Minute {
		return errors.New("another account or time")
	}
	sum := sha256.Sum256([]byte("GOOG4-RSA-SHA256\n" + q.Get("X-Goog-Date") + "\n" + scope + "\n" + hex.EncodeToString(request[:])))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
}

// startXML puts two real servers behind one address. The emulator of Google's
// store has no uploads in parts; S3's XML API, which Google took over, has them
// under the same paths: it is behind a door that checks Google's signatures and,
// unlike this one, knows no upload that was completed. With lost nobody hears
// of a completion.
func startXML(t *testing.T, key *rsa.PublicKey, lost bool) {
	t.Helper()
	blobtest.StartS3(t)
	blobtest.StartGCS(t)
	to := func(name string) *url.URL {
		u, err := url.Parse(os.Getenv(name))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	s3, emulator := to("MLFLOW_S3_ENDPOINT_URL"), httputil.NewSingleHostReverseProxy(to("STORAGE_EMULATOR_HOST"))
	sign := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	xml := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(s3)
		var kept []string
		for p := range strings.SplitSeq(r.Out.URL.RawQuery, "&") {
			if !strings.HasPrefix(p, "X-Goog-") {
				kept = append(kept, p)
			}
		}
		r.Out.URL.RawQuery = strings.Join(kept, "&")
		r.Out.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
		login := aws.Credentials{AccessKeyID: blobtest.AccessKey, SecretAccessKey: blobtest.SecretKey}
		if err := sign.SignHTTP(r.Out.Context(), login, r.Out, "UNSIGNED-PAYLOAD", "s3", "us-east-1", time.Now()); err != nil {
			t.Error(err)
		}
	}}
	complete := completions(xml, emulator, lost)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
			complete(w, r)
			return
		}
		switch began := r.Method != http.MethodGet && r.URL.Query().Has("uploads") || r.URL.Query().Has("uploadId") && !r.URL.Query().Has("partNumber"); {
		case strings.HasPrefix(r.URL.Path, "/storage/v1/"):
			emulator.ServeHTTP(w, r)
		case began || signedBy(r, key) == nil:
			xml.ServeHTTP(w, r)
		default:
			http.Error(w, "the signature is not right", http.StatusForbidden)
		}
	}))
	t.Cleanup(srv.Close)
	t.Setenv("STORAGE_EMULATOR_HOST", srv.URL)
}

// completions takes each upload to xml until it is completed; the emulator gets the object, too.
func completions(xml, emulator http.Handler, lost bool) http.HandlerFunc {
	var completed sync.Map
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.URL.Query().Get("uploadId")
		if _, is := completed.Load(id); is {
			http.Error(w, "<Error><Code>NoSuchUpload</Code></Error>", http.StatusNotFound)
			return
		}
		answer := httptest.NewRecorder()
		xml.ServeHTTP(answer, r)
		if answer.Code == http.StatusOK {
			completed.Store(id, nil)
			content, upload := httptest.NewRecorder(), httptest.NewRecorder()
			xml.ServeHTTP(content, httptest.NewRequestWithContext(r.Context(), http.MethodGet, r.URL.EscapedPath(), nil))
			bucket, name, _ := strings.Cut(r.URL.Path[1:], "/")
			emulator.ServeHTTP(upload, httptest.NewRequestWithContext(r.Context(), http.MethodPost, "/upload/storage/v1/b/"+bucket+"/o?uploadType=media&name="+url.QueryEscape(name), content.Body))
			if lost {
				answer.Code = http.StatusBadGateway
			}
		}
		w.WriteHeader(answer.Code)
		_, _ = answer.Body.WriteTo(w) // the client sees what is missing
	}
}

func TestGCS_signs(t *testing.T) {
	key := newKey(t)
	serviceAccount(t, key)
	startXML(t, &key.PublicKey, false)
	blobtest.ExerciseSigner(t, prefixes("gs://"+blobtest.Bucket))
}

// TestGCS_answerLost: the repeated completion of an upload finds none.
func TestGCS_answerLost(t *testing.T) {
	key := newKey(t)
	serviceAccount(t, key)
	startXML(t, &key.PublicKey, true)
	s, ok := blob.SignerOf(prefixes("gs://" + blobtest.Bucket)(t))
	if !ok {
		t.Fatal("the bucket cannot sign")
	}
	id, addresses, err := s.Begin(t.Context(), "a", 1, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	status, header, said := blobtest.Send(t, http.MethodPut, addresses[0], nil, []byte("content"))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, said)
	}
	list := []blob.Part{{Number: 1, ETag: header.Get("ETag")}}
	if err := s.Complete(t.Context(), "a", id, list); err != nil {
		t.Errorf("the upload was completed, and this is the answer: %v", err)
	}
	if err := s.Complete(t.Context(), "a", id, list); !blob.IsNotExist(err) {
		t.Errorf("an upload that is no more: %v", err)
	}
}

// TestGCS_signsAtIAM has Google's IAM sign, for an identity that stands for a
// service account; the service is a stand-in.
func TestGCS_signsAtIAM(t *testing.T) {
	key := newKey(t)
	may := true
	blobtest.StartIAM(t, func(payload []byte) []byte {
		if !may {
			return nil
		}
		sum := sha256.Sum256(payload)
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			t.Error(err)
		}
		return signature
	})
	startXML(t, &key.PublicKey, false)
	open := prefixes("gs://" + blobtest.Bucket)
	blobtest.ExerciseSigner(t, open)
	may = false
	bucket := open(t)
	s, ok := blob.SignerOf(bucket)
	if !ok {
		t.Fatal("it is not known before the first try")
	}
	if _, _, err := s.Begin(t.Context(), "a", 3, time.Minute); !errors.Is(err, blob.ErrCannotSign) {
		t.Errorf("%v", err)
	}
	if _, ok := blob.SignerOf(bucket); ok {
		t.Error("the refusal is forgotten")
	}
}

// TestGCS_cannotSign: a person's login has no key.
func TestGCS_cannotSign(t *testing.T) {
	blobtest.Credentials(t, map[string]any{"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"})
	t.Setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
	if _, ok := blob.SignerOf(prefixes("gs://" + blobtest.Bucket)(t)); ok {
		t.Error("it can sign")
	}
}
