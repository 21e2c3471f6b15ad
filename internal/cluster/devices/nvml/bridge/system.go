//go:build cgo

package bridge

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

const mib = 1 << 20

var architectures = map[nvml.DeviceArchitecture]string{
	nvml.DEVICE_ARCH_KEPLER: "Kepler", nvml.DEVICE_ARCH_MAXWELL: "Maxwell", nvml.DEVICE_ARCH_PASCAL: "Pascal", nvml.DEVICE_ARCH_VOLTA: "Volta",
	nvml.DEVICE_ARCH_TURING: "Turing", nvml.DEVICE_ARCH_AMPERE: "Ampere", nvml.DEVICE_ARCH_ADA: "Ada Lovelace", nvml.DEVICE_ARCH_HOPPER: "Hopper",
	nvml.DEVICE_ARCH_BLACKWELL: "Blackwell",
}

func (b *bridge) system() (gpu.System, error) {
	var s gpu.System
	var ret nvml.Return
	if s.Driver, ret = b.lib.SystemGetDriverVersion(); ret != nvml.SUCCESS {
		return s, check("version of the driver", ret)
	}
	cuda, ret := b.lib.SystemGetCudaDriverVersion()
	if err := check("version of CUDA", ret); err != nil {
		return s, err
	}
	s.CUDA = fmt.Sprintf("%d.%d", cuda/1000, cuda%1000/10)
	if name, err := os.ReadFile(filepath.Join(b.sys, "class/dmi/id/product_name")); err == nil {
		s.Machine = strings.TrimSpace(string(name))
	}
	err := b.each(func(i int, d nvml.Device) error {
		g, err := b.device(i, d)
		s.GPUs = append(s.GPUs, g)
		return err
	})
	if err == nil {
		err = b.each(func(i int, d nvml.Device) error {
			s.GPUs[i].Links = links(d, s.GPUs, i)
			return nil
		})
	}
	return s, err
}

func (b *bridge) device(index int, d nvml.Device) (gpu.GPU, error) {
	g := gpu.GPU{Index: index, NUMA: -1}
	fail := func(what string, ret nvml.Return) (gpu.GPU, error) {
		return g, check(fmt.Sprintf("GPU %d: %s", index, what), ret)
	}
	var ret nvml.Return
	if g.UUID, ret = d.GetUUID(); ret != nvml.SUCCESS {
		return fail("UUID", ret)
	}
	if g.Name, ret = d.GetName(); ret != nvml.SUCCESS {
		return fail("name", ret)
	}
	if g.Minor, ret = d.GetMinorNumber(); ret != nvml.SUCCESS {
		return fail("minor number", ret)
	}
	memory, ret := d.GetMemoryInfo()
	if ret != nvml.SUCCESS {
		return fail("memory", ret)
	}
	g.Memory = memory.Total / mib
	if g.ComputeMajor, g.ComputeMinor, ret = d.GetCudaComputeCapability(); ret != nvml.SUCCESS {
		return fail("compute capability", ret)
	}
	if arch, ret := d.GetArchitecture(); ret == nvml.SUCCESS {
		g.Architecture = architectures[arch]
	}
	if pci, ret := d.GetPciInfo(); ret == nvml.SUCCESS {
		g.BusID = text(pci.BusId[:])
		g.NUMA = b.numa(g.BusID)
	}
	if limit, ret := d.GetEnforcedPowerLimit(); ret == nvml.SUCCESS {
		g.PowerLimit = float64(limit) / 1000
	}
	mode, _, ret := d.GetMigMode()
	g.MIGCapable = ret == nvml.SUCCESS
	if g.MIG = g.MIGCapable && mode == nvml.DEVICE_MIG_ENABLE; g.MIG {
		var err error
		if g.Instances, err = instances(d, memory.Total); err != nil {
			return g, fmt.Errorf("GPU %d: %w", index, err)
		}
	}
	return g, nil
}

// numa asks sysfs, which has domains of four digits where NVML has eight.
func (b *bridge) numa(bus string) int {
	bus = strings.ToLower(bus)
	if i := strings.IndexByte(bus, ':'); i > 4 {
		bus = bus[i-4:]
	}
	data, err := os.ReadFile(filepath.Join(b.sys, "bus/pci/devices", bus, "numa_node"))
	if err != nil {
		return -1
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return -1
	}
	return n
}

