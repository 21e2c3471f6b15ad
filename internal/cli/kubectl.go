package cli

import (
	"path/filepath"
	"strings"

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
			return t.program.Kubectl(c.Context(), t.session, t.ownFlags(args))
		},
	}
}

// ownFlags takes --data-dir, which kubectl does not know, from the arguments.
func (t *tree) ownFlags(args []string) []string {
	var rest []string
	for i := 0; i < len(args); i++ {
		dir, joined := strings.CutPrefix(args[i], "--data-dir=")
		switch {
		case args[i] == "--": // what follows is for a container
			return append(rest, args[i:]...)
		case joined:
			t.session.DataDir = absolute(dir)
		case args[i] == "--data-dir" && i+1 < len(args):
			i++
			t.session.DataDir = absolute(args[i])
		default:
			rest = append(rest, args[i])
		}
	}
	return rest
}

func absolute(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		return abs
	}
	return dir
}
