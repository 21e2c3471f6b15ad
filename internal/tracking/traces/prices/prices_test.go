package prices

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const alpha = `{"schema_version":"1","models":{
	"big":{"mode":"chat","pricing":{"input_per_million_tokens":2,"output_per_million_tokens":10,"cache_read_per_million_tokens":0.5,"cache_write_per_million_tokens":3,"cache_write_1hr_per_million_tokens":4}},
	"plain":{"pricing":{"input_per_million_tokens":1,"output_per_million_tokens":1}},
	"free":{"pricing":{"output_per_million_tokens":1}},
	"none":{"mode":"embedding"}}}`

func open(t *testing.T, log *bytes.Buffer) *Catalog {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"alpha.json": alpha, "beta.json": `{"models":{"big":{"pricing":{"input_per_million_tokens":100}},"free":{"pricing":{"input_per_million_tokens":7}}}}`,
		"broken.json": "{", "readme.txt": "x",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := FromEnv(func(string) string { return "file://" + dir }, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCost(t *testing.T) {
	var log bytes.Buffer
	c := open(t, &log)
	for name, v := range map[string]struct {
		model, provider string
		n               Tokens
		input, output   float64
		ok              bool
	}{
		"Plain":         {"plain", "alpha", Tokens{Input: 1e6, Output: 2e6}, 1, 2, true},
		"AnyProvider":   {"big", "", Tokens{Input: 1e6}, 2, 0, true},
		"NamedProvider": {"big", "Beta", Tokens{Input: 1e6}, 100, 0, true},
		"OtherProvider": {"plain", "beta", Tokens{Input: 1e6}, 1, 0, true},
		"PricedFirst":   {"free", "", Tokens{Input: 1e6}, 7, 0, true},
		"Prefix":        {"alpha/big", "", Tokens{Output: 1e6}, 0, 10, true},
		"Caches":        {"big", "alpha", Tokens{Input: 10e6, CacheRead: 2e6, CacheWrite: 4e6, CacheWriteHour: 1e6}, 4*2 + 2*.5 + 3*3 + 4, 0, true},
		"CachesPlain":   {"plain", "alpha", Tokens{Input: 3e6, CacheRead: 1e6, CacheWrite: 1e6, CacheWriteHour: 9e6}, 3, 0, true},
		"InputOnly":     {"big", "beta", Tokens{Input: 1e6, Output: 1e6}, 100, 0, true},
		"NoTokens":      {"big", "alpha", Tokens{}, 0, 0, false},
		"NoPrice":       {"none", "alpha", Tokens{Input: 1}, 0, 0, false},
		"Unknown":       {"x", "../alpha", Tokens{Input: 1}, 0, 0, false},
		"Gateway":       {"gateway:/big", "", Tokens{Input: 1}, 0, 0, false},
	} {
		if in, out, ok := c.Cost(v.model, v.provider, v.n); math.Abs(in-v.input) > 1e-9 || math.Abs(out-v.output) > 1e-9 || ok != v.ok {
			t.Errorf("%s: %v %v %v, want %v %v %v", name, in, out, ok, v.input, v.output, v.ok)
		}
	}
	if n := strings.Count(log.String(), "broken"); n != 1 {
		t.Errorf("the broken file is told %d times: %s", n, log.String())
	}
	if _, _, ok := (*Catalog)(nil).Cost("big", "alpha", Tokens{Input: 1}); ok {
		t.Error("no catalogue has a price")
	}
}

func TestFromEnv(t *testing.T) {
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	for value, bad := range map[string]bool{"": false, "https://example.org/x": false, "s3://b/x": true, "file:///does/not/exist": true, "file://" + t.TempDir(): true, "%zz": true} {
		c, err := FromEnv(func(string) string { return value }, logger)
		if c != nil || (err != nil) != bad {
			t.Errorf("%q: %v %v", value, c, err)
		}
	}
	if !strings.Contains(log.String(), "not fetched") {
		t.Errorf("nothing says that prices are not fetched: %s", log.String())
	}
}
