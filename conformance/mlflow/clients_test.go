package mlflow

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kiwerk/kiwerk/internal/kwtest/alone"
	"github.com/kiwerk/kiwerk/internal/kwtest/postgres"
)

// environments names the Python environments of TestMLflowClient: "stock" (the
// default) and "stock-postgresql" are the one of make setup, the others are
// those of scripts/setup-conformance-python.sh.
const environments = "KIWERK_CONFORMANCE_MLFLOW"

// leastPlaces is how many places of the suite have to assert something.
const leastPlaces = 250

func TestMain(m *testing.M) { os.Exit(postgres.Run(m.Run)) }

// TestMLflowClient lets stock Python clients pass the suite, each against a
// server of its own.
func TestMLflowClient(t *testing.T) {
	names := strings.Fields(os.Getenv(environments))
	if len(names) == 0 {
		names = []string{"stock"}
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			args, folder, database := []string{"--calls", "--verbose"}, filepath.Join(".cache", "conformance", name), ""
			switch name {
			case "stock":
				folder = ".venv"
			case "stock-postgresql":
				folder, database = ".venv", postgres.URI(t)
			case "frameworks", "torch":
				args = []string{"--verbose", "--workers=1", "test_frameworks"}
			}
			places := runSuite(t, folder, database, args)
			if args[0] == "--calls" && places < leastPlaces {
				t.Errorf("assertions at %d places; at least %d are wanted", places, leastPlaces)
			}
		})
	}
}

// runSuite returns at how many places of the source something was asserted.
func runSuite(t *testing.T, folder, database string, args []string) (places int) {
	python, err := filepath.Abs(filepath.Join("../..", folder, "bin/python"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(python); err != nil {
		t.Fatalf("the stock client is needed; run make setup or scripts/setup-conformance-python.sh: %v", err)
	}
	t.Setenv("MLFLOW_WEBHOOK_ALLOWED_SCHEMES", "http,https")
	t.Setenv("MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS", "true")
	server := alone.Start(t, database, "--enable-workspaces")
	limit, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(limit, python, append([]string{"-W", "ignore", "run.py"}, args...)...)
	cmd.Env = append(os.Environ(), "MLFLOW_TRACKING_URI="+server.URL, "HOME="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.Output()
	summary, places := summaryOf(string(out))
	if err != nil || places == 0 {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Logf("%s", exit.Stderr)
		}
		t.Errorf("the client's suite failed: %v\n%s", err, out)
		return places
	}
	t.Log(summary)
	return places
}

// summaryOf finds the line that ends run.py's output, and its number of places.
func summaryOf(out string) (line string, places int) {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	line = lines[len(lines)-1]
	words := strings.Fields(line)
	for i, w := range words {
		if w == "places;" && i > 0 {
			places, _ = strconv.Atoi(words[i-1]) // 0 where it is not a number
		}
	}
	return line, places
}
