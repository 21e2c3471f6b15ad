package mcp

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/store/storetest"
	"github.com/kiwerk/kiwerk/internal/tracking/mlwire"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"com.example/files", "a1/b2", "io.github.x/y_z.1-2"} {
		if err := checkName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "files", "a/b", "com.example/", "/files", "com.example/a/b", "com.example/versions", "-com/files", "com.example/fi les", "com.example/..", "com_x/files", "ab/" + strings.Repeat("a", 260)} {
		if checkName(name) == nil {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestParseSemver(t *testing.T) {
	// From semver.org: each comes before the next.
	sorted := []string{"0.0.1", "1.0.0-0", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-alpha-1", "1.0.0-alpha1", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2147483647.0.0"}
	var keys []string
	for _, text := range sorted {
		v, err := parseSemver("version", text)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, fmt.Sprintf("%012d %012d %012d %s", v.major, v.minor, v.patch, v.pre))
	}
	if !slices.IsSorted(keys) {
		t.Errorf("%q", keys)
	}
	a, _ := parseSemver("version", "1.0.0+1")
	b, err := parseSemver("version", "1.0.0+x-.y")
	if err != nil || a != b {
		t.Errorf("builds differ: %+v %+v %v", a, b, err)
	}
	for _, bad := range []string{"", "1", "1.0", "v1.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0+", "1.0.0-a_b", "1.0.0 ", "2147483648.0.0", "1.0.0-" + strings.Repeat("a", 130), "1.0.٢"} {
		if _, err := parseSemver("version", bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzParseSemver(f *testing.F) {
	f.Add("1.0.0-alpha.1+b")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := parseSemver("version", text)
		if err == nil && (v.pre == "" || v.pre > released || v.major < 0 || len(text) > maxVersion) {
			t.Errorf("%q: %+v", text, v)
		}
	})
}

// TestBodies: what is wrong with a body is told with its place in it.
func TestBodies(t *testing.T) {
	p := start(t, storetest.Open(t), nil)
	p.version("1.0.0", "")
	doc := func(more string) string {
		return `{"server_json":{"name":"com.example/files","version":"2.0.0",` + more + `}}`
	}
	for _, c := range []struct{ method, path, body, part string }{
		{"POST", "", `{}`, "name: Field required"},
		{"POST", "", `{"name":null}`, "name: Field required"},
		{"POST", "", `{"name":5}`, "name"},
		{"POST", "", `{"name":"files"}`, "Invalid MCP server name"},
		{"POST", "", `[]`, "body"},
		{"POST", "", `{"name":"com.example/xx"} {}`, "behind the end"},
		{"POST", "", `{"name":"com.example/xx","icons":{}}`, "icons: Input should be a valid list"},
		{"POST", "", `{"name":"com.example/xx","icons":[5]}`, "icons.0: Input should be a valid dictionary"},
		{"POST", "", `{"name":"com.example/xx","icons":[{}]}`, "icons.0.src: Field required"},
		{"POST", "", `{"name":"com.example/xx","icons":[{"src":"https://example.org/","sizes":[1]}]}`, "icons.0.sizes"},
		{"POST", "", `{"name":"com.example/xx","icons":[{"src":"https://example.org/","mimeType":"text/html"}]}`, "image/*"},
		{"POST", "", `{"name":"com.example/xx","icons":[{"src":"https://example.org/","source":"version"}]}`, "only told in answers"},
		{"POST", "", `{"name":"com.example/xx","icons":[` + strings.TrimSuffix(strings.Repeat(`{"src":"https://example.org/"},`, 101), ",") + `]}`, "at most 100"},
		{"POST", "/NAME/tags", `{"key":"k"}`, "value: Field required"},
		{"POST", "/NAME/tags", `{"key":"` + strings.Repeat("k", 251) + `","value":"v"}`, "250"},
		{"POST", "/NAME/versions", `{}`, "server_json: Field required"},
		{"POST", "/NAME/versions", `{"server_json":{"name":"com.example/files"}}`, "server_json.version: Field required"},
		{"POST", "/NAME/versions", `{"server_json":{"name":"com.example/other","version":"1.0.0"}}`, "does not match path parameter"},
		{"POST", "/NAME/versions", `{"server_json":{"name":"com.example/files","version":"1.x"}}`, "Invalid semantic version for server_json.version: '1.x'"},
		{"POST", "/NAME/versions", doc(`"x":1},"status":"deprecated"`)[:len(doc(`"x":1},"status":"deprecated"`))-1], "must be 'draft' or 'active'"},
		{"POST", "/NAME/versions", doc(`"packages":[{"registryType":"npm"}]`), "server_json.packages.0.identifier: Field required"},
		{"POST", "/NAME/versions", doc(`"packages":[{"registryType":"npm","identifier":"x","transport":{},"environmentVariables":[{"isSecret":"yes","name":"n"}]}]`), "environmentVariables.0.isSecret: Input should be a valid boolean"},
		{"POST", "/NAME/versions", doc(`"repository":{"url":"u"}`), "server_json.repository.source: Field required"},
		{"POST", "/NAME/versions", doc(`"_meta":[]`), "server_json._meta: Input should be a valid dictionary"},
		{"POST", "/NAME/versions", `{"server_json":{"name":"com.example/files","version":"2.0.0"},"tools":[{"title":"t"}]}`, "tools.0.name: Field required"},
		{"POST", "/NAME/versions", `{"server_json":{"name":"com.example/files","version":"2.0.0"},"tools":[null]}`, "tools.0"},
		{"POST", "/NAME/versions", `{"server_json":{"name":"com.example/files","version":"2.0.0"},"tools":[` + strings.TrimSuffix(strings.Repeat(`{"name":"t"},`, 1001), ",") + `]}`, "at most 1000"},
		{"PATCH", "/NAME/versions/1.0.0", `{"status":null}`, "status cannot be null"},
		{"PATCH", "/NAME/versions/1.0.0", `{"connect_options":{"a":{"hidden":"x"}}}`, "connect_options"},
	} {
		p.refuses(c.method, c.path, c.body, 400, c.part)
	}
	if got := names(p.must("GET", "/NAME/versions", ""), "mcp_server_versions", "version"); got != "1.0.0" {
		t.Errorf("something was stored: %s", got)
	}
	p.must("POST", "/NAME/versions", doc(`"packages":null,"remotes":[{"type":"sse","url":"https://example.org","headers":[]}],"x-own":{"a":[1,2.50]}`))
}

func TestCheckIcon(t *testing.T) {
	c := DefaultConfig()
	for _, src := range []string{"https://example.org/a.png", "https://8.8.8.8/a", "https://[2606:4700::1]/a"} {
		if err := c.checkIcon(src); err != nil {
			t.Errorf("%s: %v", src, err)
		}
	}
	private := []string{"https://127.0.0.1/", "https://10.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://localhost/", "https://x.localhost/", "https://169.254.169.254/"}
	refused := append([]string{"", " ", "a.png", "http://example.org/", "data:image/png;base64,AA", "javascript:alert(1)", "https:///a", "https://u:p@example.org/", "https://0x7f000001/", "https://2130706433/", "https://127.1/", "https://" + strings.Repeat("a", 2100)}, private...)
	for _, src := range refused {
		if c.checkIcon(src) == nil {
			t.Errorf("%q is taken", src)
		}
	}
	env := map[string]string{"MLFLOW_ICON_URL_ALLOWED_SCHEMES": "http, https", "MLFLOW_ICON_URL_ALLOW_PRIVATE_IPS": "true", "MLFLOW_ICON_URL_ALLOWED_DOMAINS": "*.example.org,localhost,1*"}
	c, err := ConfigFromEnv(func(name string) string { return env[name] })
	if err != nil {
		t.Fatal(err)
	}
	for src, ok := range map[string]bool{"http://a.EXAMPLE.org/": true, "http://localhost/": true, "https://10.0.0.1/": true, "https://example.com/": false, "ftp://a.example.org/": false} {
		if err := c.checkIcon(src); (err == nil) != ok {
			t.Errorf("%s: %v", src, err)
		}
	}
	for name, bad := range map[string]string{"MLFLOW_ICON_URL_ALLOWED_SCHEMES": "ftp", "MLFLOW_ICON_URL_ALLOW_PRIVATE_IPS": "maybe"} {
		if _, err := ConfigFromEnv(func(n string) string { return map[string]string{name: bad}[n] }); err == nil {
			t.Errorf("%s=%s is taken", name, bad)
		}
	}
}

// FuzzCheck: whatever a document holds, it is stored or refused.
func FuzzCheck(f *testing.F) {
	f.Add(`{"name":"a","version":"1","icons":[{"src":"https://a.b/"}],"packages":[{"registryType":"x","identifier":"y","transport":1}]}`)
	f.Add(`{"tools":[{}],"repository":null,"icons":null}`)
	c := DefaultConfig()
	f.Fuzz(func(t *testing.T, text string) {
		var doc object
		if mlwire.ReadValue([]byte(text), &doc) != nil {
			return
		}
		if err := c.check("server_json", doc, serverShape); err != nil {
			if server.AsError(err).Status != 400 {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if _, err := json.Marshal(doc); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
