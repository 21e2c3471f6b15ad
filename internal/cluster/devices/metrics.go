package devices

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

// labelNames are those of dcgm-exporter.
var labelNames = []string{"gpu", "UUID", "pci_bus_id", "device", "modelName", "Hostname", "DCGM_FI_DRIVER_VERSION", "container", "namespace", "pod", "vgpu"}

// metric is one of DCGM's fields.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(gpu.Sample) float64
}

func field(name, help string, kind prometheus.ValueType, value func(gpu.Sample) float64) metric {
	return metric{desc: prometheus.NewDesc("DCGM_FI_DEV_"+name, help, labelNames, nil), kind: kind, value: value}
}

var metrics = []metric{
	field("SM_CLOCK", "Clock of the multiprocessors in MHz.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.SMClock) }),
	field("MEM_CLOCK", "Clock of the memory in MHz.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.MemoryClock) }),
	field("GPU_TEMP", "Temperature of the GPU in degrees Celsius.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.Temperature) }),
	field("MEMORY_TEMP", "Temperature of the memory in degrees Celsius.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.MemoryTemp) }),
	field("POWER_USAGE", "Power draw in W.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return s.Power }),
	field("TOTAL_ENERGY_CONSUMPTION", "Energy since the driver was loaded in mJ.", prometheus.CounterValue, func(s gpu.Sample) float64 { return float64(s.Energy) }),
	field("PCIE_REPLAY_COUNTER", "Repeated transfers on the PCIe bus.", prometheus.CounterValue, func(s gpu.Sample) float64 { return float64(s.PCIeReplays) }),
	field("GPU_UTIL", "Utilization of the GPU in percent.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.Utilization) }),
	field("MEM_COPY_UTIL", "Utilization of the memory's bandwidth in percent.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.MemoryUtil) }),
	field("ENC_UTIL", "Utilization of the encoder in percent.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.Encoder) }),
	field("DEC_UTIL", "Utilization of the decoder in percent.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.Decoder) }),
	field("FB_FREE", "Free memory in MiB.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.Free) }),
	field("FB_USED", "Used memory in MiB.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.Used) }),
	field("FB_RESERVED", "Memory that the driver keeps in MiB.", prometheus.GaugeValue, func(s gpu.Sample) float64 { return float64(s.Reserved) }),
}

var xidErrors = prometheus.NewDesc("DCGM_FI_DEV_XID_ERRORS", "The last Xid error, 0 if there was none.", labelNames, nil)

// Describe implements prometheus.Collector.
func (m *Manager) Describe(out chan<- *prometheus.Desc) {
	for _, f := range metrics {
		out <- f.desc
	}
	out <- xidErrors
}

// Collect implements prometheus.Collector. A device that several pods share
// has a series for each of them, told apart by vgpu; a lost one has its errors only.
func (m *Manager) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := gpu.State{Samples: m.samples}
	for _, g := range m.system.GPUs {
		s := state.Sample(g.UUID)
		for _, labels := range m.labelsOf(g) {
			if !s.Lost {
				for _, f := range metrics {
					if v := f.value(s); v >= 0 {
						out <- prometheus.MustNewConstMetric(f.desc, f.kind, v, labels...)
					}
				}
			}
			out <- prometheus.MustNewConstMetric(xidErrors, prometheus.GaugeValue, float64(m.xids[g.UUID]), labels...)
		}
	}
}

// labelsOf lists the label values of a GPU, once for each holder.
func (m *Manager) labelsOf(g gpu.GPU) [][]string {
	base := []string{fmt.Sprint(g.Index), g.UUID, g.BusID, fmt.Sprintf("nvidia%d", g.Minor), g.Name, m.cfg.NodeName, m.system.Driver}
	var list [][]string
	for _, h := range m.holders {
		if h.gpu != g.UUID || g.MIG { // what a GPU does as a whole belongs to no holder of a part
			continue
		}
		_, replica, _ := strings.Cut(h.Device, "::")
		list = append(list, append(slices.Clone(base), h.Container, h.Namespace, h.Pod, replica))
	}
	if len(list) == 0 {
		list = append(list, append(base, "", "", "", ""))
	}
	return list
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
