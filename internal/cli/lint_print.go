package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/text"
)

// lintReport is what kiwerk lint prints.
type lintReport struct {
	Findings  []lint.Finding `json:"findings"`
	Files     int            `json:"files"`
	Objects   int            `json:"objects"`
	Corrected int            `json:"corrected"`

	args []string
}

func (r *lintReport) count(s lint.Severity) int {
	n := 0
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// Table prints a finding in three lines: place and rule, reason, remedy.
func (r *lintReport) Table(w io.Writer, p *text.Printer) {
	for _, f := range r.Findings {
		where := f.Object
		if f.Path != "" {
			where = strings.TrimSpace(where + " " + f.Path)
		}
		fmt.Fprintf(w, "%s:%d:%d: %s: %s (%s)\n", f.File, f.Line, f.Column, p.Label(string(f.Severity)), where, f.Rule)
		fmt.Fprintf(w, "  %s\n  %s: %s\n", f.Message, p.T(text.LintTry), f.Fix)
	}
}

// summary is one line for people, and what --fix could do.
func (r *lintReport) summary(w io.Writer, p *text.Printer) {
	objects, files := fmt.Sprint(r.Objects), fmt.Sprint(r.Files)
	if len(r.Findings) == 0 {
		fmt.Fprintln(w, p.T(text.LintNothing, objects, files))
		return
	}
	fmt.Fprintln(w, p.T(text.LintSummary, objects, files, fmt.Sprint(r.count(lint.Error)), fmt.Sprint(r.count(lint.Warning)), fmt.Sprint(r.count(lint.Info))))
	fixable := 0
	for _, f := range r.Findings {
		if f.Fixable {
			fixable++
		}
	}
	if fixable > 0 {
		fmt.Fprintln(w, p.T(text.LintFixable, fmt.Sprint(fixable), strings.Join(r.args, " ")))
	}
}

// rules is what kiwerk lint --rules prints.
type rules struct {
	Rules []ruleLine `json:"rules"`
}

type ruleLine struct {
	ID       string        `json:"id"`
	Severity lint.Severity `json:"severity"`
	Fixes    bool          `json:"fixes"`
	Title    string        `json:"title"`
	Fix      string        `json:"fix"`
}

func ruleList(p *text.Printer) *rules {
	var out rules
	for _, r := range lint.Rules {
		out.Rules = append(out.Rules, ruleLine{r.ID, r.Severity, r.Fixes, p.T(text.LintRule(r.ID, "title")), p.T(text.LintRule(r.ID, "fix"))})
	}
	return &out
}

// Table prints a line per rule.
func (r *rules) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("ID", "SEVERITY", "FIX", "WHAT")}
	for _, l := range r.Rules {
		fix := ""
		if l.Fixes {
			fix = "--fix"
		}
		rows = append(rows, []string{l.ID, p.Label(string(l.Severity)), fix, l.Title})
	}
	columns(w, rows)
}
