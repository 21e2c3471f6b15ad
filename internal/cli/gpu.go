package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// GPUs are what kiwerk gpu list prints.
type GPUs struct {
	Items []GPUStatus `json:"gpus"`
}

// GPUStatus is one GPU of the node.
type GPUStatus struct {
	Index       int           `json:"index"`
	UUID        string        `json:"uuid"`
	Name        string        `json:"name"`
	Memory      uint64        `json:"memoryMiB"`
	Used        uint64        `json:"usedMiB"`
	Utilization int           `json:"utilization"`
	Temperature int           `json:"temperature"`
	Healthy     bool          `json:"healthy"`
	Reason      string        `json:"reason,omitempty"`
	Since       *time.Time    `json:"since,omitempty"`
	Simulated   bool          `json:"simulated"`
	Instances   []GPUInstance `json:"instances,omitempty"`
	Holders     []GPUHolder   `json:"holders"`
}

// GPUInstance is a MIG instance.
type GPUInstance struct {
	UUID    string `json:"uuid"`
	Profile string `json:"profile"`
}

// GPUHolder is a container that has a GPU or a share of it.
type GPUHolder struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Resource  string `json:"resource"`
	Device    string `json:"device"`
}

// GPUDone is the GPU that a command was about.
type GPUDone struct {
	Index int    `json:"index"`
	UUID  string `json:"uuid"`
	Name  string `json:"name"`
	said  text.Sentence
}

// Table prints one line per GPU.
func (g *GPUs) Table(w io.Writer, p *text.Printer) {
	if len(g.Items) == 0 {
		fmt.Fprintln(w, p.T(text.GPUNone))
		return
	}
	rows := [][]string{p.Labels("GPU", "NAME", "MEMORY", "UTIL", "TEMP", "HEALTH", "PODS", "UUID")}
	for _, i := range g.Items {
		health := p.T(text.GPUHealthy)
		if !i.Healthy {
			health = i.Reason
		}
		var pods []string
		for _, h := range i.Holders {
			pods = append(pods, h.Namespace+"/"+h.Pod)
		}
		name := i.Name
		if len(i.Instances) > 0 {
			var parts []string
			for _, m := range i.Instances {
				parts = append(parts, m.Profile)
			}
			name += " (" + strings.Join(parts, " ") + ")"
		}
		rows = append(rows, []string{
			fmt.Sprint(i.Index), name, fmt.Sprintf("%d/%d MiB", i.Used, i.Memory), fmt.Sprintf("%d%%", i.Utilization), fmt.Sprintf("%d °C", i.Temperature),
			health, strings.Join(pods, " "), i.UUID,
		})
	}
	columns(w, rows)
}

// Table says what was done and what comes next.
func (g *GPUDone) Table(w io.Writer, p *text.Printer) { fmt.Fprintln(w, g.said.In(p)) }

const defaultXID = 79

func (t *tree) gpu() *cobra.Command {
	parent := &cobra.Command{
		Use: "gpu", Short: t.T(text.GPUShort), Args: t.noArguments,
		Example: "  kiwerk gpu list\n  kiwerk gpu fail 0 --xid 79",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	list := &cobra.Command{
		Use: "list", Short: t.T(text.GPUListShort), Args: t.noArguments,
		Example: "  kiwerk gpu list\n  kiwerk gpu list -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			g, err := t.program.GPU.List(c.Context(), t.session)
			if err != nil {
				return err
			}
			return t.print(g)
		},
	}
	t.printsData(list)
	var xid uint64
	fail := &cobra.Command{
		Use: "fail GPU", Short: t.T(text.GPUFailShort), Args: t.exactly(1),
		Example: "  kiwerk gpu fail 0\n  kiwerk gpu fail 0 --xid 48",
		RunE: func(c *cobra.Command, args []string) error {
			g, err := t.program.GPU.Fail(c.Context(), t.session, args[0], xid)
			return t.gpuDone(g, err, text.GPUFailed, xid)
		},
	}
	fail.Flags().Uint64Var(&xid, "xid", defaultXID, t.T(text.FlagXID))
	t.printsData(fail)
	recover := &cobra.Command{
		Use: "recover GPU", Aliases: []string{"heal"}, Short: t.T(text.GPURecoverShort), Args: t.exactly(1),
		Example: "  kiwerk gpu recover 0\n  kiwerk gpu recover GPU-5bd81a1c-…",
		RunE: func(c *cobra.Command, args []string) error {
			g, err := t.program.GPU.Recover(c.Context(), t.session, args[0])
			return t.gpuDone(g, err, text.GPURecovered)
		},
	}
	t.printsData(recover)
	parent.AddCommand(list, fail, recover)
	return parent
}

// gpuDone prints the GPU that a command was about.
func (t *tree) gpuDone(g *GPUDone, err error, key text.Key, args ...any) error {
	if err != nil {
		return err
	}
	g.said = text.S(key, append([]any{g.Index, g.Name}, args...)...)
	return t.print(g)
}
