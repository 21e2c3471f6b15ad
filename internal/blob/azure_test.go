package blob_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/kiwerk/kiwerk/internal/blob/blobtest"
)

const (
	azureHost  = blobtest.AzureAccount + ".blob.core.windows.net"
	azurePlace = "wasbs://" + blobtest.Bucket + "@" + azureHost
)

// makeContainer makes the container below an address of the account.
func makeContainer(t *testing.T, account string) {
	t.Helper()
	key, err := azblob.NewSharedKeyCredential(blobtest.AzureAccount, blobtest.AzureKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := container.NewClientWithSharedKeyCredential(account+"/"+blobtest.Bucket, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func TestAzure(t *testing.T) {
	account := "http://" + blobtest.StartAzure(t, "http") + "/" + blobtest.AzureAccount
	makeContainer(t, account)
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "DefaultEndpointsProtocol=http;AccountName="+blobtest.AzureAccount+";AccountKey="+blobtest.AzureKey+";BlobEndpoint="+account+";")
	blobtest.Exercise(t, prefixes(azurePlace))
	blobtest.ExerciseSigner(t, prefixes(azurePlace))
}

// TestAzure_identity logs in with a token and signs with a key that is lent.
// The process that does it has a proxy, behind which every host is the
// emulator, and trusts its certificate; both are read once in a process.
func TestAzure_identity(t *testing.T) {
	if os.Getenv("KIWERK_TEST_AZURE_IDENTITY") != "" {
		makeContainer(t, "https://"+azureHost)
		blobtest.Exercise(t, prefixes(azurePlace))
		blobtest.ExerciseSigner(t, prefixes(azurePlace))
		return
	}
	cert, key := certificate(t)
	emulator := blobtest.StartAzure(t, "https", "--oauth", "basic", "--cert", cert, "--key", key)
	proxy := httptest.NewServer(tunnel(t, emulator))
	defer proxy.Close()
	login := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/tenant/oauth2/v2.0/token" || r.FormValue("client_secret") != "secret" || r.FormValue("scope") != "https://storage.azure.com/.default" {
			http.Error(w, "no", http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if _, err := fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3600,"access_token":%q}`, token(t)); err != nil {
			t.Error(err)
		}
	}))
	defer login.Close()
	child := exec.Command(os.Args[0], "-test.run=^TestAzure_identity$", "-test.v")
	child.Env = append(os.Environ(), "KIWERK_TEST_AZURE_IDENTITY=1", "HTTPS_PROXY="+proxy.URL, "SSL_CERT_FILE="+cert, "AZURE_AUTHORITY_HOST="+login.URL+"/",
		"AZURE_TENANT_ID=tenant", "AZURE_CLIENT_ID=client", "AZURE_CLIENT_SECRET=secret", "AZURE_STORAGE_CONNECTION_STRING=", "AZURE_STORAGE_ACCESS_KEY=")
	if said, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

// certificate is one of the account, and of the emulator's own address.
func certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: azureHost}, DNSNames: []string{azureHost}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER)
}

// token is one that the emulator takes: it checks no signature.
func token(t *testing.T) string {
	t.Helper()
	now := time.Now().Unix()
	part := func(v map[string]any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return part(map[string]any{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{
		"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tenant/", "iat": now - 60, "nbf": now - 60, "exp": now + 3600, "oid": "object", "tid": "tenant",
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte("signature"))
}

// tunnel is a proxy behind which every host is the same one.
func tunnel(t *testing.T, address string) http.Handler {
	t.Helper()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		server, err := net.Dial("tcp", address)
		if err != nil {
			t.Error(err)
			return
		}
		defer server.Close()
		if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			return
		}
		var both sync.WaitGroup
		both.Go(func() { _, _ = io.Copy(server, client); server.Close() }) // either end may hang up
		both.Go(func() { _, _ = io.Copy(client, server); client.Close() })
		both.Wait()
	})
}
