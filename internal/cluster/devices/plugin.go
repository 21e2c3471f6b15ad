package devices

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"

	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
)

// plugin serves one resource to the kubelet.
type plugin struct {
	api.UnimplementedDevicePluginServer
	registration.UnimplementedRegistrationServer

	manager  *Manager
	resource gpu.Resource
	server   *grpc.Server

	mu      sync.Mutex
	version chan struct{} // closed when something has changed
	done    chan struct{}
	ended   sync.Once
}

func newPlugin(m *Manager, r gpu.Resource) *plugin {
	return &plugin{manager: m, resource: r, version: make(chan struct{}), done: make(chan struct{})}
}

// start serves registration and plugin on one socket, where the kubelet finds it by itself.
func (p *plugin) start(tasks *sync.WaitGroup) error {
	path := p.manager.socket(p.resource.Name)
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("plugin for %s: %w", p.resource.Name, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("plugin for %s: %w", p.resource.Name, err), l.Close())
	}
	p.server = grpc.NewServer()
	api.RegisterDevicePluginServer(p.server, p)
	registration.RegisterRegistrationServer(p.server, p)
	tasks.Go(func() {
		if err := p.server.Serve(l); err != nil {
			p.manager.cfg.Logger.Error("serve devices", "resource", p.resource.Name, "error", err)
		}
	})
	return nil
}

func (p *plugin) stop() {
	p.ended.Do(func() { close(p.done) })
	if p.server != nil {
		p.server.Stop()
	}
}

// changed sends the list of devices again.
func (p *plugin) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.version)
	p.version = make(chan struct{})
}

func (p *plugin) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.version
}

// GetInfo tells the kubelet's watcher who we are.
func (p *plugin) GetInfo(context.Context, *registration.InfoRequest) (*registration.PluginInfo, error) {
	return &registration.PluginInfo{
		Type: registration.DevicePlugin, Name: p.resource.Name, Endpoint: p.manager.socket(p.resource.Name), SupportedVersions: []string{api.Version},
	}, nil
}

// NotifyRegistrationStatus hears whether the kubelet took us.
func (p *plugin) NotifyRegistrationStatus(_ context.Context, s *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !s.GetPluginRegistered() {
		p.manager.cfg.Logger.Error("the kubelet refuses the devices", "resource", p.resource.Name, "error", s.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}

// GetDevicePluginOptions says that allocations have preferences.
func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{GetPreferredAllocationAvailable: true}, nil
}

// ListAndWatch sends the devices, and again each time that one changes.
func (p *plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	for {
		next := p.next()
		if err := stream.Send(&api.ListAndWatchResponse{Devices: p.devices()}); err != nil {
			return err
		}
		select {
		case <-next:
		case <-p.done:
			return nil
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (p *plugin) devices() []*api.Device {
	list := make([]*api.Device, 0, len(p.resource.Units))
	for _, u := range p.resource.Units {
		d := &api.Device{ID: u.ID, Health: api.Healthy}
		if !p.manager.healthy(u) {
			d.Health = api.Unhealthy
		}
		if u.NUMA >= 0 {
			d.Topology = &api.TopologyInfo{Nodes: []*api.NUMANode{{ID: int64(u.NUMA)}}}
		}
		list = append(list, d)
	}
	return list
}

// GetPreferredAllocation chooses well-connected GPUs, and of shared ones the least used.
func (p *plugin) GetPreferredAllocation(_ context.Context, req *api.PreferredAllocationRequest) (*api.PreferredAllocationResponse, error) {
	resp := &api.PreferredAllocationResponse{}
	for _, c := range req.GetContainerRequests() {
		resp.ContainerResponses = append(resp.ContainerResponses, &api.ContainerPreferredAllocationResponse{
			DeviceIDs: gpu.Prefer(p.manager.system, p.resource, c.GetAvailableDeviceIDs(), c.GetMustIncludeDeviceIDs(), int(c.GetAllocationSize())),
		})
	}
	return resp, nil
}

// Allocate says what a container gets with its devices.
func (p *plugin) Allocate(_ context.Context, req *api.AllocateRequest) (*api.AllocateResponse, error) {
	resp := &api.AllocateResponse{}
	for _, c := range req.GetContainerRequests() {
		units, err := p.units(c.GetDevicesIds())
		if err != nil {
			return nil, err
		}
		one, err := p.manager.allocation(p.resource, units)
		if err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
		resp.ContainerResponses = append(resp.ContainerResponses, one)
	}
	p.manager.allocated()
	return resp, nil
}

func (p *plugin) units(ids []string) ([]gpu.Unit, error) {
	if p.resource.FailMultiple && p.resource.Shares() && len(ids) > 1 {
		return nil, status.Errorf(codes.InvalidArgument,
			"%d of %s: shared devices are asked for one at a time, because several may be the same device; ask for 1 (failRequestsGreaterThanOne)", len(ids), p.resource.Name)
	}
	var list []gpu.Unit
	for _, id := range ids {
		i := slices.IndexFunc(p.resource.Units, func(u gpu.Unit) bool { return u.ID == id })
		if i < 0 {
			return nil, status.Errorf(codes.NotFound, "%s has no device %s", p.resource.Name, id)
		}
		list = append(list, p.resource.Units[i])
	}
	return list, nil
}

// PreStartContainer is not asked for.
func (p *plugin) PreStartContainer(context.Context, *api.PreStartContainerRequest) (*api.PreStartContainerResponse, error) {
	return &api.PreStartContainerResponse{}, nil
}

// visible lists the devices of units, each once, in the order of their GPUs.
func visible(units []gpu.Unit, name func(gpu.Unit) string) string {
	units = slices.Clone(units)
	slices.SortStableFunc(units, func(a, b gpu.Unit) int {
		if a.GPU != b.GPU {
			return a.GPU - b.GPU
		}
		return strings.Compare(a.Index, b.Index)
	})
	var names []string
	for _, u := range units {
		if n := name(u); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}
