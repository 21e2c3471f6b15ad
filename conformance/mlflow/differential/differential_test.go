package differential

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/alone"
	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
)

const result = "../../../docs/conformance/tracking-differential.txt"

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

// TestDifferential runs with `make conformance-mlflow`, which sets KIWERK_DIFFERENTIAL=1.
func TestDifferential(t *testing.T) {
	if os.Getenv("KIWERK_DIFFERENTIAL") == "" {
		t.Skip("starts mlflow server: runs with make conformance-mlflow, or with KIWERK_DIFFERENTIAL=1")
	}
	t.Run("SQLite", func(t *testing.T) { compare(t, "") })
	t.Run("PostgreSQL", func(t *testing.T) { compare(t, postgres.URI(t)) })
}

// compare asks a fresh server of either kind.
func compare(t *testing.T, database string) {
	bin, err := filepath.Abs("../../../.venv/bin")
	if err != nil {
		t.Fatal(err)
	}
	theirs, ours := startReference(t, bin), alone.Start(t, database).URL
	report := filepath.Join(t.TempDir(), "report.txt")
	if os.Getenv("KIWERK_UPDATE") != "" {
		report = result
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "python"), "differential.py", theirs, ours, "--report", report)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(result)
	if err != nil || string(got) != string(want) {
		t.Errorf("%s is not the result of this run (%v); KIWERK_UPDATE=1 writes it", result, err)
	}
}

// start runs a program until the test ends.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// startReference runs mlflow server and waits until it answers.
func startReference(t *testing.T, bin string) string {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().(*net.TCPAddr)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "mlflow"), "server", "--port", fmt.Sprint(address.Port), "--workers", "1", //nolint:gosec // The path is that of our own environment.
		"--backend-store-uri", "sqlite:///"+filepath.Join(dir, "mlflow.db"), "--artifacts-destination", filepath.Join(dir, "artifacts"), "--serve-artifacts")
	cmd.Env = append(os.Environ(), "MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false", "HOME="+dir, "PATH="+bin+":"+os.Getenv("PATH"))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	start(t, cmd)
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		stop()
		<-exited
		log.Close()
	})
	url := "http://" + address.String()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-tick.C {
		if r, err := http.Get(url + "/health"); err == nil {
			r.Body.Close()
			return url
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("mlflow server ended: %v\n%s", err, tail(log.Name()))
		default:
		}
	}
	t.Fatalf("mlflow server does not answer\n%s", tail(log.Name()))
	return ""
}

func tail(name string) []byte {
	b, err := os.ReadFile(name)
	if err != nil {
		return []byte(err.Error())
	}
	return b[max(0, len(b)-4000):]
}
