package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestMLflowClient lets the stock Python client pass its suite against the server.
func TestMLflowClient(t *testing.T) {
	python, err := filepath.Abs("../../../.venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("the stock client is needed; run make setup: %v", err)
	}
	t.Setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
	t.Setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
	ctx, stop := context.WithCancel(t.Context())
	url, stopped := make(chan string, 1), make(chan error, 1)
	go func() { stopped <- serve(ctx, t.TempDir(), "127.0.0.1:0", func(u string) { url <- u }) }()
	defer func() {
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("server: %v", err)
		}
	}()
	select {
	case err := <-stopped:
		stopped <- err
		t.Fatal("the server did not start")
	case u := <-url:
		cmd := exec.CommandContext(t.Context(), python, "-W", "ignore", "-m", "unittest", "test_tracking", "test_registry", "test_webhooks")
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "MLFLOW_TRACKING_URI="+u, "HOME="+t.TempDir(), "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false", "PYTHONDONTWRITEBYTECODE=1")
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Run(); err != nil || !bytes.Contains(out.Bytes(), []byte("\nRan ")) {
			t.Errorf("the client's suite failed: %v\n%s", err, out.Bytes())
		}
	}
}
