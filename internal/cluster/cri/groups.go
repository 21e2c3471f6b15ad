//go:build linux

package cri

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
)

const (
	// podPids bounds processes and threads of a pod: far above what frameworks
	// start on a large machine, far below what stops one.
	podPids = 4096
	// allPids bounds those of all pods together where there are no cgroups.
	allPids = 2 * podPids
)

// CgroupsFile in the state directory says where the cgroups are; without it there are none.
const CgroupsFile = "cgroups.json"

func (s *Server) groupsFile() string { return filepath.Join(s.cfg.StateDir, CgroupsFile) }

// openGroups finds a place for the pods' cgroups. Where there is none,
// containers run without limits, and [Server.Limits] says so.
func (s *Server) openGroups() error {
	before, err := cgroup.Saved(s.groupsFile())
	if err != nil {
		s.log.Warn("read the place of earlier cgroups", "error", err)
	}
	s.groups, err = cgroup.Open(s.cfg.CgroupName)
	var none *cgroup.Unavailable
	switch {
	case errors.As(err, &none):
		s.noGroups = none
		s.log.Warn("limits of pods are not enforced", "reason", none.Error())
		s.oldGroups = before
		if err := os.Remove(s.groupsFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	case err != nil:
		return err
	}
	if before != nil && !s.groups.Is(before) {
		s.oldGroups = before
	}
	return s.groups.Save(s.groupsFile())
}

// Limits says what bounds pods: the controllers in use, or why there are none.
func (s *Server) Limits() (bounds string, none *cgroup.Unavailable) {
	if s.groups == nil {
		return "", s.noGroups
	}
	return s.groups.Bounds(), nil
}

// cleanGroups removes what a crash left: groups of pods and containers that nobody knows or that have ended.
func (s *Server) cleanGroups() {
	if err := s.oldGroups.Remove(); err != nil {
		s.log.Warn("remove cgroups of an earlier start", "error", err)
	}
	if s.groups == nil {
		return
	}
	known := map[string]bool{}
	for _, b := range s.sandboxes {
		known[b.group()] = true
	}
	for _, pod := range s.groups.Children() {
		if !known[pod] {
			s.removeGroup(pod)
			continue
		}
		for _, id := range s.groups.Children(pod) {
			if c := s.containers[id]; c == nil || c.running == nil {
				s.removeGroup(pod, id)
			}
		}
	}
}

func (s *Server) removeGroup(at ...string) {
	if s.groups == nil {
		return
	}
	if err := s.groups.Remove(at...); err != nil {
		s.log.Warn("remove cgroup", "group", at, "error", err)
	}
}

// makeGroup makes the cgroup of a container that is about to start.
func (s *Server) makeGroup(c *container) (cgroup.Group, error) {
	if s.groups == nil {
		return nil, nil
	}
	s.limits.Lock()
	defer s.limits.Unlock()
	pod, limits, err := s.podGroup(c.SandboxID)
	if err != nil {
		return nil, err
	}
	limits.Pids = podPids
	if _, err := s.groups.MakeParent(limits, pod); err != nil {
		return nil, err
	}
	g, err := s.groups.Make(c.Limits, pod, c.ID)
	if err != nil {
		return nil, errors.Join(err, s.groups.Remove(pod, c.ID))
	}
	return g, nil
}

// podGroup returns name and limits of a pod's cgroup.
func (s *Server) podGroup(sandboxID string) (string, cgroup.Limits, error) {
	b, err := s.findSandbox(sandboxID)
	if err != nil {
		return "", cgroup.Limits{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.group(), b.Limits, nil
}

func (s *Server) dropGroup(c *container) {
	if pod, _, err := s.podGroup(c.SandboxID); err == nil {
		s.removeGroup(pod, c.ID)
	}
}

// limitsOf translates what the kubelet wants.
func limitsOf(r *runtimeapi.LinuxContainerResources) cgroup.Limits {
	return cgroup.Limits{
		CPUShares: r.GetCpuShares(), CPUQuota: r.GetCpuQuota(), CPUPeriod: r.GetCpuPeriod(), Memory: r.GetMemoryLimitInBytes(),
		OOMGroup: r.GetUnified()["memory.oom.group"] == "1",
	}
}

// resourcesOf is what a container's status says of its limits.
func (c *container) resourcesOf() *runtimeapi.ContainerResources {
	l := c.Limits
	return &runtimeapi.ContainerResources{Linux: &runtimeapi.LinuxContainerResources{
		CpuShares: l.CPUShares, CpuQuota: l.CPUQuota, CpuPeriod: l.CPUPeriod, MemoryLimitInBytes: l.Memory,
	}}
}

// UpdateContainerResources changes the limits of a container, also of one that runs.
func (s *Server) UpdateContainerResources(_ context.Context, req *runtimeapi.UpdateContainerResourcesRequest) (*runtimeapi.UpdateContainerResourcesResponse, error) {
	c, err := s.findContainer(req.GetContainerId())
	if err != nil {
		return nil, err
	}
	if s.groups == nil {
		return nil, status.Errorf(codes.FailedPrecondition, "the resources of container %s cannot be changed: %v", c.Name, s.noGroups)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := merge(c.Limits, limitsOf(req.GetLinux()))
	if c.running != nil {
		if err := c.Spec.Cgroup.Set(changed); err != nil {
			return nil, status.Errorf(codes.FailedPrecondition, "container %s: %v", c.Name, err)
		}
	}
	c.Limits = changed
	if err := s.saveContainer(c); err != nil {
		return nil, fmt.Errorf("record container %s: %w", c.Name, err)
	}
	return &runtimeapi.UpdateContainerResourcesResponse{}, nil
}

// infoLimits is the key of a pod's own limits in its verbose status.
const infoLimits = "limits"

// PodLimits reads the limits of a pod as a whole out of its verbose status; the
// zero value are those of a pod that has not been given any.
func PodLimits(status *runtimeapi.PodSandboxStatusResponse) (cgroup.Limits, error) {
	var l cgroup.Limits
	err := json.Unmarshal([]byte(status.GetInfo()[infoLimits]), &l)
	return l, err
}

// UpdatePodSandboxResources changes the limits of a pod as a whole. Where there
// are no cgroups they are only noted: what cannot be changed then are those of
// its containers, which says so.
func (s *Server) UpdatePodSandboxResources(_ context.Context, req *runtimeapi.UpdatePodSandboxResourcesRequest) (*runtimeapi.UpdatePodSandboxResourcesResponse, error) {
	b, err := s.findSandbox(req.GetPodSandboxId())
	if err != nil {
		return nil, err
	}
	s.limits.Lock()
	defer s.limits.Unlock()
	s.mu.Lock()
	group, before := b.group(), b.Limits
	s.mu.Unlock()
	changed := merge(before, withOverhead(limitsOf(req.GetResources()), limitsOf(req.GetOverhead())))
	if s.groups != nil {
		// Without a directory no container was started yet; the first one makes it.
		if err := s.groups.Group(group).Set(changed); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, status.Errorf(codes.FailedPrecondition, "pod %s/%s: %v", b.Namespace, b.Name, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	b.Limits = changed
	if err := s.saveSandbox(b); err != nil {
		return nil, fmt.Errorf("record pod %s/%s: %w", b.Namespace, b.Name, err)
	}
	return &runtimeapi.UpdatePodSandboxResourcesResponse{}, nil
}

// withOverhead adds what a pod may use beside its containers.
func withOverhead(l, overhead cgroup.Limits) cgroup.Limits {
	for _, f := range []struct{ to, more *int64 }{
		{&l.CPUShares, &overhead.CPUShares},
		{&l.CPUQuota, &overhead.CPUQuota},
		{&l.Memory, &overhead.Memory},
	} {
		if *f.to > 0 && *f.more > 0 {
			*f.to += *f.more
		}
	}
	return l
}

// merge lays what an update says over what there is.
func merge(old, update cgroup.Limits) cgroup.Limits {
	for _, f := range []struct{ to, from *int64 }{
		{&old.CPUShares, &update.CPUShares},
		{&old.CPUQuota, &update.CPUQuota},
		{&old.CPUPeriod, &update.CPUPeriod},
		{&old.Memory, &update.Memory},
	} {
		if *f.from != 0 {
			*f.to = *f.from
		}
	}
	return old
}

// Stats measures a running container: by its cgroup where it has one, else by
// summing over its processes.
func (s *Server) Stats(id string) (cgroup.Stats, error) {
	running, c, err := s.findRunning(id)
	if err != nil {
		return cgroup.Stats{}, err
	}
	if len(c.Spec.Cgroup) > 0 {
		u, err := c.Spec.Cgroup.Stats()
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return u, err
		}
	}
	return measure(running.State().InitPID), nil
}
