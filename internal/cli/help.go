package cli

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kiwerk/kiwerk/internal/text"
)

// speakHelp gives the tree help in the user's language: what a command is for,
// examples, how it is called, its commands and flags.
func (t *tree) speakHelp(root *cobra.Command) {
	root.SetHelpFunc(func(c *cobra.Command, _ []string) { t.help(c.OutOrStdout(), c) })
	root.SetUsageFunc(func(c *cobra.Command) error {
		t.help(c.OutOrStderr(), c)
		return nil
	})
	root.PersistentFlags().BoolP("help", "h", false, t.T(text.HelpFlag))
	root.SetHelpCommand(&cobra.Command{
		Use: "help [COMMAND]", Short: t.T(text.HelpShort), Example: "  kiwerk help pipeline submit",
		RunE: func(_ *cobra.Command, args []string) error {
			c := root
			for _, name := range args {
				i := slices.IndexFunc(c.Commands(), func(child *cobra.Command) bool { return child.Name() == name || child.HasAlias(name) })
				if i < 0 {
					return unknownCommand(c, name)
				}
				c = c.Commands()[i]
			}
			return c.Help()
		},
	})
}

func (t *tree) help(w io.Writer, c *cobra.Command) {
	about := c.Long
	if about == "" {
		about = c.Short
	}
	fmt.Fprintf(w, "%s\n\n%s:\n%s\n\n%s:\n  %s\n", about, t.T(text.HelpExamples), c.Example, t.T(text.HelpUsage), t.call(c))
	var rows [][]string
	for _, child := range c.Commands() {
		if child.IsAvailableCommand() {
			rows = append(rows, []string{"  " + child.Name(), child.Short})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintf(w, "\n%s:\n", t.T(text.HelpCommands))
		columns(w, rows)
	}
	t.flags(w, text.HelpFlags, c.LocalNonPersistentFlags())
	if c.HasParent() {
		t.flags(w, text.HelpFlags, c.PersistentFlags())
		t.flags(w, text.HelpGlobal, c.InheritedFlags())
	} else {
		t.flags(w, text.HelpGlobal, c.PersistentFlags())
	}
	if len(rows) > 0 {
		fmt.Fprintf(w, "\n%s\n", t.session.Text.T(text.HelpMore, c.CommandPath()))
	}
}

func (t *tree) flags(w io.Writer, heading text.Key, all *pflag.FlagSet) {
	var rows [][]string
	all.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || pflag.Lookup(f.Name) == f { // libraries put theirs among the flags of the process
			return
		}
		name := "      --" + f.Name
		if f.Shorthand != "" {
			name = "  -" + f.Shorthand + ", --" + f.Name
		}
		kind, help := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + t.session.Text.Label(kind)
		}
		if !slices.Contains([]string{"", "false", "0", "0s", "[]"}, f.DefValue) {
			help += " (" + t.T(text.HelpDefault) + " " + f.DefValue + ")"
		}
		rows = append(rows, []string{name, help})
	})
	if len(rows) > 0 {
		fmt.Fprintf(w, "\n%s:\n", t.T(heading))
		columns(w, rows)
	}
}

// noArguments is for commands that take none. Where there are commands below, the argument was meant for one.
func (t *tree) noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.HasSubCommands() {
		return unknownCommand(c, args[0])
	}
	return t.between(0, 0)(c, args)
}

// unknownCommand names those that are near.
func unknownCommand(parent *cobra.Command, name string) error {
	const farthest, most = 2, 3
	parent.SuggestionsMinimumDistance = farthest
	near := parent.SuggestionsFor(name)
	if len(near) > most {
		near = near[:most]
	}
	path := parent.CommandPath()
	try := path + " --help"
	if len(near) > 0 {
		try = path + " " + strings.Join(near, " | "+path+" ")
	}
	return &Failure{Code: ExitUsage, What: text.S(text.UnknownCommand, path+" "+name), Try: text.S(text.Verbatim, try)}
}

// exactly asks for n arguments and says how the command is called.
func (t *tree) exactly(n int) cobra.PositionalArgs { return t.between(n, n) }

func (t *tree) between(least, most int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if least <= len(args) && len(args) <= most {
			return nil
		}
		return t.wrongCall(c)
	}
}

func (t *tree) wrongCall(c *cobra.Command) error {
	return usage(text.S(text.UsageArguments, t.call(c)), c.CommandPath()+" --help")
}

// placeholder is what stands for an argument in the call of a command.
var placeholder = regexp.MustCompile(`\b[A-Z]{2,}\b`)

// call is how a command is called, in the user's language.
func (t *tree) call(c *cobra.Command) string {
	return placeholder.ReplaceAllStringFunc(strings.Replace(c.UseLine(), "[flags]", "[--…]", 1), t.session.Text.Label)
}

// flagError says what is wrong with a flag in the user's language.
func flagError(c *cobra.Command, err error) error {
	f := &Failure{Code: ExitUsage, Try: text.S(text.Verbatim, c.CommandPath()+" --help")}
	var unknown *pflag.NotExistError
	var noValue *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		f.What = text.S(text.UsageFlagUnknown, dashed(unknown.GetSpecifiedName()))
	case errors.As(err, &noValue):
		f.What = text.S(text.UsageFlagValue, dashed(noValue.GetSpecifiedName()))
	case errors.As(err, &invalid):
		f.What = text.S(text.UsageFlagInvalid, invalid.GetFlag().Name, invalid.GetValue())
	default:
		return usage(text.S(text.CommandUsage, err.Error()), c.CommandPath()+" --help")
	}
	return f
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}
