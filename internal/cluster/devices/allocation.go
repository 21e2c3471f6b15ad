package devices

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/sharing"
)

// statePath is where pods see the state of simulated GPUs.
const statePath = "/run/kiwerk/gpu"

const percent = 100

// allocation is what a container gets with units of a resource.
func (m *Manager) allocation(r gpu.Resource, units []gpu.Unit) (*api.ContainerAllocateResponse, error) {
	uuid := func(u gpu.Unit) string { return u.UUID }
	list := visible(units, uuid)
	resp := &api.ContainerAllocateResponse{Envs: map[string]string{gpu.EnvVisible: list, gpu.EnvCUDA: list}}
	if m.cfg.Sharing.DeviceIDs == sharing.IDsIndex {
		resp.Envs[gpu.EnvVisible] = visible(units, func(u gpu.Unit) string { return u.Index })
	}
	if r.Strategy == gpu.ShareMPS {
		m.mpsLimits(resp.Envs, r, units)
	}
	if m.system.Simulated {
		resp.Envs[gpu.EnvSimulated] = statePath + "/" + stateFile
		resp.Mounts = append(resp.Mounts, &api.Mount{ContainerPath: statePath, HostPath: PodDir(m.cfg.StateDir), ReadOnly: true})
		return resp, nil
	}
	files, err := m.deviceFiles(units)
	for _, f := range files {
		resp.Devices = append(resp.Devices, &api.DeviceSpec{ContainerPath: f, HostPath: f, Permissions: "rw"})
	}
	return resp, err
}

// mpsLimits gives each replica an equal share of memory and threads.
func (m *Manager) mpsLimits(env map[string]string, r gpu.Resource, units []gpu.Unit) {
	var limits []string
	for _, u := range units {
		i := slices.IndexFunc(m.system.GPUs, func(g gpu.GPU) bool { return g.Index == u.GPU })
		limits = append(limits, fmt.Sprintf("%s=%dM", u.UUID, m.system.GPUs[i].Memory/uint64(r.Replicas)))
	}
	slices.Sort(limits)
	env["CUDA_MPS_PINNED_DEVICE_MEM_LIMIT"] = strings.Join(slices.Compact(limits), ",")
	env["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = strconv.Itoa(percent / r.Replicas)
}

// commonFiles are needed with any GPU.
var commonFiles = []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset"}

// deviceFiles are those of real GPUs and of the instances of them.
func (m *Manager) deviceFiles(units []gpu.Unit) ([]string, error) {
	var list []string
	for _, f := range commonFiles {
		if _, err := os.Stat(filepath.Join(m.cfg.HostRoot, f)); err == nil {
			list = append(list, f)
		}
	}
	for _, u := range units {
		i := slices.IndexFunc(m.system.GPUs, func(g gpu.GPU) bool { return g.Index == u.GPU })
		g := m.system.GPUs[i]
		list = append(list, fmt.Sprintf("/dev/nvidia%d", g.Minor))
		if u.GI < 0 {
			continue
		}
		for _, x := range g.Instances {
			if x.UUID != u.UUID {
				continue
			}
			caps, err := m.capabilityFiles(g.Minor, x)
			if err != nil {
				return nil, err
			}
			list = append(list, caps...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// capabilityFiles open the way to an instance; the kernel driver says which they are.
func (m *Manager) capabilityFiles(minor int, i gpu.Instance) ([]string, error) {
	base := fmt.Sprintf("/proc/driver/nvidia/capabilities/gpu%d/mig/gi%d", minor, i.GI)
	var list []string
	for _, access := range []string{base + "/access", fmt.Sprintf("%s/ci%d/access", base, i.CI)} {
		data, err := os.ReadFile(filepath.Join(m.cfg.HostRoot, access))
		if err != nil {
			return nil, fmt.Errorf("device file of MIG instance %s: %w", i.UUID, err)
		}
		n, err := capabilityMinor(string(data))
		if err != nil {
			return nil, fmt.Errorf("device file of MIG instance %s: %s: %w", i.UUID, access, err)
		}
		list = append(list, fmt.Sprintf("/dev/nvidia-caps/nvidia-cap%d", n))
	}
	return list, nil
}

// capabilityMinor reads "DeviceFileMinor: 3" among other lines.
func capabilityMinor(text string) (uint32, error) {
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "DeviceFileMinor:"); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32)
			return uint32(n), err
		}
	}
	return 0, fmt.Errorf("no line DeviceFileMinor")
}