// text is what a C string of the library says.
func text(chars []int8) string {
	b := make([]byte, 0, len(chars))
	for _, c := range chars {
		b = append(b, byte(c))
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// links counts the NVLinks to each other GPU. Those to a switch lead to all.
func links(d nvml.Device, list []gpu.GPU, self int) map[int]int {
	out := map[int]int{}
	for link := range nvml.NVLINK_MAX_LINKS {
		state, ret := d.GetNvLinkState(link)
		if ret != nvml.SUCCESS || state != nvml.FEATURE_ENABLED {
			continue
		}
		kind, ret := d.GetNvLinkRemoteDeviceType(link)
		toAll := ret == nvml.SUCCESS && kind == nvml.NVLINK_DEVICE_TYPE_SWITCH
		remote, ret := d.GetNvLinkRemotePciInfo(link)
		for i, g := range list {
			if i != self && (toAll || ret == nvml.SUCCESS && text(remote.BusId[:]) == g.BusID) {
				out[g.Index]++
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func instances(d nvml.Device, total uint64) ([]gpu.Instance, error) {
	most, ret := d.GetMaxMigDeviceCount()
	if err := check("number of MIG instances", ret); err != nil {
		return nil, err
	}
	var list []gpu.Instance
	for n := range most {
		m, ret := d.GetMigDeviceHandleByIndex(n)
		if ret == nvml.ERROR_NOT_FOUND || ret == nvml.ERROR_INVALID_ARGUMENT {
			continue // a place without an instance
		}
		if err := check(fmt.Sprintf("MIG instance %d", n), ret); err != nil {
			return nil, err
		}
		i, err := instance(d, m, total)
		if err != nil {
			return nil, fmt.Errorf("MIG instance %d: %w", n, err)
		}
		list = append(list, i)
	}
	return list, nil
}

func instance(parent, m nvml.Device, total uint64) (gpu.Instance, error) {
	var i gpu.Instance
	var ret nvml.Return
	if i.UUID, ret = m.GetUUID(); ret != nvml.SUCCESS {
		return i, check("UUID", ret)
	}
	if i.GI, ret = m.GetGpuInstanceId(); ret != nvml.SUCCESS {
		return i, check("GPU instance", ret)
	}
	if i.CI, ret = m.GetComputeInstanceId(); ret != nvml.SUCCESS {
		return i, check("compute instance", ret)
	}
	a, ret := m.GetAttributes()
	if ret != nvml.SUCCESS {
		return i, check("attributes", ret)
	}
	i.Memory, i.Multiprocessors = a.MemorySizeMB, int(a.MultiprocessorCount)
	i.GISlices, i.CISlices = int(a.GpuInstanceSliceCount), int(a.ComputeInstanceSliceCount)
	i.Engines = gpu.Engines{
		Copy: int(a.SharedCopyEngineCount), Decoder: int(a.SharedDecoderCount), Encoder: int(a.SharedEncoderCount),
		JPEG: int(a.SharedJpegCount), OFA: int(a.SharedOfaCount),
	}
	i.Profile = profileName(i, total, isMedia(parent, i.GI))
	return i, nil
}

// profileName is NVIDIA's: slices, then the memory as a share of the GPU's in eighths.
func profileName(i gpu.Instance, total uint64, media bool) string {
	const eighths = 8
	const gib = 1 << 30
	share := math.Ceil(float64(i.Memory*mib)/float64(total)*eighths) / eighths
	gb := int(math.Round(share * math.Ceil(float64(total)/gib)))
	name := fmt.Sprintf("%dg.%dgb", i.GISlices, gb)
	if i.CISlices != i.GISlices {
		name = fmt.Sprintf("%dc.%s", i.CISlices, name)
	}
	if media {
		name += "+me"
	}
	return name
}

// isMedia tells whether an instance has the media engines that only one can have.
func isMedia(parent nvml.Device, gi int) bool {
	handle, ret := parent.GetGpuInstanceById(gi)
	if ret != nvml.SUCCESS {
		return false
	}
	info, ret := handle.GetInfo()
	if ret != nvml.SUCCESS {
		return false
	}
	for _, p := range []int{nvml.GPU_INSTANCE_PROFILE_1_SLICE_REV1, nvml.GPU_INSTANCE_PROFILE_2_SLICE_REV1} {
		if profile, ret := parent.GetGpuInstanceProfileInfo(p); ret == nvml.SUCCESS && profile.Id == info.ProfileId {
			return true
		}
	}
	return false
}
