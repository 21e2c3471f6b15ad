//go:build linux

package cri

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/shim"
)

// ticksPerSecond is USER_HZ, which Linux has fixed at 100 for programs.
const ticksPerSecond = 100

// measure sums over pid 1 of a container and all below it. Children that have
// ended are counted in the times of those that waited for them.
func measure(pid int) cgroup.Stats {
	var u cgroup.Stats
	todo := []int{pid}
	for len(todo) > 0 {
		pid := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		dir := "/proc/" + strconv.Itoa(pid)
		data, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // ended meanwhile
		}
		st, err := shim.ParseStat(data)
		if err != nil {
			continue
		}
		u.CPUNano += st.CPUTicks * (1e9 / ticksPerSecond)
		u.RSS += uint64(max(st.RSSPages, 0)) * uint64(os.Getpagesize())
		u.Pids++
		todo = append(todo, children(dir)...)
	}
	u.Memory, u.WorkingSet = u.RSS, u.RSS
	return u
}

func children(dir string) []int {
	files, err := filepath.Glob(dir + "/task/*/children")
	if err != nil {
		return nil
	}
	var pids []int
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func u64(n uint64) *runtimeapi.UInt64Value { return &runtimeapi.UInt64Value{Value: n} }

func (s *Server) statsOf(c *container) (*runtimeapi.ContainerStats, cgroup.Stats) {
	now := s.clock.Now().UnixNano()
	u, err := s.Stats(c.ID)
	if err != nil && status.Code(err) == codes.Unknown {
		s.log.Warn("measure container", "container", c.ID, "error", err)
	}
	bytes, files := c.written()
	return &runtimeapi.ContainerStats{
		Attributes: &runtimeapi.ContainerAttributes{Id: c.ID, Metadata: c.metadata(), Labels: c.Labels, Annotations: c.Annotations},
		Cpu:        &runtimeapi.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: u64(u.CPUNano)},
		Memory:     memoryUsage(now, u),
		WritableLayer: &runtimeapi.FilesystemUsage{
			Timestamp: now, FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: s.cfg.StateDir}, UsedBytes: u64(bytes), InodesUsed: u64(files),
		},
	}, u
}

func memoryUsage(now int64, u cgroup.Stats) *runtimeapi.MemoryUsage {
	return &runtimeapi.MemoryUsage{
		Timestamp: now, WorkingSetBytes: u64(u.WorkingSet), UsageBytes: u64(u.Memory), RssBytes: u64(u.RSS),
		PageFaults: u64(u.PageFaults), MajorPageFaults: u64(u.MajorFaults),
	}
}

// ContainerStats measures one container.
func (s *Server) ContainerStats(_ context.Context, req *runtimeapi.ContainerStatsRequest) (*runtimeapi.ContainerStatsResponse, error) {
	c, err := s.findContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	st, _ := s.statsOf(c)
	return &runtimeapi.ContainerStatsResponse{Stats: st}, nil
}

// ListContainerStats measures the running containers.
func (s *Server) ListContainerStats(_ context.Context, req *runtimeapi.ListContainerStatsRequest) (*runtimeapi.ListContainerStatsResponse, error) {
	f := req.GetFilter()
	resp := &runtimeapi.ListContainerStatsResponse{}
	for _, c := range s.listContainers() {
		state := c.look().state
		if state != runtimeapi.ContainerState_CONTAINER_RUNNING || f.GetId() != "" && f.GetId() != c.ID ||
			f.GetPodSandboxId() != "" && f.GetPodSandboxId() != c.SandboxID || !selects(f.GetLabelSelector(), c.Labels) {
			continue
		}
		st, _ := s.statsOf(c)
		resp.Stats = append(resp.Stats, st)
	}
	return resp, nil
}

// PodSandboxStats measures one pod.
func (s *Server) PodSandboxStats(_ context.Context, req *runtimeapi.PodSandboxStatsRequest) (*runtimeapi.PodSandboxStatsResponse, error) {
	b, err := s.findSandbox(req.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	return &runtimeapi.PodSandboxStatsResponse{Stats: s.podStats(b)}, nil
}

// ListPodSandboxStats measures all pods.
func (s *Server) ListPodSandboxStats(_ context.Context, req *runtimeapi.ListPodSandboxStatsRequest) (*runtimeapi.ListPodSandboxStatsResponse, error) {
	f := req.GetFilter()
	resp := &runtimeapi.ListPodSandboxStatsResponse{}
	for _, item := range s.listSandboxes(&runtimeapi.PodSandboxFilter{Id: f.GetId(), LabelSelector: f.GetLabelSelector()}) {
		b, err := s.findSandbox(item.GetId())
		if err != nil {
			continue // removed meanwhile
		}
		resp.Stats = append(resp.Stats, s.podStats(b))
	}
	return resp, nil
}

func (s *Server) podStats(b *sandbox) *runtimeapi.PodSandboxStats {
	var sum cgroup.Stats
	var list []*runtimeapi.ContainerStats
	for _, c := range s.containersOf(b.ID) {
		if c.look().running == nil {
			continue
		}
		st, u := s.statsOf(c)
		list = append(list, st)
		sum.CPUNano += u.CPUNano
		sum.Memory += u.Memory
		sum.WorkingSet += u.WorkingSet
		sum.RSS += u.RSS
		sum.PageFaults += u.PageFaults
		sum.MajorFaults += u.MajorFaults
		sum.Pids += u.Pids
	}
	now := s.clock.Now().UnixNano()
	return &runtimeapi.PodSandboxStats{
		Attributes: &runtimeapi.PodSandboxAttributes{Id: b.ID, Metadata: b.metadata(), Labels: b.Labels, Annotations: b.Annotations},
		Linux: &runtimeapi.LinuxPodSandboxStats{
			Cpu:        &runtimeapi.CpuUsage{Timestamp: now, UsageCoreNanoSeconds: u64(sum.CPUNano)},
			Memory:     memoryUsage(now, sum),
			Process:    &runtimeapi.ProcessUsage{Timestamp: now, ProcessCount: u64(sum.Pids)},
			Containers: list,
		},
	}
}
