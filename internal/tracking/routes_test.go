package tracking_test

import (
	_ "embed"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

//go:embed testdata/routes.txt
var routesText string

// upstreamRoute is a line of testdata/routes.txt, the specification of completeness.
type upstreamRoute struct{ tier, method, path, by string }

func upstreamRoutes(t *testing.T) (list []upstreamRoute) {
	t.Helper()
	for line := range strings.Lines(routesText) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 4 {
			t.Fatalf("routes.txt: %q", line)
		}
		list = append(list, upstreamRoute{f[0], f[1], f[2], f[3]})
	}
	return list
}

var wildcard = regexp.MustCompile(`\{\w+(\.\.\.)?\}`)

// TestRoutes asks every route of MLflow's and finds it served, or refused by its name.
func TestRoutes(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	later := map[string]int{}
	for _, r := range upstreamRoutes(t) {
		status, answer := p.do(r.method, wildcard.ReplaceAllString(r.path, "x"), "{}")
		code, _ := answer["error_code"].(string)
		unknown := status == http.StatusMethodNotAllowed || code == "ENDPOINT_NOT_FOUND" || status == http.StatusNotFound && code == ""
		switch r.by {
		case "outside", "access":
		case "later":
			if unknown || status == http.StatusNotImplemented {
				later[r.tier]++
			}
		case "501":
			if status != http.StatusNotImplemented || code != "NOT_IMPLEMENTED" {
				t.Errorf("%s %s: %d %v, want 501", r.method, r.path, status, answer)
			}
		default:
			if _, err := os.Stat(r.by); err != nil {
				t.Errorf("%s %s: there is no package %s", r.method, r.path, r.by)
			}
			if unknown || status == http.StatusNotImplemented {
				t.Errorf("%s %s is not served: %d %v", r.method, r.path, status, answer)
			}
		}
	}
	t.Logf("not served yet: %v", later)
}

// TestRoutes_known: what is served under MLflow's paths is in the table.
func TestRoutes_known(t *testing.T) {
	known := map[string]bool{}
	for _, r := range upstreamRoutes(t) {
		known[r.method+" "+wildcard.ReplaceAllString(r.path, "{}")] = true
	}
	// Ours alone: clients before 3.0, scripts, and uploads in parts use them.
	for _, more := range []string{"POST /api/2.0/mlflow/experiments/search-datasets", "POST /ajax-api/2.0mlflow/experiments/search-datasets", "GET /api/2.0/mlflow/logged-models/{}/artifacts/files", "PUT /api/2.0/mlflow-artifacts/parts/{}/{}"} {
		known[more] = true
	}
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} { // names with a plain slash
		known[method+" /api/3.0/mlflow/mcp-servers/{}"], known[method+" /ajax-api/3.0/mlflow/mcp-servers/{}"] = true, true
	}
	for _, e := range start(t, t.TempDir(), nil).Endpoints() {
		path := wildcard.ReplaceAllString(e.Pattern, "{}")
		if e.Method == "" || strings.HasSuffix(path, "/") || !strings.Contains(path, "mlflow") {
			continue // what is refused
		}
		if !known[e.Method+" "+path] {
			t.Errorf("%s %s is not in routes.txt", e.Method, e.Pattern)
		}
	}
}
