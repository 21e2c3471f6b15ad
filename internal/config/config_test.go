package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v3"
)

func TestDefault_isValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	cases := map[string]struct {
		yaml string
		want func(*Config)
		err  []string
	}{
		"Empty":       {yaml: "", want: func(*Config) {}},
		"OnlyComment": {yaml: "# nothing\n", want: func(*Config) {}},
		"OverDefaults": {yaml: "server:\n  hosts: [kiwerk.example, '*.ml.example']\ndata:\n  sampleRetention: 7d\n", want: func(c *Config) {
			c.Server.Hosts = []string{"kiwerk.example", "*.ml.example"}
			c.Data.SampleRetention = Duration(7 * 24 * time.Hour)
		}},
		"EmptySection":   {yaml: "server:\n", want: func(*Config) {}},
		"UnknownField":   {yaml: "server:\n  listn: x\nfoo: 1\n", err: []string{"line 2: server.listn: no such field", "listen", "line 3: foo: no such field"}},
		"WrongShape":     {yaml: "server: [1]\n", err: []string{"line 1: server: expected a mapping"}},
		"NotYAML":        {yaml: "server: {", err: []string{"line 1"}},
		"WrongType":      {yaml: "logs:\n  maxFiles: many\n", err: []string{"line 2", "many"}},
		"WrongDuration":  {yaml: "data:\n  sampleRetention: 3 weeks\n", err: []string{"3 weeks", "30d"}},
		"Alias":          {yaml: "server: &a {}\nruntime: *a\n", err: []string{"line 2: runtime: aliases"}},
		"EveryProblem":   {yaml: "server: {listen: ':x'}\nlogs: {level: loud}\n", err: []string{"server.listen", "logs.level"}},
		"OpenWithoutTLS": {yaml: "server: {listen: '0.0.0.0:7878'}\n", err: []string{"server.listen", "server.tls.certFile"}},
		"AllAddresses":   {yaml: "server: {listen: ':7878'}\n", err: []string{"not a loopback address"}},
		"HalfTLS":        {yaml: "server: {tls: {certFile: /a}}\n", err: []string{"server.tls: certFile and keyFile"}},
		"RootOfFiles":    {yaml: "serving: {fileRoots: [/, models]}\n", err: []string{"serving.fileRoots[0]", "serving.fileRoots[1]"}},
		"Nodes":          {yaml: "runtime: {nodes: 11}\n", err: []string{"runtime.nodes", "between 1 and 10"}},
		"Network":        {yaml: "runtime: {network: bridge}\n", err: []string{"runtime.network", "auto, pod, host"}},
		"HostWithPort":   {yaml: "server: {hosts: ['a:1']}\n", err: []string{"server.hosts[0]"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(c.yaml))
			if c.want == nil {
				if err == nil {
					t.Fatal("no error")
				}
				for _, part := range c.err {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("error %q lacks %q", err, part)
					}
				}
				return
			}
			want := Default()
			c.want(&want)
			if err != nil || cmp.Diff(want, got) != "" {
				t.Errorf("error %v, diff %s", err, cmp.Diff(want, got))
			}
		})
	}
}

func TestConfig_survivesARoundTrip(t *testing.T) {
	b, err := yaml.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse(b)
	if diff := cmp.Diff(Default(), got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("error %v, diff %s", err, diff)
	}
}

func TestLoad_namesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("nope: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), file+": line 1: nope") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(file + ".missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "server:\n  listen: 127.0.0.1:0\n", "a: &a [*a]", "data: {sampleRetention: 1d}", "? {}\n: x", "!!binary x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err == nil && c.Validate() != nil {
			t.Errorf("accepted an invalid configuration: %v", c.Validate())
		}
	})
}
