package cli

import (
	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// completion prints a script that lets a shell complete commands; cobra's own command speaks English only.
func (t *tree) completion(root *cobra.Command) *cobra.Command {
	scripts := map[string]func() error{
		"bash":       func() error { return root.GenBashCompletionV2(t.program.Out, true) },
		"zsh":        func() error { return root.GenZshCompletion(t.program.Out) },
		"fish":       func() error { return root.GenFishCompletion(t.program.Out, true) },
		"powershell": func() error { return root.GenPowerShellCompletionWithDesc(t.program.Out) },
	}
	return &cobra.Command{
		Use: "completion SHELL", Short: t.T(text.CompletionShort), Long: t.T(text.CompletionLong), Args: t.exactly(1), ValidArgs: sortedKeys(scripts),
		Example: "  kiwerk completion bash > ~/.local/share/bash-completion/completions/kiwerk\n  kiwerk completion zsh > ~/.zfunc/_kiwerk",
		RunE: func(c *cobra.Command, args []string) error {
			script, known := scripts[args[0]]
			if !known {
				return t.wrongCall(c)
			}
			return script()
		},
	}
}
