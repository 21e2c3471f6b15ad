package cli

import (
	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

func (t *tree) demo() *cobra.Command {
	demo := &cobra.Command{
		Use: "demo", Short: t.T(text.DemoShort), Args: t.noArguments,
		Example: "  kiwerk demo quality-inspection",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	o := DemoOptions{Name: "quality-inspection"}
	c := &cobra.Command{
		Use: o.Name, Short: t.T(text.DemoQualityShort), Args: t.noArguments,
		Example: "  kiwerk demo quality-inspection\n  kiwerk demo quality-inspection --report report.json --bad-challenger",
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("data-dir") {
				o.DataDir = t.session.DataDir
			}
			return t.program.Demo(c.Context(), t.session, o)
		},
	}
	c.Flags().StringVar(&o.Report, "report", "", t.T(text.FlagReport))
	c.Flags().BoolVar(&o.BadChallenger, "bad-challenger", false, t.T(text.FlagBadChallenger))
	demo.AddCommand(c)
	return demo
}
