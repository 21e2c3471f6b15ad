package model

import (
	"regexp"
	"strings"
	"testing"
)

func TestSourceRules_Check(t *testing.T) {
	for name, c := range map[string]struct {
		rules  SourceRules
		source string
		fault  string
	}{
		"Bucket":        {SourceRules{}, "s3://bucket/model", ""},
		"OwnArtifacts":  {SourceRules{}, "mlflow-artifacts:/0/r/artifacts/m", ""},
		"NoHost":        {SourceRules{}, "mlflow-artifacts:///0/r", ""},
		"OtherHost":     {SourceRules{}, "mlflow-artifacts://evil/0/r", "cannot use the 'mlflow-artifacts' scheme"},
		"HTTP":          {SourceRules{}, "http://evil/m", "cannot use the 'http' scheme"},
		"UpperCase":     {SourceRules{}, "HTTPS://evil/m", "cannot use the 'https' scheme"},
		"Variant":       {SourceRules{}, "ftp+x://evil/m", "cannot use the 'ftp' scheme"},
		"Allowed":       {SourceRules{Schemes: []string{"http"}}, "http://host/m", ""},
		"Pattern":       {SourceRules{Pattern: regexp.MustCompile("^s3://ours/")}, "s3://ours/m", ""},
		"OtherPattern":  {SourceRules{Pattern: regexp.MustCompile("^s3://ours/")}, "s3://theirs/m", "Invalid model version source"},
		"OwnLake":       {SourceRules{Own: []string{"abfss://c@ours.dfs.core.windows.net/x"}}, "abfss://d@ours.dfs.core.windows.net/m", ""},
		"OtherLake":     {SourceRules{Own: []string{"abfss://c@ours.dfs.core.windows.net/x"}}, "abfss://c@theirs.dfs.core.windows.net/x", "cannot use the 'abfss' scheme"},
		"OwnPort":       {SourceRules{Own: []string{"http://ours/x"}}, "mlflow-artifacts://OURS:80/m", ""},
		"OtherPort":     {SourceRules{Own: []string{"http://ours/x"}}, "http://ours:8080/m", "cannot use the 'http' scheme"},
		"OtherDoor":     {SourceRules{Own: []string{"http://ours/x"}}, "https://ours/m", "cannot use the 'https' scheme"},
		"OtherService":  {SourceRules{Own: []string{"http://ours:21/x"}}, "ftp://ours/m", "cannot use the 'ftp' scheme"},
		"OwnCluster":    {SourceRules{Own: []string{"hdfs://ours/x"}}, "viewfs://ours/m", ""},
		"Backslash":     {SourceRules{Own: []string{"http://ours/x"}}, `http://evil\@ours/m`, "cannot use the 'http' scheme"},
		"NoHostButOwn":  {SourceRules{Own: []string{"ftp:///x"}}, "ftp:///m", "cannot use the 'ftp' scheme"},
		"NoScheme":      {SourceRules{}, "a/b:c", ""},
		"EncodedScheme": {SourceRules{}, "ht%74p://evil/m", ""}, // no scheme at all: a local path, which is refused elsewhere
	} {
		t.Run(name, func(t *testing.T) {
			err := c.rules.Check(c.source)
			if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%v, want %q", err, c.fault)
			}
		})
	}
}

func TestCheckSourcePath(t *testing.T) {
	for source, want := range map[string]string{
		"s3://b/m": "store", "runs:/r/m": "store", "models:/m/1": "store", "dbfs:/m": "store",
		"/etc/passwd": "local", "some/where": "local", "file:///etc": "local", "FILE:/etc": "local", "": "local",
		"s3://b/../c": "refused", "s3://b/./c": "refused", "s3://b/%2e%2e/c": "refused", "s3://b/%252e%252e/c": "refused",
		"s3://b/%25252e%25252e%2fc": "refused", "s3://b/a%00": "refused", `s3://b\..\c`: "refused", "s3://b/%zz": "refused", "runs:/r/..": "refused",
	} {
		local, err := CheckSourcePath(source)
		got := map[bool]string{true: "local", false: "store"}[local]
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%q: %s, want %s (%v)", source, got, want, err)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		source, folder string
		path, uri      bool
	}{
		{"/data/run/artifacts/m", "/data/run/artifacts", true, true},
		{"file:///data/run/artifacts/m", "/data/run/artifacts", true, false},
		{"/data/run/artifacts/../../other", "/data/run/artifacts", false, false}, // CheckSourcePath has refused it as an address
		{"/data/run/artifactsX", "/data/run/artifacts", false, false},
		{"file://host/data/run/artifacts", "/data/run/artifacts", false, false},
		{"mlflow-artifacts:/0/r/artifacts/m", "mlflow-artifacts:/0/r/artifacts", false, true},
		{"mlflow-artifacts:/0/r/artifacts", "mlflow-artifacts:/0/r/artifacts", false, true},
		{"mlflow-artifacts:/0/r/artifactsX/m", "mlflow-artifacts:/0/r/artifacts", false, false},
		{"mlflow-artifacts:/0/%72/artifacts/m", "mlflow-artifacts:/0/r/artifacts", false, true},
		{"mlflow-artifacts://host/0/r/artifacts/m", "mlflow-artifacts:/0/r/artifacts", false, false},
		{"s3://b/x", "s3://c/x", false, false},
		{"s3://b", "s3://b", false, false},
	} {
		if got := WithinPath(c.source, c.folder); got != c.path {
			t.Errorf("path %s in %s: %v", c.source, c.folder, got)
		}
		if got := WithinURI(c.source, c.folder); got != c.uri && !strings.Contains(c.source, "..") {
			t.Errorf("address %s in %s: %v", c.source, c.folder, got)
		}
	}
}

