package smi

import (
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

func state(t *testing.T) string {
	t.Helper()
	s := gpu.State{
		System: gpu.System{Driver: "580.95.05", CUDA: "13.0", Simulated: true, GPUs: []gpu.GPU{
			{Index: 0, UUID: "GPU-a", Name: "Tesla T4", Memory: 15360, BusID: "00000000:04:00.0", PowerLimit: 70, ComputeMajor: 7, ComputeMinor: 5},
			{Index: 1, UUID: "GPU-b", Name: "Tesla T4", Memory: 15360, BusID: "00000000:07:00.0", PowerLimit: 70},
			{Index: 2, UUID: "GPU-c", Name: "NVIDIA A30", Memory: 24576, MIGCapable: true, MIG: true, Instances: []gpu.Instance{
				{UUID: "MIG-1", Profile: "1g.6gb", GI: 1, Memory: 5952}, {UUID: "MIG-2", Profile: "1g.6gb", GI: 2, Memory: 5952},
			}},
		}},
		Samples: []gpu.Sample{{UUID: "GPU-a", Utilization: 42, Used: 1000, Free: 14000, Reserved: 360, Temperature: 50, Power: 33.456, SMClock: 1590}, {UUID: "GPU-b", Lost: true}},
	}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func call(t *testing.T, visible string, args ...string) (stdout string, code int) {
	t.Helper()
	env := map[string]string{gpu.EnvSimulated: state(t), gpu.EnvVisible: visible}
	var out, errs strings.Builder
	code = Main(args, func(k string) string { return env[k] }, &out, &errs, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC))
	return out.String() + errs.String(), code
}

func TestMain_csv(t *testing.T) {
	for name, tc := range map[string]struct {
		visible string
		args    string
		want    string
		code    int
	}{
		"Common":  {"GPU-a", "--query-gpu=index,name,utilization.gpu,memory.used,power.draw --format=csv", "index, name, utilization.gpu [%], memory.used [MiB], power.draw [W]\n0, Tesla T4, 42 %, 1000 MiB, 33.46 W\n", 0},
		"Bare":    {"GPU-a", "--query-gpu=uuid,temperature.gpu,memory.total --format=csv,noheader,nounits", "GPU-a, 50, 15360\n", 0},
		"Lost":    {"GPU-b", "--query-gpu=uuid,utilization.gpu --format=csv,noheader", "GPU-b, [GPU is lost]\n", 0},
		"Two":     {"GPU-c,GPU-a", "--query-gpu=index,uuid,compute_cap --format=csv,noheader", "0, GPU-a, 7.5\n1, GPU-c, 0.0\n", 0},
		"ByIndex": {"1", "--query-gpu=uuid --format=csv,noheader", "GPU-b\n", 0},
		"OneOf":   {"all", "-i 2 --query-gpu=uuid,mig.mode.current --format=csv,noheader", "GPU-c, Enabled\n", 0},
		"None":    {"void", "--query-gpu=uuid --format=csv,noheader", "", 0},
		"Field":   {"all", "--query-gpu=colour --format=csv", "Field \"colour\" is not a valid field to query.\n\n", exitUsage},
		"Format":  {"all", "--query-gpu=uuid", "nvidia-smi: --format=csv is missing. Please run 'nvidia-smi -h' for help.\n", exitUsage},
		"Apps":    {"all", "--query-compute-apps=pid,used_memory --format=csv", "pid, used_memory\n", 0},
		"Wrong":   {"all", "--reset", "nvidia-smi: invalid argument \"--reset\". Please run 'nvidia-smi -h' for help.\n", exitUsage},
		"NoID":    {"all", "-i 9", "No devices were found\n", exitNoDevice},
		"Nobody":  {"", "-L", "No devices were found\n", exitNoDevice},
		"List":    {"all", "-L", "GPU 0: Tesla T4 (UUID: GPU-a)\nGPU 1: Tesla T4 (UUID: GPU-b)\nGPU 2: NVIDIA A30 (UUID: GPU-c)\n  MIG 1g.6gb       Device  0: (UUID: MIG-1)\n  MIG 1g.6gb       Device  1: (UUID: MIG-2)\n", 0},
		"Part":    {"MIG-2", "-L", "GPU 0: NVIDIA A30 (UUID: GPU-c)\n  MIG 1g.6gb       Device  0: (UUID: MIG-2)\n", 0},
	} {
		t.Run(name, func(t *testing.T) {
			got, code := call(t, tc.visible, strings.Fields(tc.args)...)
			if diff := cmp.Diff(tc.want, got); diff != "" || code != tc.code {
				t.Errorf("code %d, want %d\n%s", code, tc.code, diff)
			}
		})
	}
}

func TestMain_table(t *testing.T) {
	got, code := call(t, "all")
	for line := range strings.Lines(got) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "|") && len(line) != len(rule) {
			t.Errorf("a line of %d characters, want %d: %s", len(line), len(rule), line)
		}
	}
	for _, want := range []string{"580.95.05", "Tesla T4", "42%", "1000MiB /  15360MiB", "GPU is lost", "simulated"} {
		if !strings.Contains(got, want) || code != 0 {
			t.Errorf("code %d; no %q in\n%s", code, want, got)
		}
	}
}

func TestMain_xml(t *testing.T) {
	got, code := call(t, "GPU-a", "-q", "-x")
	var log struct {
		GPUs []struct {
			UUID string `xml:"uuid"`
			Used string `xml:"fb_memory_usage>used"`
			Util string `xml:"utilization>gpu_util"`
		} `xml:"gpu"`
	}
	if err := xml.Unmarshal([]byte(got), &log); err != nil || code != 0 {
		t.Fatalf("code %d: %v\n%s", code, err, got)
	}
	if len(log.GPUs) != 1 || log.GPUs[0].UUID != "GPU-a" || log.GPUs[0].Used != "1000 MiB" || log.GPUs[0].Util != "42 %" {
		t.Errorf("%+v", log)
	}
}

func TestMain_noState(t *testing.T) {
	var out strings.Builder
	if code := Main(nil, func(string) string { return "" }, &out, &out, time.Time{}); code != exitNoDriver || !strings.Contains(out.String(), "couldn't communicate") {
		t.Errorf("code %d: %s", code, &out)
	}
}
