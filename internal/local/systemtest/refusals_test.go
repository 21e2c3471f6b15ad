//go:build linux

package systemtest

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// own gives what the test has written to the account.
func own(t *testing.T, who account, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.Chown(p, int(who.uid), int(who.gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUp_refuses starts on what cannot work; each is one clear sentence that says what to do.
func TestUp_refuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	write := func(t *testing.T, path, content string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cases := map[string]struct {
		files map[string]string
		args  []string
		code  int
		says  []string
	}{
		"ForeignFolder":  {files: map[string]string{"letters/a.txt": "dear"}, code: 1, says: []string{"is not empty and holds no Kiwerk data", "untouched", "try: kiwerk up --data-dir"}},
		"NewerData":      {files: map[string]string{"kiwerk.json": `{"format":99,"version":"9.0.0","kubernetes":"v1.50.0"}`}, code: 1, says: []string{"9.0.0", "newer than this program", "nothing was changed", "backup"}},
		"NewerCluster":   {files: map[string]string{"kiwerk.json": `{"format":1,"version":"1.0.0","kubernetes":"v1.99.0"}`}, code: 1, says: []string{"v1.99.0", "newer"}},
		"DamagedFile":    {files: map[string]string{"kiwerk.json": `{`}, code: 1, says: []string{"kiwerk.json is damaged"}},
		"PortTaken":      {args: []string{"--listen", taken.Addr().String()}, code: 1, says: []string{"is taken by", "systemtest", "--listen 127.0.0.1:0"}},
		"OpenAddress":    {args: []string{"--listen", "0.0.0.0:0"}, code: 2, says: []string{"server.listen", "not a loopback address", "tls"}},
		"WrongAddress":   {args: []string{"--listen", "here"}, code: 2, says: []string{"HOST:PORT"}},
		"UnknownSetting": {files: map[string]string{"config.yaml": "server:\n  listn: x\n"}, code: 2, says: []string{"line 2: server.listn: no such field"}},
		"NoPython":       {files: map[string]string{"config.yaml": "runtime:\n  python: /nowhere\n"}, code: 1, says: []string{"no Python at /nowhere", "runtime.python"}},
		"NoSuchConfig":   {args: []string{"--config", "/nowhere.yaml"}, code: 2, says: []string{"/nowhere.yaml"}},
	}
	who := accounts(t)[0]
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(home(t, who), "data")
			for file, content := range c.files {
				write(t, filepath.Join(dir, file), content)
			}
			_, errs, code := call(t, who, dir, append([]string{"up"}, c.args...)...)
			if code != c.code {
				t.Errorf("code %d, want %d", code, c.code)
			}
			for _, s := range c.says {
				if !strings.Contains(errs, s) {
					t.Errorf("%q is missing in\n%s", s, errs)
				}
			}
			if strings.Contains(errs, "goroutine ") {
				t.Errorf("a stack trace:\n%s", errs)
			}
			entries, err := os.ReadDir(dir)
			if c.files == nil && !os.IsNotExist(err) || c.files["config.yaml"] != "" && len(entries) != 1 {
				t.Errorf("the refused start has left %v, %v", entries, err)
			}
			for file, content := range c.files {
				if b, err := os.ReadFile(filepath.Join(dir, file)); err != nil || string(b) != content {
					t.Errorf("%s was changed: %q, %v", file, b, err)
				}
			}
		})
	}
}

// TestUp_second refuses a second start, says where the first one is, and lets another directory run beside it.
func TestUp_second(t *testing.T) {
	t.Parallel()
	who := accounts(t)[0]
	base := home(t, who)
	p := up(t, who, filepath.Join(base, "one"))
	_, errs, code := call(t, who, p.dir, "up")
	if code != 1 || !strings.Contains(errs, "already runs") || !strings.Contains(errs, p.run.Address) || !strings.Contains(errs, "try: kiwerk status") {
		t.Errorf("code %d: %s", code, errs)
	}
	other := up(t, who, filepath.Join(base, "two"))
	if other.run.Address == p.run.Address || other.run.RuntimeDir == p.run.RuntimeDir {
		t.Errorf("two platforms share something: %+v and %+v", p.run, other.run)
	}
	for _, q := range []*platform{p, other} {
		q.apply(ticker("ticker"))
		q.kubectl("wait", "--for=condition=Ready", "pod/ticker", patience)
	}
}

// TestUp_upgradesAfterABackup starts on the data of an older program.
func TestUp_upgradesAfterABackup(t *testing.T) {
	t.Parallel()
	who := accounts(t)[0]
	dir := filepath.Join(home(t, who), "data")
	p := up(t, who, dir)
	p.kubectl("create", "configmap", "kept", "--from-literal=a=b")
	if out, err := p.stop(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	older := `{"format":0,"version":"0.0.1","kubernetes":"v1.36.0"}`
	if err := os.WriteFile(filepath.Join(dir, "kiwerk.json"), []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
	own(t, who, filepath.Join(dir, "kiwerk.json"))
	again := up(t, who, dir)
	if !strings.Contains(again.out.String(), "upgraded; backup in") {
		t.Errorf("the output does not tell of the backup:\n%s", again.out)
	}
	backups, err := filepath.Glob(filepath.Join(dir, "backups", "*-0.0.1", "platform.db"))
	if err != nil || len(backups) != 1 {
		t.Errorf("backups: %v, %v", backups, err)
	}
	if got := again.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}"); got != "b" {
		t.Errorf("the config map is %q", got)
	}
	var v struct{ Format int }
	b, err := os.ReadFile(filepath.Join(dir, "kiwerk.json"))
	if err != nil || json.Unmarshal(b, &v) != nil || v.Format == 0 {
		t.Errorf("kiwerk.json: %s, %v", b, err)
	}
}

// stop runs kiwerk down.
func (p *platform) stop() (string, error) {
	out, errs, code := call(p.t, p.who, p.dir, "down")
	if code != 0 {
		return out + errs, os.ErrInvalid
	}
	return "", nil
}

// TestUp_detached returns when ready; down ends it.
func TestUp_detached(t *testing.T) {
	t.Parallel()
	eachAccount(t, func(t *testing.T, who account) {
		dir := filepath.Join(home(t, who), "data")
		_, errs, code := call(t, who, dir, "up", "--detach", "--listen", "127.0.0.1:0")
		if code != 0 || !strings.Contains(errs, "Ready in") || !strings.Contains(errs, "kiwerk --data-dir "+dir+" down") {
			t.Fatalf("code %d\n%s", code, errs)
		}
		out, _, code := call(t, who, dir, "status", "-o", "json")
		var s struct {
			State     string
			Addresses map[string]string
		}
		if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || s.State != "ready" || s.Addresses["platform"] == "" {
			t.Errorf("status: code %d, %v\n%s", code, err, out)
		}
		// What the launcher refuses is said by the one that returns.
		if _, errs, code := call(t, who, dir, "up", "--detach"); code != 1 || !strings.Contains(errs, "already runs") {
			t.Errorf("second up --detach: code %d: %s", code, errs)
		}
		if _, errs, code := call(t, who, dir, "down"); code != 0 || !strings.Contains(errs, "Stopped.") {
			t.Errorf("down: code %d: %s", code, errs)
		}
	})
}
