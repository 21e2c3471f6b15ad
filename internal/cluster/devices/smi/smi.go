package smi

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

// Exit codes of NVIDIA's program.
const (
	exitOK       = 0
	exitUsage    = 2 // an argument is invalid
	exitNoDevice = 6 // a query found no device
	exitNoDriver = 9
)

// program is one call.
type program struct {
	state gpu.State
	now   time.Time
	out   io.Writer
	errs  io.Writer
}

// Main runs nvidia-smi with arguments and environment of the process.
func Main(args []string, getenv func(string) string, out, errs io.Writer, now time.Time) int {
	data, err := os.ReadFile(getenv(gpu.EnvSimulated))
	var state gpu.State
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if err != nil {
		fmt.Fprintln(out, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver: this container holds no simulated GPU of Kiwerk.")
		return exitNoDriver
	}
	state.System = visible(state.System, getenv(gpu.EnvVisible))
	p := program{state: state, now: now, out: out, errs: errs}
	return p.run(args)
}

// visible leaves the devices that list names, as NVIDIA's container runtime does.
func visible(s gpu.System, list string) gpu.System {
	if list == "all" {
		return s
	}
	names := strings.Split(list, ",")
	var gpus []gpu.GPU
	for _, g := range s.GPUs {
		if slices.Contains(names, g.UUID) || slices.Contains(names, fmt.Sprint(g.Index)) {
			gpus = append(gpus, g)
			continue
		}
		var parts []gpu.Instance
		for n, i := range g.Instances {
			if slices.Contains(names, i.UUID) || slices.Contains(names, fmt.Sprintf("%d:%d", g.Index, n)) {
				parts = append(parts, i)
			}
		}
		if len(parts) > 0 {
			g.Instances = parts
			gpus = append(gpus, g)
		}
	}
	for i := range gpus {
		gpus[i].Index = i // they are counted anew in a container
	}
	s.GPUs = gpus
	return s
}

const help = `NVIDIA-SMI of simulated GPUs (Kiwerk)

  nvidia-smi                                       table
  nvidia-smi -L                                    list of GPUs
  nvidia-smi -q [-x]                               everything, as text or XML
  nvidia-smi --query-gpu=A,B --format=csv[,noheader][,nounits]
  nvidia-smi --help-query-gpu                      names for --query-gpu
  nvidia-smi -i ID …                               only this GPU (index, UUID or bus id)
`

// options are the flags that are known.
type options struct {
	list, query, xml, help, helpQuery, version bool
	columns, apps, format                      string
	id                                         string
}

func parse(args []string) (options, error) {
	var o options
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(args[i], "=")
		take := func() string {
			if !has && i+1 < len(args) {
				i++
				return args[i]
			}
			return value
		}
		switch name {
		case "-L", "--list-gpus":
			o.list = true
		case "-q", "--query":
			o.query = true
		case "-x", "--xml-format":
			o.xml = true
		case "-h", "--help":
			o.help = true
		case "--help-query-gpu":
			o.helpQuery = true
		case "--version":
			o.version = true
		case "-i", "--id":
			o.id = take()
		case "--query-gpu":
			o.columns = take()
		case "--query-compute-apps":
			o.apps = take()
		case "--format":
			o.format = take()
		default:
			return o, fmt.Errorf("invalid argument %q", args[i])
		}
	}
	if (o.columns != "" || o.apps != "") && !strings.HasPrefix(o.format, "csv") {
		return o, fmt.Errorf("--format=csv is missing")
	}
	return o, nil
}

