package cli

import (
	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

func (t *tree) kubectl() *cobra.Command {
	return &cobra.Command{
		Use: "kubectl [ARGS…]", Short: t.T(text.KubectlShort),
		Example: "  kiwerk kubectl get pods -A\n  kiwerk kubectl logs -f my-pod",
		// Everything behind the word belongs to kubectl, flags too.
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			return t.program.Kubectl(c.Context(), t.session, args)
		},
	}
}
