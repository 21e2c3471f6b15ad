package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/text"
)

// Program is what the process gives to the commands.
type Program struct {
	Args   []string // without the program's name
	In     io.Reader
	Out    io.Writer
	Err    io.Writer
	Getenv func(string) string
	Home   string
	// Now is the clock of decisions that are written down; nil is the machine's.
	Now func() time.Time
	Runners
}

// Session is what every runner gets: where to talk and in which language.
type Session struct {
	In       io.Reader
	Out, Err io.Writer
	Text     *text.Printer
	// DataDir is absolute.
	DataDir string
	// Terminal says that Err is one, so colour is welcome.
	Terminal bool
	Quiet    bool
}

// tree carries what the commands share while they are built and run.
type tree struct {
	program Program
	session Session
	output  string
	noColor bool
}

// Run parses the arguments, runs the command and returns the exit code.
func Run(ctx context.Context, p Program) int {
	t := &tree{program: p, session: Session{
		In: p.In, Out: p.Out, Err: p.Err,
		Text: text.For(text.Detect(languageFlag(p.Args), p.Getenv)),
	}}
	err := checkLanguage(languageFlag(p.Args))
	if err == nil {
		root := t.root()
		root.SetArgs(p.Args)
		err = root.ExecuteContext(ctx)
	}
	report(p.Err, t.session.Text, err)
	return codeOf(err)
}

func checkLanguage(flag string) error {
	if flag == "" || slices.Contains(text.Languages, flag) {
		return nil
	}
	return &Failure{Code: ExitUsage, What: text.S(text.UsageLanguage, flag, strings.Join(text.Languages, ", ")), Try: text.S(text.Verbatim, "kiwerk --lang "+text.Languages[0])}
}

// languageFlag is needed before flags are parsed, because help is translated too.
func languageFlag(args []string) string {
	for i, a := range args {
		if v, ok := strings.CutPrefix(a, "--lang="); ok {
			return v
		}
		if a == "--lang" && i+1 < len(args) {
			return args[i+1]
		}
		if a == "--" || a == "kubectl" {
			break
		}
	}
	return ""
}

func (t *tree) root() *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use: "kiwerk", Short: t.T(text.RootShort),
		Example: "  kiwerk up\n  kiwerk demo quality-inspection",
		Args:    t.noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if version {
				_, err := fmt.Fprintln(t.program.Out, "kiwerk", buildinfo.Version())
				return err
			}
			return c.Help()
		},
		// Errors are printed once, by report.
		SilenceErrors: true, SilenceUsage: true,
		// So that `kiwerk --data-dir D kubectl …` keeps its own flag.
		TraverseChildren:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return t.settle() },
	}
	root.SetOut(t.program.Out)
	root.SetErr(t.program.Err)
	root.SetIn(t.program.In)
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(flagError)
	t.speakHelp(root)
	root.Flags().BoolVar(&version, "version", false, t.T(text.VersionShort))
	f := root.PersistentFlags()
	f.StringVar(&t.session.DataDir, "data-dir", t.defaultDataDir(), t.T(text.FlagDataDir))
	f.String("lang", "", t.T(text.FlagLang))
	f.BoolVar(&t.noColor, "no-color", t.program.Getenv("NO_COLOR") != "", t.T(text.FlagNoColor))
	f.BoolVarP(&t.session.Quiet, "quiet", "q", false, t.T(text.FlagQuiet))
	root.AddCommand(t.up(), t.down(), t.status(), t.doctor(), t.demo(), t.lint(), t.pipeline(), t.runs(), t.models(), t.kubectl(), t.version(), t.retrain(), t.image(), t.gpu(), t.node(), t.tracking(), t.completion(root), t.internal())
	return root
}

// T is short for a sentence without arguments.
func (t *tree) T(key text.Key) string { return t.session.Text.T(key) }

func (t *tree) defaultDataDir() string {
	if dir := t.program.Getenv("KIWERK_DATA_DIR"); dir != "" {
		return dir
	}
	return t.homeDataDir()
}

// homeDataDir is where a terminal looks in which nothing was set.
func (t *tree) homeDataDir() string { return filepath.Join(t.program.Home, ".kiwerk") }

// settle makes the shared flags usable.
func (t *tree) settle() error {
	if t.session.DataDir == "" || t.program.Home == "" && !filepath.IsAbs(t.session.DataDir) {
		return &Failure{Code: ExitUsage, What: text.S(text.NoHome), Try: text.S(text.Verbatim, "kiwerk … --data-dir DIR")}
	}
	dir, err := filepath.Abs(t.session.DataDir)
	if err != nil {
		return err
	}
	t.session.DataDir = dir
	if dir != t.homeDataDir() {
		t.session.Text = t.session.Text.WithDataDir(dir)
	}
	t.session.Terminal = !t.noColor && isTerminal(t.program.Err)
	return nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && st.Mode()&os.ModeDevice != 0
}
