//go:build cgo

package bridge

import (
	"encoding/binary"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

// recoveries are the driver's answers of what a GPU needs.
var recoveries = map[uint32]string{
	uint32(nvml.GPU_RECOVERY_ACTION_NONE): gpu.RecoveryNone, uint32(nvml.GPU_RECOVERY_ACTION_GPU_RESET): "reset",
	uint32(nvml.GPU_RECOVERY_ACTION_NODE_REBOOT): "reboot", uint32(nvml.GPU_RECOVERY_ACTION_DRAIN_P2P): "drain",
}

func (b *bridge) samples() ([]gpu.Sample, error) {
	var list []gpu.Sample
	err := b.each(func(_ int, d nvml.Device) error {
		list = append(list, sample(d))
		return nil
	})
	return list, err
}

// sampler remembers whether the device still answers.
type sampler struct{ lost bool }

// number is n if it was told, -1 if not.
func number[T int | uint32 | uint64](s *sampler, n T, ret nvml.Return) int {
	s.lost = s.lost || ret == nvml.ERROR_GPU_IS_LOST
	if ret != nvml.SUCCESS {
		return -1
	}
	return int(n)
}

func sample(d nvml.Device) gpu.Sample {
	s := &sampler{}
	var out gpu.Sample
	uuid, ret := d.GetUUID()
	number(s, 0, ret)
	out.UUID = uuid
	use, ret := d.GetUtilizationRates()
	out.Utilization, out.MemoryUtil = number(s, use.Gpu, ret), number(s, use.Memory, ret)
	encoder, _, ret := d.GetEncoderUtilization()
	out.Encoder = number(s, encoder, ret)
	decoder, _, ret := d.GetDecoderUtilization()
	out.Decoder = number(s, decoder, ret)
	if m, ret := d.GetMemoryInfo_v2(); ret == nvml.SUCCESS {
		out.Used, out.Free, out.Reserved = m.Used/mib, m.Free/mib, m.Reserved/mib
	} else {
		m, ret := d.GetMemoryInfo()
		number(s, 0, ret)
		out.Used, out.Free = m.Used/mib, m.Free/mib
	}
	clock, ret := d.GetClockInfo(nvml.CLOCK_SM)
	out.SMClock = number(s, clock, ret)
	clock, ret = d.GetClockInfo(nvml.CLOCK_MEM)
	out.MemoryClock = number(s, clock, ret)
	temperature, ret := d.GetTemperature(nvml.TEMPERATURE_GPU)
	out.Temperature = number(s, temperature, ret)
	power, ret := d.GetPowerUsage()
	out.Power = float64(number(s, power, ret))
	if out.Power > 0 {
		out.Power /= 1000 // mW
	}
	energy, ret := d.GetTotalEnergyConsumption()
	out.Energy = int64(number(s, energy, ret))
	replays, ret := d.GetPcieReplayCounter()
	out.PCIeReplays = number(s, replays, ret)
	out.MemoryTemp, out.Recovery = fields(d)
	out.Lost = s.lost
	return out
}

// fields asks for what only newer drivers tell.
func fields(d nvml.Device) (memoryTemp int, recovery string) {
	values := []nvml.FieldValue{{FieldId: nvml.FI_DEV_MEMORY_TEMP}, {FieldId: nvml.FI_DEV_GET_GPU_RECOVERY_ACTION}}
	memoryTemp, recovery = -1, gpu.RecoveryUnknown
	if d.GetFieldValues(values) != nvml.SUCCESS {
		return memoryTemp, recovery
	}
	if nvml.Return(values[0].NvmlReturn) == nvml.SUCCESS {
		memoryTemp = int(binary.NativeEndian.Uint32(values[0].Value[:]))
	}
	if nvml.Return(values[1].NvmlReturn) == nvml.SUCCESS {
		if recovery = recoveries[binary.NativeEndian.Uint32(values[1].Value[:])]; recovery == gpu.RecoveryUnknown {
			recovery = "drain and reset"
		}
	}
	return memoryTemp, recovery
}
