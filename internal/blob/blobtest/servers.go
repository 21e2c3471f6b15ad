package blobtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// program builds a server of tools/objectstores once; Go's cache keeps what it compiles.
var program = sync.OnceValues(func() (string, error) {
	root, err := module()
	if err != nil {
		return "", err
	}
	bin := filepath.Join(root, "bin", "tools", "objectstores")
	build := exec.Command("go", "build", "-o", bin+string(filepath.Separator), "tool")
	build.Dir = filepath.Join(root, "tools", "objectstores")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath")
	if said, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(said)))
	}
	return bin, nil
})

// module is the folder of this module.
func module() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	return filepath.Dir(string(bytes.TrimSpace(out))), err
}

// Names and keys of the servers.
const (
	AccessKey = "kiwerk"
	SecretKey = "kiwerk-secret" //nolint:gosec // Of a server that lives as long as a test.
	Bucket    = "models"
)

// StartS3 runs a real server that speaks S3, with an empty bucket, sets the
// environment by which clients find it, and returns the address of the bucket.
func StartS3(t testing.TB) string {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), freePort(t)
	if err := os.Mkdir(filepath.Join(dir, Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", port)
	run(t, "http://"+address+"/", exec.Command(filepath.Join(bin, "versitygw"), "--access", AccessKey, "--secret", SecretKey, "--port", address, "--iam-dir", t.TempDir(), "--quiet", "posix", "--sidecar", t.TempDir(), dir))
	for k, v := range map[string]string{
		"MLFLOW_S3_ENDPOINT_URL": "http://" + address, "AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey,
		"AWS_REGION": "us-east-1", "AWS_PROFILE": "", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(k, v)
	}
	return "s3://" + Bucket
}

// StartGCS is StartS3 for an emulator of Google Cloud Storage.
func StartGCS(t testing.TB) string {
	t.Helper()
	bin, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), freePort(t)
	if err := os.Mkdir(filepath.Join(dir, Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	address := "http://127.0.0.1:" + port
	run(t, address+"/storage/v1/b", exec.Command(filepath.Join(bin, "fake-gcs-server"), "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-public-host", "127.0.0.1:"+port, "-external-url", address, "-backend", "memory", "-data", dir))
	t.Setenv("STORAGE_EMULATOR_HOST", address)
	return "gs://" + Bucket
}

// Account and key of the emulator of Azure, which everybody knows.
const (
	AzureAccount = "devstoreaccount1"
	AzureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==" //nolint:gosec // As above.
)

// StartAzure runs Azurite, an emulator of Azure Storage for Node.js, with
// arguments of the caller, and returns its host and port. Without it the test
// is skipped.
func StartAzure(t testing.TB, scheme string, args ...string) string {
	t.Helper()
	root, err := module()
	if err != nil {
		t.Fatal(err)
	}
	server := filepath.Join(root, ".cache", "azurite", "node_modules", "azurite", "dist", "src", "blob", "main.js")
	if _, err := os.Stat(server); err != nil {
		t.Skip("Azurite is not installed: make conformance-azure")
	}
	port := freePort(t)
	cmd := exec.Command("node", append([]string{server, "--blobPort", port, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"}, args...)...)
	cmd.Dir = t.TempDir()
	run(t, scheme+"://127.0.0.1:"+port+"/", cmd)
	return "127.0.0.1:" + port
}

func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// run starts a server, waits until it answers, and ends it with the test.
func run(t testing.TB, probe string, cmd *exec.Cmd) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		err := <-ended
		if t.Failed() {
			t.Logf("%s ended (%v) and had said: %s", filepath.Base(cmd.Path), err, said.String())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, probe, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			resp.Body.Close()
			return
		}
		if stranger := new(tls.CertificateVerificationError); errors.As(err, &stranger) {
			return // it answers, with a certificate that only the test trusts
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v", filepath.Base(cmd.Path), err)
		case <-ctx.Done():
			t.Fatalf("%s does not answer", filepath.Base(cmd.Path))
		case <-tick.C:
		}
	}
}
