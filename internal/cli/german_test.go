package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// english are words that no German sentence has.
var english = regexp.MustCompile(`\b(the|and|are|of|with|from|without|which|that|this|not|string|duration|FILE|COMMAND)\b|\(default`)

// names are what stays: flags and what Kubernetes calls so.
var names = regexp.MustCompile(`--?[a-z]+[a-z-]*|[a-z]+(-[a-z]+)+|kiwerk\.dev/[a-z-]+`)

func englishWord(said string) string { return english.FindString(names.ReplaceAllString(said, "")) }

// called gives each command of the tree, those for ourselves too, with arguments that it takes.
func called(t *testing.T, visit func(c *cobra.Command, args []string)) {
	t.Helper()
	var seen []any
	p, _, _ := program(&seen, nil)
	tree := &tree{program: p, session: Session{Text: text.For("en")}}
	found := 0
	walk(tree.root(), nil, func(c *cobra.Command, path []string) {
		found++
		visit(c, path)
	})
	if found < 35 {
		t.Fatalf("only %d commands were found", found)
	}
}

// TestGerman_help compares the help of each command line by line: what is the
// same in both languages has not been translated.
func TestGerman_help(t *testing.T) {
	called(t, func(c *cobra.Command, path []string) {
		args := append([]string{"help"}, path...)
		en, _ := run(t, nil, args...)
		de, _ := run(t, map[string]string{"LANG": "de_DE.UTF-8"}, args...)
		if en.code != ExitOK || de.code != ExitOK || de.out == "" {
			t.Fatalf("%v: codes %d, %d", args, en.code, de.code)
		}
		// Commands are the same in every language.
		german := strings.ReplaceAll(de.out, c.Example, "")
		for line := range strings.Lines(german) {
			line = strings.TrimSpace(line)
			call := line == c.CommandPath() || strings.HasPrefix(line, c.CommandPath()+" ") && englishWord(line) == ""
			if line != "" && !call && strings.Contains(en.out, line) {
				t.Errorf("%v: %q is said in English", args, line)
			}
			if word := englishWord(line); word != "" {
				t.Errorf("%v: the English word %q is in %q", args, word, line)
			}
		}
	})
}

// strings of a package that pass, by the place where they stand.
func literals(t *testing.T, pass func(stack []ast.Node, value string) bool) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	found := map[string]string{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		var stack []ast.Node
		ast.Inspect(f, func(n ast.Node) bool {
			if n == nil {
				stack = stack[:len(stack)-1]
				return true
			}
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				value, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				if pass(stack, value) {
					found[value] = set.Position(lit.Pos()).String()
				}
			}
			stack = append(stack, n)
			return true
		})
	}
	return found
}

// isLabel tells whether what stands below is an argument of Label or Labels.
func isLabel(stack []ast.Node) bool {
	call, ok := stack[len(stack)-1].(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	return ok && (f.Sel.Name == "Label" || f.Sel.Name == "Labels")
}

var head = regexp.MustCompile(`^[A-Z]{2,}( [A-Z]+)*$`)

// TestGerman_headsComeFromTheCatalogue finds heads of tables that are written in place.
func TestGerman_headsComeFromTheCatalogue(t *testing.T) {
	inPlace := literals(t, func(stack []ast.Node, value string) bool {
		_, list := stack[len(stack)-1].(*ast.CompositeLit)
		return list && head.MatchString(value)
	})
	for value, place := range inPlace {
		t.Errorf("%s: %q is the same in every language", place, value)
	}
	known := literals(t, func(stack []ast.Node, _ string) bool { return isLabel(stack) })
	if len(known) < 30 {
		t.Fatalf("only %d labels were found", len(known))
	}
	for value, place := range known {
		if !text.Labelled(value) {
			t.Errorf("%s: label %q has no German form", place, value)
		}
	}
}

// TestGerman_whatCommandsPrint runs every command that prints data.
func TestGerman_whatCommandsPrint(t *testing.T) {
	german := text.For("de")
	heads := slices.Collect(maps.Keys(literals(t, func(stack []ast.Node, value string) bool { return isLabel(stack) && head.MatchString(value) })))
	t.Chdir(t.TempDir())
	if err := os.WriteFile("FILE", nil, 0o600); err != nil { // an argument of some
		t.Fatal(err)
	}
	called(t, func(c *cobra.Command, path []string) {
		if c.Flags().Lookup("output") == nil {
			return
		}
		args := argumentsOf(c, path)
		r, _ := run(t, map[string]string{"LANG": "de_DE.UTF-8"}, args...)
		said := r.out + r.err
		for _, name := range heads {
			if german.Label(name) != name && regexp.MustCompile(`\b`+name+`\b`).MatchString(said) {
				t.Errorf("%v: the head %q in\n%s", args, name, said)
			}
		}
		if word := englishWord(said); word != "" {
			t.Errorf("%v: the English word %q in\n%s", args, word, said)
		}
	})
}

// argumentsOf is a call of a command that succeeds.
func argumentsOf(c *cobra.Command, path []string) []string {
	switch c.Name() {
	case "submit":
		return append(path, "--from", "train")
	case "lint":
		return append(path, "--rules")
	}
	args := append([]string{}, path...)
	for _, word := range strings.Fields(c.Use)[1:] {
		switch {
		case word == "TAG=VALUE":
			word = "team=x"
		case word == "RUN" && path[0] == "runs":
			word = "r1"
		case word == "OTHER":
			word = "r2"
		case word == "MODEL":
			word = "digits"
		}
		args = append(args, word)
	}
	switch strings.Join(path, " ") {
	case "runs export", "models pull":
		return append(args, "--to", "folder")
	case "runs gc":
		return append(args, "--dry-run")
	case "runs reproduce":
		return append(path, "o1", "--tolerance", "1")
	case "models register":
		return append(args, "--run", "r1")
	case "models alias":
		return append(path, "digits/1", "champion")
	}
	return args
}

// TestGerman_wrongCalls are what a person sees who calls a command in a wrong way.
func TestGerman_wrongCalls(t *testing.T) {
	for args, want := range map[string]string{
		"up now":                     "der Aufruf lautet: kiwerk up [--…]",
		"pipeline submit":            "der Aufruf lautet: kiwerk pipeline submit DATEI | --from VORLAGE [--…]",
		"node remove":                "entweder Namen von Knoten angeben oder --simulated",
		"retrain approve x --reject": "--reject braucht --reason",
		"image pull x --username me": "--username und --password-stdin gehören zusammen",
		"image load -":               "die Standardeingabe ist keine Datei",
		"completion tcsh":            "der Aufruf lautet: kiwerk completion SHELL",
		"lint":                       "bitte sagen, was gelesen werden soll",
		"node lst":                   `den Befehl "kiwerk node lst" gibt es nicht`,
		"pipeline submit nowhere.yaml -p epochs=1": "die Datei nowhere.yaml gibt es nicht",
	} {
		r, _ := run(t, nil, append(strings.Fields(args), "--lang=de")...)
		if r.code == ExitOK || !strings.Contains(r.err, want) || englishWord(r.err) != "" {
			t.Errorf("%s: code %d, %s", args, r.code, r.err)
		}
	}
}
