package machine

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	cadvisor "github.com/google/cadvisor/lib/model"
	"golang.org/x/sys/unix"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const kib = 1024

// Machine is what the kubelet wants to know of the host: its size, its name
// and the space on its disks.
type Machine struct {
	root  string
	clock clock.PassiveClock
	boot  time.Time
}

// New returns the machine; root is the folder whose disk counts.
func New(root string, c clock.PassiveClock) *Machine {
	return &Machine{root: root, clock: c, boot: bootTime(c.Now())}
}

// Start has nothing to start.
func (m *Machine) Start() error { return nil }

// MachineInfo tells the size and identity of the host.
func (m *Machine) MachineInfo(klog.Logger) (*cadvisor.MachineInfo, error) {
	memory := memoryInfo()
	return &cadvisor.MachineInfo{
		Timestamp:        m.boot,
		NumCores:         runtime.NumCPU(),
		NumPhysicalCores: runtime.NumCPU(),
		NumSockets:       1,
		MemoryCapacity:   memory["MemTotal"],
		SwapCapacity:     memory["SwapTotal"],
		MachineID:        firstLine("/etc/machine-id"),
		SystemUUID:       firstLine("/sys/class/dmi/id/product_uuid", "/etc/machine-id"),
		BootID:           firstLine("/proc/sys/kernel/random/boot_id"),
	}, nil
}

// VersionInfo tells kernel and distribution.
func (m *Machine) VersionInfo() (*cadvisor.VersionInfo, error) {
	return &cadvisor.VersionInfo{KernelVersion: firstLine("/proc/sys/kernel/osrelease"), ContainerOsVersion: osName()}, nil
}

// ContainerInfoV2 knows the root container only: the host as a whole.
func (m *Machine) ContainerInfoV2(name string, _ cadvisor.RequestOptions) (map[string]cadvisor.ContainerInfo, error) {
	if name != "/" {
		return map[string]cadvisor.ContainerInfo{}, nil
	}
	memory := memoryInfo()
	used := memory["MemTotal"] - min(memory["MemTotal"], memory["MemAvailable"])
	return map[string]cadvisor.ContainerInfo{"/": {
		Spec: cadvisor.ContainerSpec{CreationTime: m.boot, HasCpu: true, HasMemory: true, Memory: cadvisor.MemorySpec{Limit: memory["MemTotal"]}},
		Stats: []*cadvisor.ContainerStats{{
			Timestamp: m.clock.Now(),
			Cpu:       &cadvisor.CpuStats{Usage: cadvisor.CpuUsage{Total: busyNanoseconds()}},
			Memory:    &cadvisor.MemoryStats{Usage: memory["MemTotal"] - min(memory["MemTotal"], memory["MemFree"]), WorkingSet: used},
		}},
	}}, nil
}

// GetRequestedContainersInfo serves an interface for scraping that is not offered.
func (m *Machine) GetRequestedContainersInfo(string, cadvisor.RequestOptions) (map[string]*cadvisor.ContainerInfo, error) {
	return map[string]*cadvisor.ContainerInfo{}, nil
}

// ImagesFsInfo is the disk of the state directory: there are no images.
func (m *Machine) ImagesFsInfo(context.Context) (cadvisor.FsInfo, error) {
	return m.GetDirFsInfo(m.root)
}

// RootFsInfo is the disk of the state directory.
func (m *Machine) RootFsInfo() (cadvisor.FsInfo, error) { return m.GetDirFsInfo(m.root) }

// ContainerFsInfo is the disk of the state directory.
func (m *Machine) ContainerFsInfo(context.Context) (cadvisor.FsInfo, error) {
	return m.GetDirFsInfo(m.root)
}

// GetDirFsInfo tells the space on the disk of path.
func (m *Machine) GetDirFsInfo(path string) (cadvisor.FsInfo, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return cadvisor.FsInfo{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	block := uint64(s.Bsize) //nolint:gosec // A block size is positive.
	inodes, free := s.Files, s.Ffree
	return cadvisor.FsInfo{
		Timestamp: m.clock.Now(), Device: path, Mountpoint: path,
		Capacity: s.Blocks * block, Available: s.Bavail * block, Usage: (s.Blocks - s.Bfree) * block,
		Inodes: &inodes, InodesFree: &free,
	}, nil
}

// memoryInfo is /proc/meminfo in bytes.
func memoryInfo() map[string]uint64 {
	out := map[string]uint64{}
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return out
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		value, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			out[name] = n * kib
		}
	}
	return out
}

// busyNanoseconds is the CPU time that was not spent idle since boot.
func busyNanoseconds() uint64 {
	const (
		first, idle, iowait, steal = 1, 4, 5, 8
		ticksPerSecond             = 100
	)
	var ticks uint64
	for i, f := range strings.Fields(firstLine("/proc/stat")) {
		if i < first || i > steal || i == idle || i == iowait {
			continue
		}
		if n, err := strconv.ParseUint(f, 10, 64); err == nil {
			ticks += n
		}
	}
	return ticks * uint64(time.Second/ticksPerSecond)
}

// bootTime is now if the kernel does not tell how long it has been up.
func bootTime(now time.Time) time.Time {
	uptime, _, _ := strings.Cut(firstLine("/proc/uptime"), " ")
	seconds, err := strconv.ParseFloat(uptime, 64)
	if err != nil {
		return now
	}
	return now.Add(-time.Duration(seconds * float64(time.Second)))
}

func osName() string {
	data, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	return "Linux"
}

// firstLine of the first file that can be read.
func firstLine(files ...string) string {
	for _, f := range files {
		if data, err := os.ReadFile(f); err == nil {
			line, _, _ := strings.Cut(string(data), "\n")
			return strings.TrimSpace(line)
		}
	}
	return ""
}
