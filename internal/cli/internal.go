package cli

import (
	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// internal holds what the program calls by itself and what tests need.
func (t *tree) internal() *cobra.Command {
	parent := &cobra.Command{
		Use: "internal", Short: t.T(text.InternalShort), Hidden: true, Args: t.noArguments,
		Example: "  kiwerk internal control-plane --data-dir DIR",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	cp := &cobra.Command{
		Use: "control-plane", Short: t.T(text.ControlPlaneShort), Hidden: true,
		Args:    t.noArguments,
		Example: "  kiwerk internal control-plane --data-dir DIR",
		RunE:    func(c *cobra.Command, _ []string) error { return t.program.ControlPlane(c.Context(), t.session) },
	}
	daemon := &cobra.Command{
		Use: "daemon", Short: t.T(text.DaemonShort), Hidden: true, Args: t.noArguments,
		Example: "  kiwerk internal daemon",
		RunE:    func(c *cobra.Command, _ []string) error { return t.program.Daemon(c.Context(), t.session) },
	}
	worker := &cobra.Command{
		Use: "node", Short: t.T(text.WorkerShort), Hidden: true, Args: t.noArguments,
		Example: "  kiwerk internal node",
		RunE:    func(c *cobra.Command, _ []string) error { return t.program.Worker(c.Context(), t.session) },
	}
	parent.AddCommand(cp, daemon, worker)
	return parent
}
