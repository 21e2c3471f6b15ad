package machine_test

import (
	"runtime"
	"testing"
	"time"

	cadvisor "github.com/google/cadvisor/lib/model"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/kiwerk/kiwerk/internal/cluster/machine"
)

func TestMachine_knowsTheHost(t *testing.T) {
	m := machine.New(t.TempDir(), clock.RealClock{})
	info, err := m.MachineInfo(klog.Background())
	if err != nil {
		t.Fatal(err)
	}
	const smallest = 64 << 20
	if info.NumCores != runtime.NumCPU() || info.MemoryCapacity < smallest || info.BootID == "" {
		t.Errorf("machine: %+v", info)
	}
	version, err := m.VersionInfo()
	if err != nil || version.KernelVersion == "" || version.ContainerOsVersion == "" {
		t.Errorf("version: %+v %v", version, err)
	}
	disk, err := m.RootFsInfo()
	if err != nil || disk.Capacity == 0 || disk.Available > disk.Capacity || disk.Usage > disk.Capacity {
		t.Errorf("disk: %+v %v", disk, err)
	}
	if _, err := m.GetDirFsInfo("/no/such/folder"); err == nil {
		t.Error("a folder that does not exist has a disk")
	}
}

func TestMachine_measuresTheHost(t *testing.T) {
	m := machine.New(t.TempDir(), clock.RealClock{})
	all, err := m.ContainerInfoV2("/", cadvisor.RequestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	root := all["/"]
	if len(root.Stats) != 1 || root.Stats[0].Cpu.Usage.Total == 0 || root.Stats[0].Memory.WorkingSet == 0 {
		t.Errorf("the host has no load: %+v", root)
	}
	if age := time.Since(root.Spec.CreationTime); age <= 0 {
		t.Errorf("the host was booted %v ago", age)
	}
	if other, err := m.ContainerInfoV2("/other", cadvisor.RequestOptions{}); err != nil || len(other) != 0 {
		t.Errorf("a container that is not known: %v %v", other, err)
	}
}