func TestProxied(t *testing.T) {
	for uri, want := range map[string]string{
		"mlflow-artifacts:/0/r/artifacts":                                  "0/r/artifacts",
		"mlflow-artifacts:":                                                "",
		"mlflow-artifacts:/":                                               "",
		"http://host:5000/api/2.0/mlflow-artifacts/artifacts/0/r":          "0/r",
		"https://host/prefix/api/2.0/mlflow-artifacts/artifacts/0/r/a%20b": "0/r/a%20b",
		"http://host/api/2.0/mlflow-artifacts/artifacts":                   "",
		"mlflow-artifacts://host/0/r":                                      "no",
		"mlflow-artifacts:///0/r":                                          "0/r",
		"MLFLOW-Artifacts+x:0/r":                                           "0/r",
		"http://host/api/2.0/mlflow-artifacts/artifactsx/0":                "no",
		"http://host/0/r":                                                  "no",
		"s3://bucket/api/2.0/mlflow-artifacts/artifacts/0":                 "no",
		"/api/2.0/mlflow-artifacts/artifacts/0":                            "no",
		"file:///api/2.0/mlflow-artifacts/artifacts/0":                     "no",
	} {
		got, ok := Proxied(uri)
		if !ok {
			got = "no"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
}

func TestArtifactLocation(t *testing.T) {
	for uri, want := range map[string]string{
		"mlflow-artifacts:/a/b": "mlflow-artifacts:/a/b", "mlflow-artifacts:a/": "mlflow-artifacts:/a", "mlflow-artifacts:///a": "mlflow-artifacts:/a", "MLFLOW-artifacts+x:/a": "mlflow-artifacts:/a",
		"mlflow-artifacts:": "mlflow-artifacts:/", "mlflow-artifacts://host/a": "mlflow-artifacts://host/a", "": "", "../a": "../a", "s3://b/../x": "s3://b/../x",
		"http://h/api/2.0/mlflow-artifacts/artifacts/1": "http://h/api/2.0/mlflow-artifacts/artifacts/1",
		"mlflow-artifacts:/x/../1":                      "refused", "mlflow-artifacts:/./1": "refused", "mlflow-artifacts:/x//1": "refused", "mlflow-artifacts:/%2e/1": "refused", "mlflow-artifacts:/x%252f%252e%252e/1": "refused",
		`mlflow-artifacts:/x\..\1`: "refused", "mlflow-artifacts+x:/../1": "refused", "http://h/api/2.0/mlflow-artifacts/artifacts/x/../1": "refused", "http://h/api/2.0/mlflow-artifacts/artifacts/x/%2e%2e/1": "refused",
	} {
		got, err := ArtifactLocation(uri)
		if err != nil {
			got = "refused"
		}
		if got != want {
			t.Errorf("%q: %q, want %q (%v)", uri, got, want, err)
		}
	}
}

func TestBelow(t *testing.T) {
	for _, c := range []struct{ uri, folder, want string }{
		{"s3://b/x/1/r", "s3://b/x/", "/1/r"},
		{"s3://b/x", "s3://b/x", ""},
		{"s3://b/xy", "s3://b/x", "no"},
		{"/a b/1", "/a b", "/1"},
		{"file:///a%20b/1", "/a b", "/1"},
		{"/a b/1", "file:///a%20b", "/1"},
		{"/a/../b/1", "/b", "/1"},
		{"/a/1", "", "no"},
	} {
		got, ok := Below(c.uri, c.folder)
		if !ok {
			got = "no"
		}
		if got != c.want {
			t.Errorf("%s in %s: %q, want %q", c.uri, c.folder, got, c.want)
		}
	}
}
