package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// States of a platform.
const (
	StateReady    = "ready"
	StateStarting = "starting"
	StateStopped  = "stopped"
	// StateLost means that the daemon is gone and containers still run.
	StateLost = "lost"
)

// Status is what kiwerk status prints.
type Status struct {
	State     string            `json:"state"`
	Phase     string            `json:"phase,omitempty"`
	DataDir   string            `json:"dataDir"`
	Started   *time.Time        `json:"started,omitempty"`
	Addresses map[string]string `json:"addresses,omitempty"`
	Versions  map[string]string `json:"versions,omitempty"`
	Processes map[string]int    `json:"processes,omitempty"`
	Network   *Network          `json:"network,omitempty"`
	// Nodes are those with a kubelet.
	Nodes []NodeStatus `json:"nodes,omitempty"`
	// Containers that run although no daemon watches them (state lost).
	Containers int        `json:"containers,omitempty"`
	Pods       []Pod      `json:"pods,omitempty"`
	Listeners  []Listener `json:"listeners,omitempty"`
	// Notes are what this machine cannot enforce or what deserves a look; reasons are CamelCase.
	Notes []Note `json:"notes,omitempty"`
}

// Network is how pods are connected.
type Network struct {
	// Mode is pod or host.
	Mode    string `json:"mode"`
	PodCIDR string `json:"podCIDR,omitempty"`
	// Egress is who carries the connections of pods to the outside: host (the kernel) or kiwerk.
	Egress string `json:"egress,omitempty"`
	// Reason is why something less was taken than what there is.
	Reason string `json:"reason,omitempty"`
}

func (n *Network) in(p *text.Printer) string {
	if n.PodCIDR == "" {
		return n.Mode
	}
	return p.T(text.StatusNetwork, n.Mode, n.PodCIDR, n.Egress)
}

// Pod as status shows it.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Phase     string `json:"phase"`
	// Image says what ran in place of the images, if anything.
	Image string `json:"image,omitempty"`
	Port  string `json:"port,omitempty"`
}

// image is what ran in whose place, in the reader's language.
func (pod *Pod) image(p *text.Printer) string {
	image, what, taken := strings.Cut(pod.Image, " → ")
	if !taken {
		return image
	}
	return image + " → " + p.Label(what)
}

// Listener is a port that a process of a pod has opened on the host's network.
type Listener struct {
	Pod     string `json:"pod"`
	Address string `json:"address"`
	Process string `json:"process"`
	PID     int    `json:"pid"`
	// Open says that other machines reach it.
	Open bool `json:"open"`
}

// Note is a sentence with a stable reason.
type Note struct {
	Reason  string        `json:"reason"`
	Message text.Sentence `json:"-"`
	Text    string        `json:"text"`
}

func (t *tree) status() *cobra.Command {
	c := &cobra.Command{
		Use: "status", Short: t.T(text.StatusShort), Args: t.noArguments,
		Example: "  kiwerk status\n  kiwerk status -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := t.program.Status(c.Context(), t.session)
			if err != nil {
				return err
			}
			translate(s.Notes, t.session.Text)
			if err := t.print(s); err != nil {
				return err
			}
			if s.State != StateReady {
				return Exit(ExitNotReady)
			}
			return nil
		},
	}
	t.printsData(c)
	return c
}

func translate(notes []Note, p *text.Printer) {
	for i := range notes {
		notes[i].Text = notes[i].Message.In(p)
	}
}

// Table prints the status for a person.
func (s *Status) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{{p.T(text.StatusState), s.state(p)}, {p.T(text.StatusDataDir), s.DataDir}}
	if s.Started != nil {
		rows = append(rows, []string{p.T(text.StatusStarted), s.Started.Local().Format(time.DateTime)})
	}
	rows = append(rows, named(p, s.Addresses)...)
	if s.Network != nil {
		rows = append(rows, []string{p.Label("network"), s.Network.in(p)})
	}
	rows = append(rows, named(p, s.Versions)...)
	for _, name := range sortedKeys(s.Processes) {
		rows = append(rows, []string{p.Label(name), fmt.Sprintf("PID %d", s.Processes[name])})
	}
	columns(w, rows)
	if len(s.Nodes) > 1 {
		fmt.Fprintln(w)
		(&Nodes{Items: s.Nodes}).Table(w, p)
	}
	if len(s.Pods) > 0 {
		fmt.Fprintln(w)
		rows := [][]string{p.Labels("NAMESPACE", "POD", "PHASE", "PORT", "RUNS AS")}
		for _, pod := range s.Pods {
			rows = append(rows, []string{pod.Namespace, pod.Name, pod.Phase, pod.Port, pod.image(p)})
		}
		columns(w, rows)
	}
	if len(s.Listeners) > 0 {
		fmt.Fprintf(w, "\n%s\n", p.T(text.StatusListeners))
		var rows [][]string
		for _, l := range s.Listeners {
			rows = append(rows, []string{"  " + l.Address, l.Pod, fmt.Sprintf("%s (%d)", l.Process, l.PID)})
		}
		columns(w, rows)
	}
	if len(s.Notes) > 0 {
		fmt.Fprintln(w)
		for _, n := range s.Notes {
			fmt.Fprintf(w, "%s: %s\n", n.Reason, n.Text)
		}
	}
}

func (s *Status) state(p *text.Printer) string {
	switch s.State {
	case StateReady:
		return p.T(text.StateReady)
	case StateStarting:
		return p.T(text.StateStarting, s.Phase)
	case StateLost:
		return p.T(text.StateLost, s.Containers)
	}
	return p.T(text.StateStopped)
}

func named(p *text.Printer, m map[string]string) [][]string {
	var rows [][]string
	for _, k := range sortedKeys(m) {
		rows = append(rows, []string{p.Label(k), m[k]})
	}
	return rows
}
