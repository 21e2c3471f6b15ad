package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/atomicfile"
	"github.com/kiwerk/kiwerk/internal/lint"
	"github.com/kiwerk/kiwerk/internal/manifest"
	"github.com/kiwerk/kiwerk/internal/text"
)

// LintOptions of kiwerk lint.
type LintOptions struct {
	Files, Disable []string
	Fix, DryRun    bool
	Strict, Rules  bool
	Server         bool
	Kubeconfig     string
}

// stdinName is what findings in standard input are attributed to.
const stdinName = "-"

func (t *tree) lint() *cobra.Command {
	var o LintOptions
	c := &cobra.Command{
		Use: "lint FILE|FOLDER|-…", Short: t.T(text.LintShort), Long: t.T(text.LintLong), Args: cobra.ArbitraryArgs,
		Example: "  kiwerk lint deployment.yaml\n  kiwerk lint manifests/ --fix --dry-run\n  kiwerk lint -f job.yaml -o sarif\n  kiwerk lint --rules",
		RunE: func(c *cobra.Command, args []string) error {
			o.Files = append(o.Files, args...)
			return t.runLint(c, o)
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&o.Files, "filename", "f", nil, t.T(text.FlagLintFile))
	f.BoolVar(&o.Fix, "fix", false, t.T(text.FlagLintFix))
	f.BoolVar(&o.DryRun, "dry-run", false, t.T(text.FlagLintDryRun))
	f.BoolVar(&o.Server, "server", false, t.T(text.FlagLintServer))
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", t.T(text.FlagKubeconfig))
	f.StringSliceVar(&o.Disable, "disable", nil, t.T(text.FlagLintDisable))
	f.BoolVar(&o.Strict, "strict", false, t.T(text.FlagLintStrict))
	f.BoolVar(&o.Rules, "rules", false, t.T(text.FlagLintRules))
	t.printsData(c, "text", "table", "json", "yaml", "sarif")
	return c
}

func (t *tree) runLint(c *cobra.Command, o LintOptions) error {
	if o.Rules {
		return t.print(ruleList(t.session.Text))
	}
	for _, id := range o.Disable {
		if !lint.Known(id) {
			return &Failure{Code: ExitUsage, What: text.S(text.LintUnknownRule, id), Try: text.S(text.Verbatim, "kiwerk lint --rules")}
		}
	}
	if len(o.Files) == 0 {
		return &Failure{Code: ExitUsage, What: text.S(text.LintNoFiles), Try: text.S(text.Verbatim, "kiwerk lint FILE")}
	}
	texts, err := t.readManifests(o.Files)
	if err != nil {
		return err
	}
	opts := lint.Options{Disable: o.Disable, Kinds: lintKinds}
	fixed := 0
	if o.Fix {
		if fixed, err = t.fixManifests(texts, opts, o); err != nil {
			return err
		}
	}
	var files []*manifest.File
	for _, name := range sortedKeys(texts) {
		files = append(files, manifest.Parse(name, texts[name]))
	}
	findings, objects := lint.Check(files, opts), lint.Objects(files)
	if o.Server {
		refused, err := t.program.DryRun(c.Context(), t.session, o.Kubeconfig, objects)
		if err != nil {
			return err
		}
		findings = append(findings, lint.Refusals(refused, o.Disable)...)
	}
	lint.Translate(findings, t.session.Text)
	r := lintReport{Findings: findings, Files: len(files), Objects: len(objects), Corrected: fixed, args: o.Files}
	if findings == nil {
		r.Findings = []lint.Finding{}
	}
	if err := t.printLint(&r, o); err != nil {
		return err
	}
	if r.count(lint.Error) > 0 || o.Strict && r.count(lint.Warning) > 0 {
		return Exit(ExitFailed)
	}
	return nil
}

// fixManifests writes the corrections, or shows them. Texts are the corrected ones afterwards.
func (t *tree) fixManifests(texts map[string][]byte, opts lint.Options, o LintOptions) (corrected int, err error) {
	changed, err := lint.Fix(texts, opts)
	if err != nil {
		return 0, err
	}
	for _, f := range changed {
		corrected += f.Corrected
		texts[f.Name] = f.After
		if o.DryRun {
			fmt.Fprint(t.program.Out, manifest.Diff(f.Name, string(f.Before), string(f.After)))
			continue
		}
		if f.Name != stdinName {
			if err := replaceFile(f.Name, f.After); err != nil {
				return 0, &Failure{What: text.S(text.LintNotFixed, f.Name), Cause: err}
			}
		}
		if !t.session.Quiet {
			fmt.Fprintln(t.program.Err, t.session.Text.T(text.LintFixed, f.Name, fmt.Sprint(f.Corrected)))
		}
	}
	if all, ok := texts[stdinName]; ok && !o.DryRun {
		_, err = t.program.Out.Write(all)
	}
	return corrected, err
}

// printLint writes to standard error what would otherwise mix with corrected manifests or a difference.
func (t *tree) printLint(r *lintReport, o LintOptions) error {
	if o.Fix && (o.DryRun || slices.Contains(o.Files, stdinName)) {
		r.Table(t.program.Err, t.session.Text)
		return nil
	}
	switch t.output {
	case "sarif":
		return writeSARIF(t.program.Out, r.Findings, t.session.Text)
	case "json", "yaml":
		return t.print(r)
	}
	r.Table(t.program.Out, t.session.Text)
	if !t.session.Quiet {
		r.summary(t.program.Err, t.session.Text)
	}
	return nil
}

// readManifests collects what -f names: files as they are, and of folders what looks like manifests.
func (t *tree) readManifests(names []string) (map[string][]byte, error) {
	texts := map[string][]byte{}
	for _, name := range names {
		if name == stdinName {
			b, err := io.ReadAll(t.program.In)
			if err != nil {
				return nil, unreadable(name, err)
			}
			texts[stdinName] = b
			continue
		}
		err := filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if path != name && !slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path))) {
				return nil
			}
			b, err := os.ReadFile(path)
			texts[path] = b
			return err
		})
		if err != nil {
			return nil, unreadable(name, err)
		}
	}
	return texts, nil
}

func unreadable(name string, err error) error {
	code := ExitFailed
	switch {
	case errors.Is(err, fs.ErrNotExist):
		code = ExitNotFound
	case errors.Is(err, fs.ErrPermission):
		code = ExitNotAllowed
	}
	return &Failure{Code: code, What: text.S(text.LintUnreadable, name), Cause: err}
}

// replaceFile writes beside the file and renames, so that a crash leaves the old or the new one. Links stay links.
func replaceFile(name string, content []byte) error {
	target, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	st, err := os.Stat(target)
	if err != nil {
		return err
	}
	return atomicfile.Write(target, content, st.Mode().Perm())
}
