package smi

import (
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

const (
	missing = "[N/A]"
	lost    = "[GPU is lost]"
)

// column is one name of --query-gpu.
type column struct {
	name  string
	unit  string
	alias string
	// fixed values are known of lost devices, too.
	fixed bool
	value func(p program, g gpu.GPU, s gpu.Sample) string
}

func whole(n int) string                     { return strconv.Itoa(n) }
func mib(n uint64) string                    { return strconv.FormatUint(n, 10) }
func dec(f float64) string                   { return strconv.FormatFloat(f, 'f', 2, 64) }
func no(program, gpu.GPU, gpu.Sample) string { return missing }

var columns = []column{
	{name: "timestamp", fixed: true, value: func(p program, _ gpu.GPU, _ gpu.Sample) string { return p.now.Format("2006/01/02 15:04:05.000") }},
	{name: "driver_version", fixed: true, value: func(p program, _ gpu.GPU, _ gpu.Sample) string { return p.state.System.Driver }},
	{name: "count", fixed: true, value: func(p program, _ gpu.GPU, _ gpu.Sample) string { return whole(len(p.state.System.GPUs)) }},
	{name: "name", alias: "gpu_name", fixed: true, value: func(_ program, g gpu.GPU, _ gpu.Sample) string { return g.Name }},
	{name: "uuid", alias: "gpu_uuid", fixed: true, value: func(_ program, g gpu.GPU, _ gpu.Sample) string { return g.UUID }},
	{name: "index", fixed: true, value: func(_ program, g gpu.GPU, _ gpu.Sample) string { return whole(g.Index) }},
	{name: "pci.bus_id", alias: "gpu_bus_id", fixed: true, value: func(_ program, g gpu.GPU, _ gpu.Sample) string { return g.BusID }},
	{name: "serial", fixed: true, value: no},
	{name: "compute_cap", fixed: true, value: func(_ program, g gpu.GPU, _ gpu.Sample) string {
		return fmt.Sprintf("%d.%d", g.ComputeMajor, g.ComputeMinor)
	}},
	{name: "mig.mode.current", fixed: true, value: func(_ program, g gpu.GPU, _ gpu.Sample) string {
		switch {
		case g.MIG:
			return "Enabled"
		case g.MIGCapable:
			return "Disabled"
		}
		return missing
	}},
	{name: "persistence_mode", fixed: true, value: func(program, gpu.GPU, gpu.Sample) string { return "Enabled" }},
	{name: "display_active", fixed: true, value: func(program, gpu.GPU, gpu.Sample) string { return "Disabled" }},
	{name: "pstate", value: func(_ program, _ gpu.GPU, s gpu.Sample) string {
		if s.Utilization == 0 {
			return "P8"
		}
		return "P0"
	}},
	{name: "fan.speed", unit: "%", value: no},
	{name: "memory.total", unit: "MiB", fixed: true, value: func(_ program, g gpu.GPU, _ gpu.Sample) string { return mib(g.Memory) }},
	{name: "memory.reserved", unit: "MiB", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return mib(s.Reserved) }},
	{name: "memory.used", unit: "MiB", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return mib(s.Used) }},
	{name: "memory.free", unit: "MiB", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return mib(s.Free) }},
	{name: "utilization.gpu", unit: "%", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return whole(s.Utilization) }},
	{name: "utilization.memory", unit: "%", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return whole(s.MemoryUtil) }},
	{name: "temperature.gpu", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return whole(s.Temperature) }},
	{name: "temperature.memory", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return whole(s.MemoryTemp) }},
	{name: "power.draw", unit: "W", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return dec(s.Power) }},
	{name: "power.limit", unit: "W", fixed: true, value: func(_ program, g gpu.GPU, _ gpu.Sample) string { return dec(g.PowerLimit) }},
	{name: "clocks.current.sm", alias: "clocks.sm", unit: "MHz", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return whole(s.SMClock) }},
	{name: "clocks.current.memory", alias: "clocks.mem", unit: "MHz", value: func(_ program, _ gpu.GPU, s gpu.Sample) string { return whole(s.MemoryClock) }},
	{name: "ecc.errors.uncorrected.volatile.total", value: func(program, gpu.GPU, gpu.Sample) string { return "0" }},
	{name: "ecc.errors.corrected.volatile.total", value: func(program, gpu.GPU, gpu.Sample) string { return "0" }},
}

func find(name string) (column, bool) {
	for _, c := range columns {
		if name == c.name || name == c.alias && name != "" {
			return c, true
		}
	}
	return column{}, false
}

func (c column) of(p program, g gpu.GPU) string {
	s := p.state.Sample(g.UUID)
	if s.Lost && !c.fixed {
		return lost
	}
	return c.value(p, g, s)
}

func (p program) printColumns() {
	for _, c := range columns {
		if c.alias != "" {
			fmt.Fprintf(p.out, "%q or %q\n", c.name, c.alias)
			continue
		}
		fmt.Fprintf(p.out, "%q\n", c.name)
	}
}

