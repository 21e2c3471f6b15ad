package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// Nodes are what kiwerk node list prints.
type Nodes struct {
	Items []NodeStatus `json:"nodes"`
}

// NodeStatus is one node of the cluster.
type NodeStatus struct {
	Name      string `json:"name"`
	Ready     bool   `json:"ready"`
	Simulated bool   `json:"simulated"`
	CPU       string `json:"cpu"`
	Memory    string `json:"memory"`
	// GPUs are the resources of the domain nvidia.com.
	GPUs map[string]string `json:"gpus"`
	Pods int               `json:"pods"`
}

// Table prints one line per node.
func (n *Nodes) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("NODE", "STATUS", "KIND", "CPU", "MEMORY", "GPUS", "PODS")}
	for _, i := range n.Items {
		status, kind := "Ready", p.T(text.NodeReal)
		if !i.Ready {
			status = "NotReady"
		}
		if i.Simulated {
			kind = p.T(text.NodeSimulated)
		}
		rows = append(rows, []string{i.Name, p.Label(status), kind, i.CPU, i.Memory, strings.Join(pairs(i.GPUs), " "), fmt.Sprint(i.Pods)})
	}
	columns(w, rows)
}

// pairs lists a map as key=value, sorted.
func pairs(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for k, v := range m {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// NodesDone are the nodes that a command was about.
type NodesDone struct {
	Nodes []string `json:"nodes"`
	said  text.Key
}

// Table says what was done and what comes next.
func (n *NodesDone) Table(w io.Writer, p *text.Printer) {
	fmt.Fprintln(w, text.S(n.said, len(n.Nodes)).In(p))
}

func (t *tree) node() *cobra.Command {
	parent := &cobra.Command{
		Use: "node", Short: t.T(text.NodeShort), Args: t.noArguments,
		Example: "  kiwerk node list\n  kiwerk node simulate --count 1000 --gpus 8",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	list := &cobra.Command{
		Use: "list", Short: t.T(text.NodeListShort), Args: t.noArguments, Example: "  kiwerk node list\n  kiwerk node list -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := t.program.Node.List(c.Context(), t.session)
			if err != nil {
				return err
			}
			return t.print(n)
		},
	}
	t.printsData(list)
	parent.AddCommand(list, t.nodeSimulate(), t.nodeRemove())
	return parent
}

const (
	usualCPU    = "64"
	usualMemory = "512Gi"
	usualPods   = 110
)

func (t *tree) nodeSimulate() *cobra.Command {
	var o SimulateOptions
	c := &cobra.Command{
		Use: "simulate", Short: t.T(text.NodeSimulateShort), Long: t.T(text.NodeSimulateLong), Args: t.noArguments,
		Example: "  kiwerk node simulate --count 1000 --gpus 8\n  kiwerk node simulate -f gpu-node.yaml --gpus v100:4",
		RunE: func(c *cobra.Command, _ []string) error {
			n, err := t.program.Node.Simulate(c.Context(), t.session, o)
			return t.nodesDone(n, err, text.NodesMade)
		},
	}
	f := c.Flags()
	f.IntVar(&o.Count, "count", 1, t.T(text.FlagNodeCount))
	f.StringVarP(&o.File, "filename", "f", "", t.T(text.FlagNodeFile))
	f.StringVar(&o.Name, "name", "sim", t.T(text.FlagNodeName))
	f.StringVar(&o.GPUs, "gpus", "", t.T(text.FlagNodeGPUs))
	f.StringVar(&o.CPU, "cpu", usualCPU, t.T(text.FlagNodeCPU))
	f.StringVar(&o.Memory, "memory", usualMemory, t.T(text.FlagNodeMemory))
	f.IntVar(&o.Pods, "pods", usualPods, t.T(text.FlagNodePods))
	f.StringArrayVar(&o.Labels, "label", nil, t.T(text.FlagNodeLabel))
	f.StringArrayVar(&o.Taints, "taint", nil, t.T(text.FlagNodeTaint))
	f.BoolVar(&o.Open, "open", false, t.T(text.FlagNodeOpen))
	t.printsData(c)
	return c
}

func (t *tree) nodeRemove() *cobra.Command {
	var simulated bool
	c := &cobra.Command{
		Use: "remove NODE…", Short: t.T(text.NodeRemoveShort),
		Example: "  kiwerk node remove sim-0 sim-1\n  kiwerk node remove --simulated",
		RunE: func(c *cobra.Command, args []string) error {
			if simulated == (len(args) > 0) {
				return usage(text.S(text.UsageRemove), "kiwerk node remove --simulated")
			}
			n, err := t.program.Node.Remove(c.Context(), t.session, args, simulated)
			return t.nodesDone(n, err, text.NodesRemoved)
		},
	}
	c.Flags().BoolVar(&simulated, "simulated", false, t.T(text.FlagNodeSimulated))
	t.printsData(c)
	return c
}

func (t *tree) nodesDone(n *NodesDone, err error, key text.Key) error {
	if err != nil {
		return err
	}
	n.said = key
	return t.print(n)
}
