package text

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var verb = regexp.MustCompile(`%(\[\d+\])?[-+# 0]*\d*(\.\d+)?[a-zA-Z]`)

func TestCatalogue_bothLanguagesHaveEachEntry(t *testing.T) {
	m := catalogue()
	for key, en := range m["en"] {
		de := m["de"][key]
		if en == "" || de == "" {
			t.Errorf("%s: an entry is missing (en %q, de %q)", key, en, de)
		}
		a, b := verb.FindAllString(en, -1), verb.FindAllString(de, -1)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("%s: verbs differ: en %v, de %v", key, a, b)
		}
	}
}

// constants of a package's files whose names pass, with their string values.
func constants(t *testing.T, pattern string, pass func(name string, typ ast.Expr) bool) map[string]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files at %s: %v", pattern, err)
	}
	found := map[string]string{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 || !pass(spec.Names[0].Name, spec.Type) {
				return true
			}
			if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
				value, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				found[spec.Names[0].Name] = value
			}
			return true
		})
	}
	return found
}

func TestCatalogue_hasEveryKey(t *testing.T) {
	keys := constants(t, "*.go", func(_ string, typ ast.Expr) bool {
		id, ok := typ.(*ast.Ident)
		return ok && id.Name == "Key"
	})
	if len(keys) < 100 {
		t.Fatalf("only %d keys were found", len(keys))
	}
	m := catalogue()
	for name, key := range keys {
		if m["en"][Key(key)] == "" {
			t.Errorf("%s (%s) has no entry", name, key)
		}
	}
}

func TestCatalogue_hasEveryReasonOfARetraining(t *testing.T) {
	reasons := constants(t, "../../api/kiwerk/v1alpha1/retrainpolicy.go", func(name string, _ ast.Expr) bool { return strings.HasPrefix(name, "Reason") })
	if len(reasons) < 20 {
		t.Fatalf("only %d reasons were found", len(reasons))
	}
	for name, reason := range reasons {
		if _, ok := retrainReasons[reason]; !ok {
			t.Errorf("%s (%s) has no entry", name, reason)
		}
	}
	if len(reasons) != len(retrainReasons) {
		t.Errorf("%d reasons, %d entries", len(reasons), len(retrainReasons))
	}
}

func TestDetect(t *testing.T) {
	cases := map[string]struct {
		flag string
		env  map[string]string
		want string
	}{
		"FlagWins":       {flag: "en", env: map[string]string{"LANG": "de_DE.UTF-8"}, want: "en"},
		"LocaleGerman":   {env: map[string]string{"LANG": "de_AT.UTF-8"}, want: "de"},
		"LocaleC":        {env: map[string]string{"LANG": "C.UTF-8"}, want: "en"},
		"NothingSet":     {want: "en"},
		"MessagesBefore": {env: map[string]string{"LC_MESSAGES": "de_DE", "LANG": "en_US"}, want: "de"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if got := Detect(c.flag, func(k string) string { return c.env[k] }); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
