package lint

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/text"
)

// The table of docs/lint.md is the list of rules.
func TestDocs_listAllRules(t *testing.T) {
	b, err := os.ReadFile("../../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	p := text.For("en")
	var want strings.Builder
	for _, r := range Rules {
		fix := ""
		if r.Fixes {
			fix = "yes"
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s | %s | %s |\n", r.ID, r.Severity, fix, p.T(text.LintRule(r.ID, "title")), p.T(text.LintRule(r.ID, "fix")))
	}
	_, table, _ := strings.Cut(string(b), "|---|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	if diff := cmp.Diff(want.String(), strings.TrimSuffix(table, "\n")+"\n"); diff != "" {
		t.Errorf("docs/lint.md (-want +got):\n%s", diff)
	}
}
