//go:build linux

package systemtest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kiwerk/kiwerk/internal/kwtest"
)

// gpuPod asks for n of a resource and prints what nvidia-smi shows.
func gpuPod(name, resource string, n int) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, annotations: {kiwerk.dev/simulated-gpu-utilization: "50"}}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  tolerations: [{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}]
  containers:
  - name: main
    image: busybox
    command: [sh, -c, 'nvidia-smi -L; i=0; while :; do nvidia-smi --query-gpu=uuid,utilization.gpu --format=csv,noheader | tr "\n" ";"; i=$((i+1)); echo " $i"; sleep 1; done']
    resources: {limits: {%s: %d}}
`, name, resource, n)
}

type gpuStatus struct {
	UUID    string
	Healthy bool
	Reason  string
	Holders []struct{ Pod, Device string }
}

func (p *platform) gpus() []gpuStatus {
	p.t.Helper()
	out, errs, code := call(p.t, p.who, p.dir, "gpu", "list", "-o", "json")
	var list struct{ GPUs []gpuStatus }
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		p.t.Fatalf("kiwerk gpu list: code %d: %v\n%s%s", code, err, out, errs)
	}
	return list.GPUs
}

// allocatable waits until the node offers n of a resource.
func (p *platform) allocatable(resource string, n int) {
	p.t.Helper()
	path := "jsonpath={.items[0].status.allocatable." + strings.ReplaceAll(resource, ".", `\.`) + "}"
	kwtest.Eventually(p.t, func() error {
		if got := p.kubectl("get", "nodes", "-o", path); got != fmt.Sprint(n) {
			return fmt.Errorf("%q of %s can be allocated, want %d", got, resource, n)
		}
		return nil
	})
}

func TestGPU_simulated(t *testing.T) {
	eachAccount(t, func(t *testing.T, who account) {
		p := up(t, who, filepath.Join(home(t, who), "data"), "--simulate-gpus=h100:8")
		p.allocatable("nvidia.com/gpu", 8)
		if got := p.kubectl("get", "nodes", "-o", `jsonpath={.items[0].metadata.labels.nvidia\.com/gpu\.product}`); got != "NVIDIA-H100-80GB-HBM3" {
			t.Errorf("the node is labelled with product %q", got)
		}
		p.apply(gpuPod("two", "nvidia.com/gpu", 2))
		// Two devices and no more, which are busy as the pod says.
		p.logLine("two", func(l string) bool { return strings.Count(l, "GPU-") == 2 && strings.Count(l, "50 %") == 2 })
		held := map[string]bool{}
		free := ""
		kwtest.Eventually(t, func() error {
			clear(held)
			for _, g := range p.gpus() {
				if len(g.Holders) > 0 {
					held[g.UUID] = true
				} else {
					free = g.UUID
				}
			}
			if len(held) != 2 {
				return fmt.Errorf("%d GPUs are held, want 2", len(held))
			}
			return nil
		})
		log := p.kubectl("logs", "two")
		for uuid := range held {
			if !strings.Contains(log, uuid) {
				t.Errorf("the pod does not see %s, which it holds:\n%s", uuid, log)
			}
		}
		until(t, "there are metrics of the pod's GPUs", func() bool {
			_, metrics := p.request("GET", "/metrics", bearer(p.token()))
			return strings.Contains(metrics, `namespace="default",pci_bus_id=`) && strings.Contains(metrics, "DCGM_FI_DEV_GPU_UTIL{")
		})

		// The daemon's crash is not seen by the pod, and the next one knows who holds what.
		before := p.kubectl("get", "pod", "two", "-o", "jsonpath={.status.containerStatuses[0].containerID}")
		if err := syscall.Kill(p.run.Daemon, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		p.wait()
		p = up(t, who, p.dir, "--simulate-gpus=h100:8")
		p.allocatable("nvidia.com/gpu", 8)
		kwtest.Eventually(t, func() error {
			for _, g := range p.gpus() {
				if held[g.UUID] != (len(g.Holders) > 0) {
					return fmt.Errorf("%s is held: %v", g.UUID, !held[g.UUID])
				}
			}
			return nil
		})
		if got := p.kubectl("get", "pod", "two", "-o", "jsonpath={.status.phase} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].containerID}"); got != "Running 0 "+before {
			t.Errorf("after the crash the pod is %s", got)
		}

		// A failing GPU is not offered until it has recovered, also over a restart.
		if out, errs, code := call(t, who, p.dir, "gpu", "fail", free, "--xid", "79"); code != 0 {
			t.Fatalf("kiwerk gpu fail: code %d\n%s%s", code, out, errs)
		}
		p.allocatable("nvidia.com/gpu", 7)
		if out, errs, code := call(t, who, p.dir, "gpu", "recover", free); code != 0 {
			t.Fatalf("kiwerk gpu recover: code %d\n%s%s", code, out, errs)
		}
		p.allocatable("nvidia.com/gpu", 8)
		until(t, "events tell of failure and recovery", func() bool {
			events := p.kubectl("get", "events", "-o", "jsonpath={.items[*].reason}")
			return strings.Contains(events, "GPUUnhealthy") && strings.Contains(events, "GPURecovered")
		})
		if _, _, code := call(t, who, p.dir, "gpu", "fail", "8"); code != 4 {
			t.Errorf("failing a GPU that is not there: code %d, want 4", code)
		}
	})
}

func TestGPU_sharedAndCut(t *testing.T) {
	who := accounts(t)[0]
	config := filepath.Join(home(t, who), "plugin.yaml")
	if err := os.WriteFile(config, []byte(`
