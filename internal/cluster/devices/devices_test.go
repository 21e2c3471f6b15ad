package devices

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/sharing"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/simulate"
)

// start runs a manager of simulated GPUs.
func start(t *testing.T, spec, config string) *Manager {
	t.Helper()
	system, err := simulate.Parse(spec, "n")
	if err != nil {
		t.Fatal(err)
	}
	policy := sharing.Default()
	if config != "" {
		if policy, err = sharing.Parse([]byte(config)); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "kw") // short, because sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	d, err := simulate.Open(system, filepath.Join(dir, "faults"), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(t.Context(), Config{
		Driver: d, Simulated: d, Sharing: policy, KubeletDir: filepath.Join(dir, "k"), StateDir: filepath.Join(dir, "s"), NodeName: "n",
		Logger: slog.New(slog.DiscardHandler), Clock: clock.RealClock{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// dial finds the socket of a resource as the kubelet does.
func dial(t *testing.T, m *Manager, resource string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+m.socket(resource), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	info, err := registration.NewRegistrationClient(conn).GetInfo(t.Context(), &registration.InfoRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if info.GetType() != registration.DevicePlugin || info.GetName() != resource || info.GetEndpoint() != m.socket(resource) {
		t.Fatalf("registration %v", info)
	}
	return conn
}

func unhealthy(r *api.ListAndWatchResponse) int {
	n := 0
	for _, d := range r.GetDevices() {
		if d.GetHealth() != api.Healthy {
			n++
		}
	}
	return n
}

// A failing GPU is told to the kubelet at once, and its recovery, too; an error of a program is not.
func TestPlugin_health(t *testing.T) {
	m := start(t, "h100:3", "")
	stream, err := api.NewDevicePluginClient(dial(t, m, gpu.ResourceGPU)).ListAndWatch(t.Context(), &api.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	next := func() *api.ListAndWatchResponse {
		t.Helper()
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := next(); len(r.GetDevices()) != 3 || unhealthy(r) != 0 || r.GetDevices()[0].GetTopology().GetNodes()[0].GetID() != 0 {
		t.Fatalf("devices %v", r)
	}
	if _, err := m.Fail("2", 31); err != nil { // of a program
		t.Fatal(err)
	}
	if _, err := m.Fail("1", 79); err != nil {
		t.Fatal(err)
	}
	if r := next(); unhealthy(r) != 1 || r.GetDevices()[1].GetHealth() == api.Healthy {
		t.Fatalf("after Xid 79: %v", r)
	}
	if s := m.List()[1]; s.Healthy || s.Reason != "Xid 79" || s.Since == nil {
		t.Errorf("list: %+v", s)
	}
	if _, err := m.Recover(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if r := next(); unhealthy(r) != 0 {
		t.Fatalf("after the recovery: %v", r)
	}
	if _, err := m.Fail("3", 79); !errors.Is(err, simulate.ErrNoGPU) {
		t.Errorf("a GPU that is not there: %v", err)
	}
}

func TestPlugin_allocate(t *testing.T) {
	slices8 := "version: v1\nsharing: {timeSlicing: {renameByDefault: true, failRequestsGreaterThanOne: true, resources: [{name: gpu, replicas: 4}]}}"
	for name, tc := range map[string]struct {
		spec, config, resource string
		count                  int // of devices that the node has
		ids                    func(gpu.System) []string
		want                   func(gpu.System) map[string]string
		err                    string
	}{
		"Two": {
			spec: "h100:4", resource: "nvidia.com/gpu", count: 4,
			ids: func(s gpu.System) []string { return []string{s.GPUs[2].UUID, s.GPUs[1].UUID} },
			want: func(s gpu.System) map[string]string {
				list := s.GPUs[1].UUID + "," + s.GPUs[2].UUID
				return map[string]string{gpu.EnvVisible: list, gpu.EnvCUDA: list}
			},
		},
		"Slice": {
			spec: "t4:2", config: slices8, resource: "nvidia.com/gpu.shared", count: 8,
			ids: func(s gpu.System) []string { return []string{s.GPUs[1].UUID + "::3"} },
			want: func(s gpu.System) map[string]string {
				return map[string]string{gpu.EnvVisible: s.GPUs[1].UUID, gpu.EnvCUDA: s.GPUs[1].UUID}
			},
		},
		"TwoSlices": {
			spec: "t4:2", config: slices8, resource: "nvidia.com/gpu.shared", count: 8,
			ids: func(s gpu.System) []string { return []string{s.GPUs[1].UUID + "::3", s.GPUs[0].UUID + "::3"} }, err: "ask for 1",
		},
		"MPS": {
			spec: "t4:1", config: "version: v1\nsharing: {mps: {resources: [{name: gpu, replicas: 4}]}}", resource: "nvidia.com/gpu", count: 4,
			ids: func(s gpu.System) []string { return []string{s.GPUs[0].UUID + "::0"} },
			want: func(s gpu.System) map[string]string {
				return map[string]string{
					gpu.EnvVisible: s.GPUs[0].UUID, gpu.EnvCUDA: s.GPUs[0].UUID,
					"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": s.GPUs[0].UUID + "=3840M", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "25",
				}
			},
		},
		"MIGByIndex": {
			spec: "a100:1,a100:1:3g.20gb*2", config: "version: v1\nflags: {migStrategy: mixed, plugin: {deviceIDStrategy: index}}", resource: "nvidia.com/mig-3g.20gb", count: 2,
			ids: func(s gpu.System) []string { return []string{s.GPUs[1].Instances[1].UUID} },
			want: func(s gpu.System) map[string]string {
				return map[string]string{gpu.EnvVisible: "1:1", gpu.EnvCUDA: s.GPUs[1].Instances[1].UUID}
			},
		},
		"Unknown": {
			spec: "t4:1", resource: "nvidia.com/gpu", count: 1, ids: func(gpu.System) []string { return []string{"GPU-x"} }, err: "has no device GPU-x",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, tc.spec, tc.config)
			client := api.NewDevicePluginClient(dial(t, m, tc.resource))
			stream, err := client.ListAndWatch(t.Context(), &api.Empty{})
			if err != nil {
				t.Fatal(err)
			}
			if list, err := stream.Recv(); err != nil || len(list.GetDevices()) != tc.count {
				t.Errorf("%d devices, want %d (%v)", len(list.GetDevices()), tc.count, err)
			}
			resp, err := client.Allocate(t.Context(), &api.AllocateRequest{ContainerRequests: []*api.ContainerAllocateRequest{{DevicesIds: tc.ids(m.System())}}})
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v does not say %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := resp.GetContainerResponses()[0]
			want := tc.want(m.System())
			want[gpu.EnvSimulated] = "/run/kiwerk/gpu/state.json"
			if diff := cmp.Diff(want, got.GetEnvs()); diff != "" {
				t.Error(diff)
			}
			if mounts := got.GetMounts(); len(mounts) != 1 || !mounts[0].GetReadOnly() {
				t.Errorf("mounts %v", mounts)
			} else if _, err := os.Stat(filepath.Join(mounts[0].GetHostPath(), "state.json")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPlugin_prefers(t *testing.T) {
	m := start(t, "t4:2", "version: v1\nsharing: {timeSlicing: {resources: [{name: gpu, replicas: 2}]}}")
	s := m.System()
	resp, err := api.NewDevicePluginClient(dial(t, m, gpu.ResourceGPU)).GetPreferredAllocation(t.Context(), &api.PreferredAllocationRequest{
		ContainerRequests: []*api.ContainerPreferredAllocationRequest{{
			AvailableDeviceIDs: []string{s.GPUs[0].UUID + "::1", s.GPUs[1].UUID + "::0", s.GPUs[1].UUID + "::1"}, AllocationSize: 1,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.GetContainerResponses()[0].GetDeviceIDs(); !slices.Equal(got, []string{s.GPUs[1].UUID + "::0"}) {
		t.Errorf("preferred %v, want a replica of the GPU that nobody uses", got)
	}
}

// Real GPUs come with their device files; those of an instance are found in /proc.
func TestManager_deviceFiles(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"dev/nvidiactl": "", "dev/nvidia-uvm": "",
		"proc/driver/nvidia/capabilities/gpu1/mig/gi2/access":     "DeviceFileMinor: 66\nDeviceFileMode: 292\n",
		"proc/driver/nvidia/capabilities/gpu1/mig/gi2/ci0/access": "DeviceFileMinor: 67\n",
	} {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	system, err := simulate.Parse("a100:1,a100:1:3g.20gb*2", "n")
	if err != nil {
		t.Fatal(err)
	}
	resources, err := gpu.Partition(system, gpu.Policy{MIG: gpu.MIGMixed})
	if err != nil {
		t.Fatal(err)
	}
	m := &Manager{cfg: Config{HostRoot: root}, system: system}
	whole, part := resources[0].Units[0], resources[1].Units[1]
	for name, tc := range map[string]struct {
		units []gpu.Unit
		want  []string
		err   error
	}{
		"Whole":    {[]gpu.Unit{whole}, []string{"/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidiactl"}, nil},
		"Instance": {[]gpu.Unit{part}, []string{"/dev/nvidia-caps/nvidia-cap66", "/dev/nvidia-caps/nvidia-cap67", "/dev/nvidia-uvm", "/dev/nvidia1", "/dev/nvidiactl"}, nil},
		"NoFile":   {[]gpu.Unit{resources[1].Units[0]}, nil, fs.ErrNotExist},
	} {
		got, err := m.deviceFiles(tc.units)
		if diff := cmp.Diff(tc.want, got); !errors.Is(err, tc.err) || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}

func TestNew_refusesWhatCannotBe(t *testing.T) {
	system, err := simulate.Parse("a100:1,a100:1:3g.20gb*2", "n")
	if err != nil {
		t.Fatal(err)
	}
	d, err := simulate.Open(system, filepath.Join(t.TempDir(), "f"), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := sharing.Parse([]byte("version: v1\nflags: {migStrategy: single}"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Config{Driver: d, Sharing: policy}); err == nil || !strings.Contains(err.Error(), "use mixed") {
		t.Errorf("migStrategy single on uneven GPUs: %v", err)
	}
}

func TestManager_metrics(t *testing.T) {
	m := start(t, "h100:2", "version: v1\nsharing: {timeSlicing: {resources: [{name: gpu, replicas: 2}]}}")
	s := m.System()
	m.mu.Lock()
	m.holders = []Holder{
		{"team", "a", "main", gpu.ResourceGPU, s.GPUs[0].UUID + "::0", s.GPUs[0].UUID}, {"team", "b", "main", gpu.ResourceGPU, s.GPUs[0].UUID + "::1", s.GPUs[0].UUID},
	}
	m.xids[s.GPUs[1].UUID] = 48
	m.samples[1].Lost = true
	m.mu.Unlock()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(m); err != nil {
		t.Fatal(err)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string][]string{}
	for _, f := range families {
		for _, x := range f.GetMetric() {
			l := map[string]string{}
			for _, p := range x.GetLabel() {
				l[p.GetName()] = p.GetValue()
			}
			series[f.GetName()] = append(series[f.GetName()], l["gpu"]+"/"+l["namespace"]+"/"+l["pod"]+"/"+l["vgpu"])
		}
	}
	for name, want := range map[string][]string{
		"DCGM_FI_DEV_GPU_UTIL": {"0/team/a/0", "0/team/b/1"}, "DCGM_FI_DEV_FB_USED": {"0/team/a/0", "0/team/b/1"},
		"DCGM_FI_DEV_XID_ERRORS": {"0/team/a/0", "0/team/b/1", "1///"},
	} {
		slices.Sort(series[name])
		if diff := cmp.Diff(want, series[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for _, name := range []string{"SM_CLOCK", "MEM_CLOCK", "GPU_TEMP", "POWER_USAGE", "FB_FREE", "TOTAL_ENERGY_CONSUMPTION"} {
		if len(series["DCGM_FI_DEV_"+name]) == 0 {
			t.Errorf("no DCGM_FI_DEV_%s", name)
		}
	}
}

func TestLabelChange(t *testing.T) {
	for name, tc := range map[string]struct {
		have   map[string]string
		before string
		want   map[string]string
		change map[string]any
		ours   any
	}{
		"New":     {nil, "", map[string]string{"a": "1", "b": "2"}, map[string]any{"a": "1", "b": "2"}, "a,b"},
		"Same":    {map[string]string{"a": "1"}, "a", map[string]string{"a": "1"}, map[string]any{}, "a"},
		"Gone":    {map[string]string{"a": "1", "c": "3"}, "a", nil, map[string]any{"a": nil}, nil},
		"Foreign": {map[string]string{"a": "1", "nvidia.com/x": "user"}, "a,gone", map[string]string{"b": "2"}, map[string]any{"a": nil, "b": "2"}, "b"},
	} {
		change, ours := labelChange(tc.have, tc.before, tc.want)
		if diff := cmp.Diff(tc.change, change); diff != "" || ours != tc.ours {
			t.Errorf("%s: ours %v\n%s", name, ours, diff)
		}
	}
}

func TestLoadOf(t *testing.T) {
	for value, want := range map[string]simulate.Load{
		"20-60": {Low: 20, High: 60}, "90": {Low: 90, High: 90}, "0": {}, "": usualLoad, "60-20": usualLoad, "101": usualLoad, "-1": usualLoad, "a-b": usualLoad, "300-400": usualLoad,
	} {
		if got := loadOf(map[string]string{annotationRunAI: value}); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

func FuzzParseLoad(f *testing.F) {
	f.Add("20-60")
	f.Fuzz(func(t *testing.T, s string) {
		if l, ok := parseLoad(s); ok && (l.Low < 0 || l.Low > l.High || l.High > percent) {
			t.Errorf("%q: %v", s, l)
		}
	})
}

func FuzzCapabilityMinor(f *testing.F) {
	f.Add("DeviceFileMinor: 66\nDeviceFileMode: 292\n")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := capabilityMinor(s); err == nil && !strings.Contains(s, "DeviceFileMinor:") {
			t.Errorf("%q has a minor number", s)
		}
	})
}

// A daemon that was killed leaves sockets behind; the next one takes their place.
func TestManager_startsOverStaleSockets(t *testing.T) {
	m := start(t, "t4:1", "")
	other := m.cfg
	stale := filepath.Join(m.registry(), socketPrefix+"old.sock")
	if err := os.WriteFile(stale, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := simulate.Open(m.system, filepath.Join(t.TempDir(), "f"), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	other.Driver, other.Simulated = d, d
	next, err := New(t.Context(), other)
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer next.Stop(context.Background())
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the stale socket is still there: %v", err)
	}
	dial(t, next, gpu.ResourceGPU)
}
