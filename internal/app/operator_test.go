package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

func TestMain(m *testing.M) { kwtest.Main(m) }

func TestRunOperator_servesAnExistingCluster(t *testing.T) {
	for _, components := range []string{AllComponents, TrackingComponent} {
		t.Run(components, func(t *testing.T) { serveCluster(t, components) })
	}
}

func serveCluster(t *testing.T, components string) {
	t.Helper()
	dir := t.TempDir()
	address := fmt.Sprintf("127.0.0.1:%d", kwtest.FreePort(t))
	cfg := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(cfg, []byte("server:\n  listen: "+address+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	var log bytes.Buffer
	go func() {
		code <- RunOperator(ctx, []string{
			"--kubeconfig", kwtest.Kubeconfig(t), "--config", cfg, "--data-dir", filepath.Join(dir, "data"), "--platform-url", "http://" + address, "--components", components,
		}, &log)
	}()
	kwtest.Eventually(t, func() error {
		resp, err := http.Get("http://" + address + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
		return err
	})
	resp, err := http.Get("http://" + address + "/api/2.0/mlflow/experiments/get?experiment_id=0")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %s, want 401: on a cluster nobody is trusted for where he comes from", resp.Status)
	}
	// A user of the cluster sees a namespace in which a role says so.
	ns := kwtest.Namespace(t)
	token := account(t, ns, "reader")
	mayRead(t, ns, rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "reader"})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/api/3.0/mlflow/workspaces", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	seen, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Body.Close()
	if body, err := io.ReadAll(seen.Body); err != nil || string(body) != `{"workspaces":[{"name":"`+ns+`"}]}`+"\n" {
		t.Errorf("workspaces: %s %q, %v", seen.Status, body, err)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d\n%s", got, log.String())
	}
}

func TestRunOperator_refusesWhatItCannotDo(t *testing.T) {
	cases := map[string]struct {
		args []string
		want string
	}{
		"NoAddress":  {nil, "--platform-url is required"},
		"Components": {[]string{"--platform-url=http://x", "--components=gateway"}, "all and tracking"},
		"Database":   {[]string{"--platform-url=http://x", "--backend-store-uri=sqlite:///a"}, "belong to --components=tracking"},
		"Argument":   {[]string{"--platform-url=http://x", "up"}, `unexpected argument "up"`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if code := RunOperator(t.Context(), c.args, &out); code != 2 || !strings.Contains(out.String(), c.want) {
				t.Errorf("code %d: %s", code, &out)
			}
		})
	}
}
