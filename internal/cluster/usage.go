package cluster

import (
	"time"

	cadvisor "github.com/google/cadvisor/lib/model"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/kiwerk/kiwerk/internal/cluster/controlplane"
	"github.com/kiwerk/kiwerk/internal/cluster/machine"
	"github.com/kiwerk/kiwerk/internal/cluster/metrics"
)

// metrics makes what serves metrics.k8s.io out of what the container runtime counts.
func (c *Cluster) metrics() (*metrics.Runtime, *controlplane.ExtraGroup, error) {
	m := machine.New(c.cfg.DataDir, c.cfg.Clock)
	source, err := metrics.NewRuntime(c.cfg.CRISocket, func() (metrics.Used, error) { return nodeUsage(m) }, c.cfg.Clock)
	if err != nil {
		return nil, nil, err
	}
	return source, &controlplane.ExtraGroup{
		Group: metricsv1beta1.GroupName, Path: metrics.Path, Discovery: metrics.Discovery(),
		Handler: &metrics.Handler{Meter: metrics.NewMeter(source, c.cfg.Clock), NodeName: c.cfg.NodeName},
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
