//go:build cgo

package bridge

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	protocol "github.com/kiwerk/kiwerk/internal/cluster/devices/nvml"
)

// machine is go-nvml's DGX H100 with the answers that it leaves out. Its GPU 1
// is cut, GPU 2 is lost, and an error of GPU 3 waits.
func machine() *server.Server {
	s := dgxh100.New()
	for i, d := range s.Devices {
		complete(d.(*server.Device), i)
	}
	cut(s.Devices[1].(*server.Device))
	lost(s.Devices[2].(*server.Device))
	told := false
	s.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) {
		return &mock.EventSet{WaitFunc: func(uint32) (nvml.EventData, nvml.Return) {
			if told {
				return nvml.EventData{}, nvml.ERROR_UNKNOWN
			}
			told = true
			return nvml.EventData{Device: s.Devices[3], EventType: nvml.EventTypeXidCriticalError, EventData: 79, GpuInstanceId: 0xFFFFFFFF}, nvml.SUCCESS
		}}, nvml.SUCCESS
	}
	return s
}

func complete(d *server.Device, i int) {
	d.GetPciInfoFunc = func() (nvml.PciInfo, nvml.Return) {
		p := nvml.PciInfo{}
		for k, c := range "0000" + d.PciBusID {
			p.BusId[k] = int8(c)
		}
		return p, nvml.SUCCESS
	}
	d.GetEnforcedPowerLimitFunc = func() (uint32, nvml.Return) { return 700000, nvml.SUCCESS }
	d.GetNvLinkStateFunc = func(link int) (nvml.EnableState, nvml.Return) {
		if link < 18 {
			return nvml.FEATURE_ENABLED, nvml.SUCCESS
		}
		return nvml.FEATURE_DISABLED, nvml.ERROR_INVALID_ARGUMENT
	}
	d.GetNvLinkRemoteDeviceTypeFunc = func(int) (nvml.IntNvLinkDeviceType, nvml.Return) {
		return nvml.NVLINK_DEVICE_TYPE_SWITCH, nvml.SUCCESS
	}
	d.GetNvLinkRemotePciInfoFunc = func(int) (nvml.PciInfo, nvml.Return) { return nvml.PciInfo{}, nvml.SUCCESS }
	d.RegisterEventsFunc = func(uint64, nvml.EventSet) nvml.Return { return nvml.SUCCESS }
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) {
		return nvml.Utilization{Gpu: uint32(10 + i), Memory: 5}, nvml.SUCCESS
	}
	d.GetEncoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 0, 0, nvml.ERROR_NOT_SUPPORTED }
	d.GetDecoderUtilizationFunc = func() (uint32, uint32, nvml.Return) { return 3, 0, nvml.SUCCESS }
	d.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) {
		return nvml.Memory_v2{Used: 1000 * mib, Free: 80000 * mib, Reserved: 559 * mib}, nvml.SUCCESS
	}
	d.GetClockInfoFunc = func(c nvml.ClockType) (uint32, nvml.Return) { return uint32(1000 + int(c)), nvml.SUCCESS }
	d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 40, nvml.SUCCESS }
	d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 123456, nvml.SUCCESS }
	d.GetTotalEnergyConsumptionFunc = func() (uint64, nvml.Return) { return 99, nvml.SUCCESS }
	d.GetPcieReplayCounterFunc = func() (int, nvml.Return) { return 0, nvml.SUCCESS }
	d.GetFieldValuesFunc = func(v []nvml.FieldValue) nvml.Return {
		binary.NativeEndian.PutUint32(v[0].Value[:], 55)
		v[1].NvmlReturn = uint32(nvml.ERROR_NOT_SUPPORTED)
		return nvml.SUCCESS
	}
}

// cut makes two instances of 3g.40gb and an empty place.
func cut(d *server.Device) {
	d.MigMode = nvml.DEVICE_MIG_ENABLE
	d.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 3, nvml.SUCCESS }
	d.GetGpuInstanceByIdFunc = func(int) (nvml.GpuInstance, nvml.Return) { return nil, nvml.ERROR_NOT_FOUND }
	d.GetMigDeviceHandleByIndexFunc = func(n int) (nvml.Device, nvml.Return) {
		if n == 1 {
			return nil, nvml.ERROR_NOT_FOUND
		}
		m := &mock.Device{}
		m.GetUUIDFunc = func() (string, nvml.Return) { return "MIG-" + string(rune('a'+n)), nvml.SUCCESS }
		m.GetGpuInstanceIdFunc = func() (int, nvml.Return) { return n + 1, nvml.SUCCESS }
		m.GetComputeInstanceIdFunc = func() (int, nvml.Return) { return 0, nvml.SUCCESS }
		m.GetAttributesFunc = func() (nvml.DeviceAttributes, nvml.Return) {
			return nvml.DeviceAttributes{MultiprocessorCount: 60, SharedCopyEngineCount: 3, GpuInstanceSliceCount: 3, ComputeInstanceSliceCount: 3, MemorySizeMB: 40448}, nvml.SUCCESS
		}
		return m, nvml.SUCCESS
	}
}