version: v1
flags: {migStrategy: mixed}
sharing:
  timeSlicing:
    renameByDefault: true
    failRequestsGreaterThanOne: true
    resources: [{name: nvidia.com/gpu, replicas: 4}]
`), 0o644); err != nil {
		t.Fatal(err)
	}
	p := up(t, who, filepath.Join(home(t, who), "data"), "--simulate-gpus=t4:1,a100:1:3g.20gb*2", "--gpu-config", config)
	p.allocatable("nvidia.com/gpu.shared", 4)
	p.allocatable("nvidia.com/mig-3g.20gb", 2)
	p.apply(gpuPod("a", "nvidia.com/gpu.shared", 1) + "---" + gpuPod("b", "nvidia.com/gpu.shared", 1) + "---" + gpuPod("part", "nvidia.com/mig-3g.20gb", 1) + "---" + gpuPod("greedy", "nvidia.com/gpu.shared", 2))
	first := p.logLine("a", func(l string) bool { return strings.HasPrefix(l, "GPU 0: Tesla T4") })
	if second := p.logLine("b", func(l string) bool { return strings.HasPrefix(l, "GPU 0") }); second != first {
		t.Errorf("two pods that share the only T4 see %q and %q", first, second)
	}
	p.logLine("part", func(l string) bool { return strings.HasPrefix(l, "  MIG 3g.20gb") })
	kwtest.Eventually(t, func() error {
		if got := p.kubectl("get", "pod", "greedy", "-o", "jsonpath={.status.reason}: {.status.message}"); !strings.HasPrefix(got, "UnexpectedAdmissionError") || !strings.Contains(got, "ask for 1") {
			return fmt.Errorf("a pod that asks for two replicas is %q", got)
		}
		return nil
	})
}

func TestGPU_refusals(t *testing.T) {
	who := accounts(t)[0]
	dir := filepath.Join(home(t, who), "data")
	for arg, want := range map[string]string{
		"--simulate-gpus=x100:8":    "no model",
		"--gpu-config=/does/not/be": "/does/not/be",
		"--simulate-gpus=h100:1:9g": "no MIG profile",
		"--simulate-gpus=h100:1000": "more than 64",
	} {
		_, errs, code := call(t, who, dir, "up", "--listen", "127.0.0.1:0", arg)
		if code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d: %s", arg, code, errs)
		}
	}
}