// csv prints the columns that names lists.
func (p program) csv(names, format string) int {
	var list []column
	var heads []string
	options := strings.Split(format, ",")
	header, units := true, true
	for _, o := range options[1:] {
		switch strings.TrimSpace(o) {
		case "noheader":
			header = false
		case "nounits":
			units = false
		default:
			fmt.Fprintf(p.errs, "nvidia-smi: invalid --format option %q\n", o)
			return exitUsage
		}
	}
	for _, name := range strings.Split(names, ",") {
		name = strings.TrimSpace(name)
		c, ok := find(name)
		if !ok {
			fmt.Fprintf(p.out, "Field %q is not a valid field to query.\n\n", name)
			return exitUsage
		}
		list = append(list, c)
		if c.unit != "" && units {
			name += " [" + c.unit + "]"
		}
		heads = append(heads, name)
	}
	if header {
		fmt.Fprintln(p.out, strings.Join(heads, ", "))
	}
	for _, g := range p.state.System.GPUs {
		var row []string
		for _, c := range list {
			v := c.of(p, g)
			if units && c.unit != "" && !strings.HasPrefix(v, "[") {
				v += " " + c.unit
			}
			row = append(row, v)
		}
		fmt.Fprintln(p.out, strings.Join(row, ", "))
	}
	return exitOK
}

// text prints every column of every GPU.
func (p program) text() {
	fmt.Fprintf(p.out, "\n==============NVSMI LOG==============\n\nDriver Version : %s\nCUDA Version   : %s\nAttached GPUs  : %d\n", p.state.System.Driver, p.state.System.CUDA, len(p.state.System.GPUs))
	for _, g := range p.state.System.GPUs {
		fmt.Fprintf(p.out, "GPU %s\n", g.BusID)
		for _, c := range columns {
			v := c.of(p, g)
			if c.unit != "" && !strings.HasPrefix(v, "[") {
				v += " " + c.unit
			}
			fmt.Fprintf(p.out, "    %-40s : %s\n", c.name, v)
		}
	}
}

// The XML has the elements that scripts read, as NVIDIA names them.
type xmlLog struct {
	XMLName  xml.Name `xml:"nvidia_smi_log"`
	Time     string   `xml:"timestamp"`
	Driver   string   `xml:"driver_version"`
	CUDA     string   `xml:"cuda_version"`
	Attached int      `xml:"attached_gpus"`
	GPUs     []xmlGPU `xml:"gpu"`
}

type xmlGPU struct {
	ID           string   `xml:"id,attr"`
	Name         string   `xml:"product_name"`
	Architecture string   `xml:"product_architecture"`
	MIG          string   `xml:"mig_mode>current_mig"`
	Instances    []xmlMIG `xml:"mig_devices>mig_device"`
	UUID         string   `xml:"uuid"`
	Minor        int      `xml:"minor_number"`
	BusID        string   `xml:"pci>pci_bus_id"`
	Total        string   `xml:"fb_memory_usage>total"`
	Reserved     string   `xml:"fb_memory_usage>reserved"`
	Used         string   `xml:"fb_memory_usage>used"`
	Free         string   `xml:"fb_memory_usage>free"`
	GPUUtil      string   `xml:"utilization>gpu_util"`
	MemoryUtil   string   `xml:"utilization>memory_util"`
	Temperature  string   `xml:"temperature>gpu_temp"`
	Power        string   `xml:"gpu_power_readings>power_draw"`
	PowerLimit   string   `xml:"gpu_power_readings>current_power_limit"`
	SMClock      string   `xml:"clocks>sm_clock"`
	MemoryClock  string   `xml:"clocks>mem_clock"`
	Processes    string   `xml:"processes"`
}

type xmlMIG struct {
	Index int    `xml:"index"`
	GI    int    `xml:"gpu_instance_id"`
	CI    int    `xml:"compute_instance_id"`
	Total string `xml:"fb_memory_usage>total"`
}

func (p program) xml() int {
	l := xmlLog{Time: p.now.Format("Mon Jan _2 15:04:05 2006"), Driver: p.state.System.Driver, CUDA: p.state.System.CUDA, Attached: len(p.state.System.GPUs)}
	for _, g := range p.state.System.GPUs {
		get := func(name, unit string) string {
			c, _ := find(name)
			v := c.of(p, g)
			if unit != "" && !strings.HasPrefix(v, "[") {
				v += " " + unit
			}
			return v
		}
		x := xmlGPU{
			ID: g.BusID, Name: g.Name, Architecture: g.Architecture, MIG: get("mig.mode.current", ""), UUID: g.UUID, Minor: g.Minor, BusID: g.BusID,
			Total: get("memory.total", "MiB"), Reserved: get("memory.reserved", "MiB"), Used: get("memory.used", "MiB"), Free: get("memory.free", "MiB"),
			GPUUtil: get("utilization.gpu", "%"), MemoryUtil: get("utilization.memory", "%"), Temperature: get("temperature.gpu", "C"),
			Power: get("power.draw", "W"), PowerLimit: get("power.limit", "W"), SMClock: get("clocks.sm", "MHz"), MemoryClock: get("clocks.mem", "MHz"),
		}
		for n, i := range g.Instances {
			x.Instances = append(x.Instances, xmlMIG{Index: n, GI: i.GI, CI: i.CI, Total: mib(i.Memory) + " MiB"})
		}
		l.GPUs = append(l.GPUs, x)
	}
	fmt.Fprint(p.out, xml.Header)
	e := xml.NewEncoder(p.out)
	e.Indent("", "\t")
	if err := e.Encode(l); err != nil {
		fmt.Fprintf(p.errs, "nvidia-smi: %v\n", err)
		return 1
	}
	fmt.Fprintln(p.out)
	return exitOK
}
