package gpu

import (
	"context"
	"strconv"
	"strings"
)

// System is what a driver found. Sizes are in MiB.
type System struct {
	// Driver is the version of the kernel driver ("580.95.05"), CUDA the highest version that it supports ("13.0").
	Driver string `json:"driver"`
	CUDA   string `json:"cuda"`
	// Machine is the product name of the computer.
	Machine   string `json:"machine,omitempty"`
	Simulated bool   `json:"simulated,omitempty"`
	GPUs      []GPU  `json:"gpus"`
}

// GPU is one device.
type GPU struct {
	Index        int    `json:"index"`
	Minor        int    `json:"minor"`
	UUID         string `json:"uuid"`
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
	BusID        string `json:"busId"`
	Memory       uint64 `json:"memory"`
	ComputeMajor int    `json:"computeMajor"`
	ComputeMinor int    `json:"computeMinor"`
	// NUMA is the node of the machine's memory that is near, -1 if that is unknown.
	NUMA       int     `json:"numa"`
	PowerLimit float64 `json:"powerLimit,omitempty"`
	// Links counts the NVLinks to other GPUs, by their index.
	Links map[int]int `json:"links,omitempty"`
	// MIGCapable devices can be cut into instances, MIG ones are.
	MIGCapable bool       `json:"migCapable,omitempty"`
	MIG        bool       `json:"mig,omitempty"`
	Instances  []Instance `json:"instances,omitempty"`
}

// Instance is a part of a GPU with memory and processors of its own.
type Instance struct {
	UUID string `json:"uuid"`
	// Profile is NVIDIA's name, as "1g.10gb" or "1g.10gb+me".
	Profile         string  `json:"profile"`
	GI              int     `json:"gi"`
	CI              int     `json:"ci"`
	Memory          uint64  `json:"memory"`
	Multiprocessors int     `json:"multiprocessors"`
	GISlices        int     `json:"giSlices"`
	CISlices        int     `json:"ciSlices"`
	Engines         Engines `json:"engines"`
}

// Engines of an instance.
type Engines struct {
	Copy    int `json:"copy"`
	Decoder int `json:"decoder"`
	Encoder int `json:"encoder"`
	JPEG    int `json:"jpeg"`
	OFA     int `json:"ofa"`
}

// What a GPU needs before it can be used again. RecoveryUnknown is the answer
// of drivers that do not tell.
const (
	RecoveryNone    = "none"
	RecoveryUnknown = ""
)

// Sample is how a GPU does at one moment. A negative number was not told.
type Sample struct {
	UUID        string  `json:"uuid"`
	Utilization int     `json:"utilization"` // percent
	MemoryUtil  int     `json:"memoryUtilization"`
	Encoder     int     `json:"encoder"`
	Decoder     int     `json:"decoder"`
	Used        uint64  `json:"used"` // MiB
	Free        uint64  `json:"free"`
	Reserved    uint64  `json:"reserved"`
	SMClock     int     `json:"smClock"` // MHz
	MemoryClock int     `json:"memoryClock"`
	Temperature int     `json:"temperature"` // °C
	MemoryTemp  int     `json:"memoryTemperature"`
	Power       float64 `json:"power"`  // W
	Energy      int64   `json:"energy"` // mJ
	PCIeReplays int     `json:"pcieReplays"`
	// Lost devices do not answer any more.
	Lost bool `json:"lost,omitempty"`
	// Recovery is what the driver says is needed ("none", "reset", "reboot", "drain …").
	Recovery string `json:"recovery,omitempty"`
}

// Event is an error that the driver reports.
type Event struct {
	UUID string `json:"uuid"`
	// GI is the instance concerned, -1 for the whole GPU.
	GI  int    `json:"gi"`
	XID uint64 `json:"xid"`
}

// Driver reaches the devices.
type Driver interface {
	// System tells what is there.
	System(ctx context.Context) (System, error)
	// Samples tells how each GPU does, in the order of System.
	Samples(ctx context.Context) ([]Sample, error)
	// Events delivers errors until the driver is closed.
	Events() <-chan Event
	Close() error
}

// Find looks a GPU up by index, by UUID or by the UUID of an instance of it.
func (s System) Find(name string) (GPU, bool) {
	for _, g := range s.GPUs {
		if name == g.UUID || name == strconv.Itoa(g.Index) {
			return g, true
		}
		for _, i := range g.Instances {
			if name == i.UUID {
				return g, true
			}
		}
	}
	return GPU{}, false
}

// number reads the n-th part of a dotted version, "" if there is none.
func number(version string, n int) string {
	parts := strings.Split(version, ".")
	if n >= len(parts) {
		return ""
	}
	return parts[n]
}

// State is what the nvidia-smi of simulated GPUs reads.
type State struct {
	System  System   `json:"system"`
	Samples []Sample `json:"samples"`
}

// Sample finds the sample of a GPU.
func (s State) Sample(uuid string) Sample {
	for _, x := range s.Samples {
		if x.UUID == uuid {
			return x
		}
	}
	return Sample{UUID: uuid}
}

// What tells the programs in a container of its GPUs.
const (
	// EnvVisible and EnvCUDA list the devices of a container.
	EnvVisible = "NVIDIA_VISIBLE_DEVICES"
	EnvCUDA    = "CUDA_VISIBLE_DEVICES"
	// EnvSimulated is set where the GPUs are simulated; its value is the file with their [State].
	EnvSimulated = "KIWERK_SIMULATED_GPUS"
)
