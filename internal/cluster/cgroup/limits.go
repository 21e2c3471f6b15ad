package cgroup

import "strconv"

// Limits of a group. Zero leaves a value as it is.
type Limits struct {
	// CPUShares is the part of a busy CPU in the scale of version 1: 1024 for each core that was asked for.
	CPUShares int64
	// CPUQuota is how many of CPUPeriod microseconds may be used; below 0 for any.
	CPUQuota, CPUPeriod int64
	// Memory in bytes; below 0 for any. Swap is not to be used beyond it.
	Memory int64
	// MemoryHigh slows the group down from there on; version 2 only.
	MemoryHigh int64
	// Pids bounds processes and threads; below 0 for any.
	Pids int64
	// OOMGroup ends all processes of the group when memory runs out; version 2 only.
	OOMGroup bool
}

// setting is one value for one file of the kernel.
type setting struct {
	controller, file, value string
	// optional files do not exist on every kernel.
	optional bool
}

const (
	unlimitedV1 = "-1"
	unlimitedV2 = "max"
	// defaultPeriod is the kernel's, in microseconds.
	defaultPeriod = 100000
	minShares     = 2
	maxShares     = 262144
	minWeight     = 1
	maxWeight     = 10000
)

// settings says what to write where, in order.
func settings(l Limits, unified bool) []setting {
	if unified {
		return settingsV2(l)
	}
	return settingsV1(l)
}

func settingsV1(l Limits) []setting {
	var list []setting
	if l.CPUShares > 0 {
		list = append(list, setting{cpu, "cpu.shares", itoa(clamp(l.CPUShares, minShares, maxShares)), false})
	}
	if l.CPUPeriod > 0 {
		list = append(list, setting{cpu, "cpu.cfs_period_us", itoa(l.CPUPeriod), false})
	}
	if l.CPUQuota != 0 {
		list = append(list, setting{cpu, "cpu.cfs_quota_us", bound(l.CPUQuota, unlimitedV1), false})
	}
	if l.Memory != 0 {
		value := bound(l.Memory, unlimitedV1)
		list = append(list,
			setting{memory, "memory.limit_in_bytes", value, false},
			setting{memory, "memory.memsw.limit_in_bytes", value, true})
	}
	if l.Pids != 0 {
		list = append(list, setting{pids, "pids.max", bound(l.Pids, unlimitedV2), false})
	}
	return list
}

func settingsV2(l Limits) []setting {
	var list []setting
	if l.CPUShares > 0 {
		list = append(list, setting{cpu, "cpu.weight", itoa(weight(l.CPUShares)), false})
	}
	if l.CPUQuota != 0 {
		period := l.CPUPeriod
		if period <= 0 {
			period = defaultPeriod
		}
		list = append(list, setting{cpu, "cpu.max", bound(l.CPUQuota, unlimitedV2) + " " + itoa(period), false})
	}
	if l.Memory != 0 {
		list = append(list, setting{memory, "memory.max", bound(l.Memory, unlimitedV2), false})
		if l.Memory > 0 {
			list = append(list, setting{memory, "memory.swap.max", "0", true})
		}
	}
	if l.MemoryHigh != 0 {
		list = append(list, setting{memory, "memory.high", bound(l.MemoryHigh, unlimitedV2), false})
	}
	if l.OOMGroup {
		list = append(list, setting{memory, "memory.oom.group", "1", true})
	}
	if l.Pids != 0 {
		list = append(list, setting{pids, "pids.max", bound(l.Pids, unlimitedV2), false})
	}
	return list
}

// weight maps the scale of version 1 to that of version 2, end to end.
func weight(shares int64) int64 {
	shares = clamp(shares, minShares, maxShares)
	return minWeight + (shares-minShares)*(maxWeight-minWeight)/(maxShares-minShares)
}

func clamp(n, low, high int64) int64 { return min(max(n, low), high) }

func bound(n int64, unlimited string) string {
	if n < 0 {
		return unlimited
	}
	return itoa(n)
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
