package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

func (t *tree) down() *cobra.Command {
	var o DownOptions
	c := &cobra.Command{
		Use: "down", Short: t.T(text.DownShort), Args: t.noArguments,
		Example: "  kiwerk down\n  kiwerk down --data-dir ./state\n  kiwerk down --clean",
		RunE:    func(c *cobra.Command, _ []string) error { return t.program.Down(c.Context(), t.session, o) },
	}
	c.Flags().DurationVar(&o.Timeout, "timeout", 2*time.Minute, t.T(text.FlagTimeout))
	c.Flags().BoolVar(&o.Clean, "clean", false, t.T(text.FlagClean))
	return c
}
