//go:build linux

package systemtest

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

type route struct{ Method, Pattern, Permission string }

// routes are those that need an identity.
func (p *platform) routes() []route {
	p.t.Helper()
	_, body := p.request(http.MethodGet, "/kiwerk/v1/routes", nil)
	var list struct{ Routes []route }
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		p.t.Fatal(err)
	}
	var guarded []route
	for _, r := range list.Routes {
		if strings.HasPrefix(r.Permission, "public: ") {
			if len(r.Permission) < len("public: ")+20 {
				p.t.Errorf("%s %s is public without a reason", r.Method, r.Pattern)
			}
			continue
		}
		guarded = append(guarded, r)
	}
	if len(guarded) < 100 {
		p.t.Fatalf("only %d guarded routes", len(guarded))
	}
	return guarded
}

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

// example is a request for a route.
func (r route) example() (method, path string) {
	method = r.Method
	if method == "" {
		method = http.MethodGet
	}
	path = strings.TrimSuffix(r.Pattern, "{$}")
	path = strings.ReplaceAll(path, "{namespace}", "default")
	return method, wildcard.ReplaceAllString(path, "x")
}

// TestSecurity_everyRouteNeedsItsPermission walks all routes with a token that has none.
func TestSecurity_everyRouteNeedsItsPermission(t *testing.T) {
	t.Parallel()
	who := accounts(t)[0]
	p := up(t, who, filepath.Join(home(t, who), "data"))
	p.kubectl("create", "serviceaccount", "nobody")
	powerless := p.kubectl("create", "token", "nobody", "--audience", "kiwerk.dev")
	elsewhere := p.kubectl("create", "token", "nobody", "--audience", "somebody.example")
	for _, r := range p.routes() {
		method, path := r.example()
		status, body := p.request(method, path, bearer(powerless))
		// A route that shows every user what is theirs shows nothing to one without rights.
		nothing := strings.HasPrefix(r.Permission, "every user: ") && (status == http.StatusNotFound || strings.Contains(body, `"workspaces":[]`))
		if status != http.StatusForbidden && !nothing {
			t.Errorf("%s %s without the permission %q: %d %.200s", method, path, r.Permission, status, body)
		}
		for name, token := range map[string]string{"wrong token": "abc", "empty token": "", "token for somebody else": elsewhere} {
			if status, body := p.request(method, path, bearer(token)); status != http.StatusUnauthorized {
				t.Errorf("%s %s with a %s: %d %.200s", method, path, name, status, body)
			}
		}
	}
	// The role that steps get opens what it names and nothing else.
	p.kubectl("create", "serviceaccount", "step")
	p.kubectl("create", "rolebinding", "steps", "--clusterrole=kiwerk-step", "--serviceaccount=default:step")
	granted := p.kubectl("create", "token", "step", "--audience", "kiwerk.dev")
	until(t, "a step may read an experiment", func() bool { // the authoriser hears of the binding a moment later
		status, _ := p.request(http.MethodGet, "/api/2.0/mlflow/experiments/get?experiment_id=0", bearer(granted))
		return status == http.StatusOK
	})
	if status, body := p.request(http.MethodGet, "/metrics", bearer(granted)); status != http.StatusForbidden {
		t.Errorf("a step reads metrics: %d %.100s", status, body)
	}
	// MLflow's clients send a token as password.
	status, body := p.request(http.MethodGet, "/api/2.0/mlflow/experiments/get?experiment_id=0", func(r *http.Request) { r.SetBasicAuth("any", granted) })
	if status != http.StatusOK {
		t.Errorf("a token as password: %d %s", status, body)
	}
}

// TestSecurity_foreignHostAndOrigin are DNS rebinding and cross-site requests.
func TestSecurity_foreignHostAndOrigin(t *testing.T) {
	t.Parallel()
	who := accounts(t)[0]
	p := up(t, who, filepath.Join(home(t, who), "data"))
	cases := map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"Own":           {nil, http.StatusOK},
		"ForeignHost":   {func(r *http.Request) { r.Host = "evil.example" }, http.StatusMisdirectedRequest},
		"RebindingHost": {func(r *http.Request) { r.Host = "127.0.0.1.nip.io:80" }, http.StatusMisdirectedRequest},
		"ForeignOrigin": {func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }, http.StatusForbidden},
		"NullOrigin":    {func(r *http.Request) { r.Header.Set("Origin", "null") }, http.StatusForbidden},
		"OwnOrigin":     {func(r *http.Request) { r.Header.Set("Origin", "http://"+p.run.Address) }, http.StatusOK},
	}
	for name, c := range cases {
		if status, body := p.request(http.MethodGet, "/api/2.0/mlflow/experiments/get?experiment_id=0", c.change); status != c.want {
			t.Errorf("%s: %d, want %d: %s", name, status, c.want, body)
		}
	}
}

// TestSecurity_anotherUser calls from a stranger's process on the same machine.
func TestSecurity_anotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user: sudo -E go test ./internal/local/systemtest")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl")
	}
	stranger := ordinary(t, "kiwerk-stranger", "Stranger")
	eachAccount(t, func(t *testing.T, who account) {
		p := up(t, who, filepath.Join(home(t, who), "data"))
		ask := func(args ...string) string {
			cmd := exec.Command("curl", append([]string{"-s", "-o", "/dev/null", "-w", "%{http_code}"}, args...)...)
			cmd.SysProcAttr = stranger.attr()
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		url := "http://" + p.run.Address
		for _, r := range p.routes() {
			method, path := r.example()
			if got := ask("-X", method, url+path); got != "401" {
				t.Errorf("%s %s without a token: %s", method, path, got)
			}
		}
		experiment := url + "/api/2.0/mlflow/experiments/get?experiment_id=0"
		if got := ask("-H", "Authorization: Bearer "+p.token(), experiment); got != "200" {
			t.Errorf("with the token: %s", got)
		}
		if got := ask(url + "/health"); got != "200" {
			t.Errorf("/health: %s", got)
		}
		for _, file := range []string{"token", "kubeconfig", "platform.db", "pki/ca.key"} {
			cmd := exec.Command("cat", filepath.Join(p.dir, file))
			cmd.SysProcAttr = stranger.attr()
			if cmd.Run() == nil {
				t.Errorf("a stranger reads %s", file)
			}
		}
	})
}

// TestSecurity_podsDoNotSeeTheDataDirectory looks from inside, also through a volume.
func TestSecurity_podsDoNotSeeTheDataDirectory(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		p := up(t, who, filepath.Join(home(t, who), "data"))
		p.apply(`
apiVersion: v1
kind: Pod
metadata: {name: spy}
spec:
  restartPolicy: Never
  volumes: [{name: host, hostPath: {path: ` + filepath.Dir(p.dir) + `}}]
  containers:
  - name: main
    image: busybox
    volumeMounts: [{name: host, mountPath: /host}]
    command: [sh, -c, "for d in ` + p.dir + ` ` + p.run.RuntimeDir + ` /host/data; do ls -A $d; cat $d/token $d/kubeconfig $d/platform.db $d/pki/ca.key; done 2>/dev/null; echo end"]
`)
		p.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/spy", patience)
		if got := p.kubectl("logs", "spy"); got != "end" {
			t.Errorf("the pod saw %q", got)
		}
	})
}
