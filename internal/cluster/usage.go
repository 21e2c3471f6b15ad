package cluster

import (
	"time"

	cadvisor "github.com/google/cadvisor/lib/model"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/kiwerk/kiwerk/internal/cluster/controlplane"
	"github.com/kiwerk/kiwerk/internal/cluster/machine"
	"github.com/kiwerk/kiwerk/internal/cluster/metrics"
)

// metrics makes what serves metrics.k8s.io out of what the container runtimes
// count. The first node stands for the machine; a further one has used what its pods have.
func (c *Cluster) metrics() (*controlplane.ExtraGroup, error) {
	m := machine.New(c.cfg.DataDir, c.cfg.Clock)
	handler := &metrics.Handler{}
	measure := func(name, socket string, node func() (metrics.Used, error)) error {
		source, err := metrics.NewRuntime(socket, node, c.cfg.Clock)
		if err != nil {
			return err
		}
		c.usage = append(c.usage, source)
		handler.Nodes = append(handler.Nodes, metrics.Node{Name: name, Meter: metrics.NewMeter(source, c.cfg.Clock)})
		return nil
	}
	if err := measure(c.cfg.NodeName, c.cfg.CRISocket, func() (metrics.Used, error) { return nodeUsage(m) }); err != nil {
		return nil, err
	}
	for _, w := range c.cfg.Workers {
		if err := measure(c.WorkerName(w.Number), w.CRISocket, nil); err != nil {
			return nil, err
		}
	}
	return &controlplane.ExtraGroup{
		Group: metricsv1beta1.GroupName, Path: metrics.Path, Discovery: metrics.Discovery(), Handler: handler,
	}, nil
}

func nodeUsage(m *machine.Machine) (metrics.Used, error) {
	const root = "/"
	all, err := m.ContainerInfoV2(root, cadvisor.RequestOptions{})
	if err != nil {
		return metrics.Used{}, err
	}
	var u metrics.Used
	for _, s := range all[root].Stats {
		u = metrics.Used{CPU: time.Duration(min(s.Cpu.Usage.Total, 1<<62)), Memory: s.Memory.WorkingSet} //nolint:gosec // Bounded.
	}
	return u, nil
}
