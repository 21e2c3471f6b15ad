package text

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
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

// sameInBoth have no words of a language.
var sameInBoth = []Key{
	Verbatim, DoctorIDsTry, UpPhaseKubernetes, Seconds, UpTracking, UpKubectl, SeeLog, "lint.workflow-error.why", "lint.workflow-warning.why",
	GPUSimTry, DemoPercent, DemoCount, DemoMegabytes,
}

func TestCatalogue_germanIsNotACopy(t *testing.T) {
	m := catalogue()
	for key, en := range m["en"] {
		if same := slices.Contains(sameInBoth, key); same != (en == m["de"][key]) {
			t.Errorf("%s: %q stands for both languages: %v, expected %v", key, en, en == m["de"][key], same)
		}
	}
}

func TestLabel(t *testing.T) {
	if got := For("de").Labels("SIZE", "drift_p99"); !slices.Equal(got, []string{"GRÖSSE", "drift_p99"}) {
		t.Errorf("got %q", got)
	}
	if got := For("en").Label("SIZE"); got != "SIZE" {
		t.Errorf("got %q", got)
	}
	for name, german := range labels {
		if german == "" {
			t.Errorf("%q has no German form", name)
		}
	}
}

// What doctor looks at has a name in both languages.
func TestLabel_everyFindingOfDoctor(t *testing.T) {
	files, err := filepath.Glob("../local/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	found := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`finding\("([^"]+)"`).FindAllSubmatch(source, -1) {
			found++
			if name := string(m[1]); !Labelled(name) {
				t.Errorf("%s: %q has no German form", file, name)
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d findings were found", found)
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

func TestPrinter_Bytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_234_567: "1.2 MB", 5_000_000_000: "5.0 GB"} {
		if got := For("en").Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	if got := For("de").Bytes(1_234_567); got != "1,2 MB" {
		t.Errorf("got %q", got)
	}
}
