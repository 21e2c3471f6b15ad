package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// startTimeout is generous: a slow disk after a crash replays its logs first.
const startTimeout = 2 * time.Minute

func (t *tree) up() *cobra.Command {
	var o UpOptions
	c := &cobra.Command{
		Use: "up", Short: t.T(text.UpShort), Long: t.T(text.UpLong), Args: t.noArguments,
		Example: "  kiwerk up\n  kiwerk up --detach --data-dir ./state --listen 127.0.0.1:0\n  kiwerk up --simulate-gpus=h100:8\n  kiwerk up --images=oci\n  kiwerk up --nodes 3",
		RunE:    func(c *cobra.Command, _ []string) error { return t.program.Up(c.Context(), t.session, o) },
	}
	c.Flags().StringVar(&o.Listen, "listen", "", t.T(text.FlagListen))
	c.Flags().StringVar(&o.Network, "network", "", t.T(text.FlagNetwork))
	c.Flags().StringVar(&o.Config, "config", t.program.Getenv("KIWERK_CONFIG"), t.T(text.FlagConfig))
	c.Flags().BoolVarP(&o.Detach, "detach", "d", false, t.T(text.FlagDetach))
	c.Flags().IntVar(&o.Nodes, "nodes", 0, t.T(text.FlagNodes))
	c.Flags().StringVar(&o.Images, "images", "", t.T(text.FlagImages))
	c.Flags().StringVar(&o.SimulateGPUs, "simulate-gpus", "", t.T(text.FlagSimulateGPUs))
	c.Flags().StringVar(&o.GPUConfig, "gpu-config", "", t.T(text.FlagGPUConfig))
	c.Flags().DurationVar(&o.Timeout, "timeout", startTimeout, t.T(text.FlagTimeout))
	return c
}