func lost(d *server.Device) {
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.ERROR_GPU_IS_LOST }
	d.GetFieldValuesFunc = func(v []nvml.FieldValue) nvml.Return {
		v[0].NvmlReturn = uint32(nvml.ERROR_GPU_IS_LOST)
		binary.NativeEndian.PutUint32(v[1].Value[:], uint32(nvml.GPU_RECOVERY_ACTION_GPU_RESET))
		return nvml.SUCCESS
	}
}

// ask runs questions and collects what is said.
func ask(t *testing.T, lib nvml.Interface, questions ...string) []protocol.Message {
	t.Helper()
	sys := t.TempDir()
	numa := filepath.Join(sys, "bus/pci/devices/0000:03:00.0/numa_node")
	if err := errors.Join(os.MkdirAll(filepath.Dir(numa), 0o755), os.WriteFile(numa, []byte("1\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	b := &bridge{lib: lib, sys: sys, out: json.NewEncoder(w)}
	go func() {
		var lines strings.Builder
		for _, q := range questions {
			lines.WriteString(`{"ask":"` + q + `"}` + "\n")
		}
		w.CloseWithError(b.serve(strings.NewReader(lines.String())))
	}()
	var list []protocol.Message
	for d := json.NewDecoder(r); ; {
		var m protocol.Message
		err := d.Decode(&m)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, m)
	}
}

func TestBridge(t *testing.T) {
	var system *gpu.System
	var samples []gpu.Sample
	for _, m := range ask(t, machine(), protocol.AskSystem, protocol.AskSamples) {
		if m.System != nil {
			system = m.System
		}
		if m.Samples != nil {
			samples = m.Samples
		}
	}
	if system == nil || len(system.GPUs) != 8 || len(samples) != 8 {
		t.Fatalf("system %+v, samples %+v", system, samples)
	}
	g := system.GPUs[0]
	if g.Name != "NVIDIA H100 80GB HBM3" || g.Architecture != "Hopper" || g.Memory != 81920 || g.ComputeMajor != 9 || g.PowerLimit != 700 || g.Links[5] != 18 || g.NUMA != -1 || !g.MIGCapable || g.MIG {
		t.Errorf("GPU 0: %+v", g)
	}
	if g := system.GPUs[3]; g.NUMA != 1 || g.BusID != "00000000:03:00.0" {
		t.Errorf("GPU 3: %+v", g)
	}
	if i := system.GPUs[1].Instances; len(i) != 2 || i[0].Profile != "3g.40gb" || i[1].UUID != "MIG-c" || i[1].GI != 3 || i[0].Engines.Copy != 3 {
		t.Errorf("instances of GPU 1: %+v", i)
	}
	s := samples[0]
	if s.Utilization != 10 || s.Used != 1000 || s.Reserved != 559 || s.Power != 123.456 || s.MemoryTemp != 55 || s.Encoder != -1 || s.Decoder != 3 || s.Recovery != gpu.RecoveryUnknown || s.Lost {
		t.Errorf("sample of GPU 0: %+v", s)
	}
	if s := samples[2]; !s.Lost || s.Recovery != "reset" || s.MemoryTemp != -1 || s.Utilization != -1 {
		t.Errorf("sample of the lost GPU: %+v", s)
	}
}

func TestBridge_noDriver(t *testing.T) {
	lib := &mock.Interface{InitFunc: func() nvml.Return { return nvml.ERROR_LIBRARY_NOT_FOUND }}
	got := ask(t, lib, protocol.AskSystem)
	if len(got) != 1 || !strings.Contains(got[0].Error, "load NVIDIA's library") {
		t.Errorf("%+v", got)
	}
}

func TestEventOf(t *testing.T) {
	s := machine()
	uuid, _ := s.Devices[3].GetUUID()
	for name, tc := range map[string]struct {
		event nvml.EventData
		want  gpu.Event
	}{
		"Whole":    {nvml.EventData{Device: s.Devices[3], EventType: nvml.EventTypeXidCriticalError, EventData: 79, GpuInstanceId: 0xFFFFFFFF}, gpu.Event{UUID: uuid, GI: -1, XID: 79}},
		"Instance": {nvml.EventData{Device: s.Devices[3], EventType: nvml.EventTypeXidCriticalError, EventData: 94, GpuInstanceId: 2}, gpu.Event{UUID: uuid, GI: 2, XID: 94}},
		"Memory":   {nvml.EventData{Device: s.Devices[3], EventType: nvml.EventTypeDoubleBitEccError, EventData: 0, GpuInstanceId: 0xFFFFFFFF}, gpu.Event{UUID: uuid, GI: -1, XID: 48}},
	} {
		if got := eventOf(tc.event); *got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, *got, tc.want)
		}
	}
}

func TestProfileName(t *testing.T) {
	for want, i := range map[string]gpu.Instance{
		"1g.10gb": {GISlices: 1, CISlices: 1, Memory: 9984}, "7g.80gb": {GISlices: 7, CISlices: 7, Memory: 80896}, "1c.3g.40gb": {GISlices: 3, CISlices: 1, Memory: 40448},
	} {
		if got := profileName(i, 81559*mib, false); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := profileName(gpu.Instance{GISlices: 1, CISlices: 1, Memory: 4864}, 40960*mib, true); got != "1g.5gb+me" {
		t.Errorf("%s", got)
	}
}