func (p program) run(args []string) int {
	o, err := parse(args)
	if err != nil {
		fmt.Fprintf(p.errs, "nvidia-smi: %v. Please run 'nvidia-smi -h' for help.\n", err)
		return exitUsage
	}
	if o.id != "" && !p.only(o.id) {
		fmt.Fprintln(p.out, "No devices were found")
		return exitNoDevice
	}
	switch {
	case o.help:
		fmt.Fprint(p.out, help)
	case o.helpQuery:
		p.printColumns()
	case o.version:
		fmt.Fprintf(p.out, "NVIDIA-SMI version  : %s\nDRIVER version      : %s\nCUDA Version        : %s\n", p.state.System.Driver, p.state.System.Driver, p.state.System.CUDA)
	case o.columns != "":
		return p.csv(o.columns, o.format)
	case o.apps != "":
		fmt.Fprintln(p.out, strings.Join(strings.Split(o.apps, ","), ", "))
	case len(p.state.System.GPUs) == 0:
		fmt.Fprintln(p.out, "No devices were found")
		return exitNoDevice
	case o.list:
		p.list()
	case o.query && o.xml:
		return p.xml()
	case o.query:
		p.text()
	default:
		p.table()
	}
	return exitOK
}

func (p *program) only(id string) bool {
	p.state.System.GPUs = slices.DeleteFunc(slices.Clone(p.state.System.GPUs), func(g gpu.GPU) bool {
		return id != fmt.Sprint(g.Index) && id != g.UUID && !strings.EqualFold(id, g.BusID)
	})
	return len(p.state.System.GPUs) > 0
}

func (p program) list() {
	for _, g := range p.state.System.GPUs {
		fmt.Fprintf(p.out, "GPU %d: %s (UUID: %s)\n", g.Index, g.Name, g.UUID)
		for n, i := range g.Instances {
			fmt.Fprintf(p.out, "  MIG %-12s Device %2d: (UUID: %s)\n", i.Profile, n, i.UUID)
		}
	}
}

const rule = "+-----------------------------------------------------------------------------------------+"

func (p program) linef(format string, args ...any) {
	fmt.Fprintf(p.out, "| %-87s |\n", fmt.Sprintf(format, args...))
}

func (p program) table() {
	s := p.state.System
	fmt.Fprintln(p.out, p.now.Format("Mon Jan _2 15:04:05 2006"))
	fmt.Fprintln(p.out, rule)
	p.linef("NVIDIA-SMI %-14s Driver Version: %-14s CUDA Version: %-6s simulated", s.Driver, s.Driver, s.CUDA)
	fmt.Fprintln(p.out, rule)
	p.linef("%-4s%-34s%-24s%s", "GPU", "Name", "Bus-Id", "Volatile Uncorr. ECC")
	p.linef("%-4s%-34s%-24s%s", "", "Temp   Pwr:Usage/Cap", "Memory-Usage", "GPU-Util  MIG M.")
	fmt.Fprintln(p.out, strings.ReplaceAll(rule, "-", "="))
	for _, g := range s.GPUs {
		x := p.state.Sample(g.UUID)
		p.linef("%3d %-34s%-24s%20d", g.Index, g.Name, g.BusID, 0)
		mig := "Disabled"
		switch {
		case g.MIG:
			mig = "Enabled"
		case !g.MIGCapable:
			mig = "N/A"
		}
		if x.Lost {
			p.linef("    %-34s%-24s%s", "ERR!", "ERR!", "GPU is lost")
			continue
		}
		p.linef("    %-34s%-24s%7d%%  %s", fmt.Sprintf("%3dC   %4.0fW / %4.0fW", x.Temperature, x.Power, g.PowerLimit),
			fmt.Sprintf("%6dMiB /%7dMiB", x.Used, g.Memory), x.Utilization, mig)
		for n, i := range g.Instances {
			p.linef("    MIG %d %-10s GI %d CI %d  %6dMiB", n, i.Profile, i.GI, i.CI, i.Memory)
		}
	}
	fmt.Fprintln(p.out, rule)
	fmt.Fprintln(p.out)
	fmt.Fprintln(p.out, rule)
	p.linef("Processes:")
	p.linef("  No running processes found")
	fmt.Fprintln(p.out, rule)
}
