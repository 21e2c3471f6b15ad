//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/devices"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/nvml"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/sharing"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/simulate"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/config"
	"github.com/kiwerk/kiwerk/internal/server"
	"github.com/kiwerk/kiwerk/internal/text"
)

const (
	// gpuDir is what the device plugin keeps, below the data directory.
	gpuDir      = "gpu"
	gpuFaults   = "faults.json"
	gpuSettings = 0o700
	gpuPath     = "/kiwerk/v1/gpus"
)

// readGPUConfig checks before anything is started what a person can get wrong.
func readGPUConfig(c config.GPUs) ([]byte, error) {
	if c.Simulate != "" {
		if _, err := simulate.Parse(c.Simulate, ""); err != nil {
			return nil, &cli.Failure{Code: cli.ExitUsage, What: text.S(text.GPUSimInvalid), Cause: err, Try: text.S(text.GPUSimTry)}
		}
	}
	if c.Config == "" {
		return nil, nil
	}
	data, err := os.ReadFile(c.Config)
	if err == nil {
		err = checkGPUConfig(c.Simulate, data)
	}
	if err != nil {
		return nil, &cli.Failure{Code: cli.ExitUsage, What: text.S(text.GPUConfigBad, c.Config), Cause: err}
	}
	return data, nil
}

// checkGPUConfig tries the file on the simulated GPUs; real ones are not known yet.
func checkGPUConfig(simulated string, data []byte) error {
	policy, err := sharing.Parse(data)
	if err != nil || simulated == "" {
		return err
	}
	system, err := simulate.Parse(simulated, "")
	if err != nil {
		return err
	}
	_, err = gpu.Partition(system, policy.Policy)
	return err
}

// buildGPUs makes the device plugin if there is anything to offer.
func (d *daemon) buildGPUs(ctx context.Context) error {
	policy := sharing.Default()
	if len(d.job.GPUSharing) > 0 {
		var err error
		if policy, err = sharing.Parse(d.job.GPUSharing); err != nil {
			return err
		}
	}
	cfg := devices.Config{
		Sharing: policy, KubeletDir: rootfs.KubeletDir, StateDir: filepath.Join(d.job.DataDir, gpuDir), NodeName: d.cluster.NodeName(),
		Logger: d.log.With("component", "gpu"), Clock: d.clock,
	}
	if d.job.Config.GPUs.Simulate == "" {
		return d.buildRealGPUs(ctx, cfg)
	}
	system, err := simulate.Parse(d.job.Config.GPUs.Simulate, d.cluster.NodeName())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.StateDir, gpuSettings); err != nil {
		return err
	}
	if cfg.Simulated, err = simulate.Open(system, filepath.Join(cfg.StateDir, gpuFaults), d.clock); err != nil {
		return err
	}
	cfg.Driver = cfg.Simulated
	d.gpus, err = devices.New(ctx, cfg)
	return err
}

// nvidiaControl is there where NVIDIA's kernel driver is.
const nvidiaControl = "/dev/nvidiactl"

// buildRealGPUs offers what the machine has. GPUs that do not answer are no
// reason not to start: the log says why there are none.
func (d *daemon) buildRealGPUs(ctx context.Context, cfg devices.Config) error {
	if _, err := os.Stat(nvidiaControl); err != nil {
		return nil //nolint:nilerr // No driver, no GPUs.
	}
	driver := nvml.Open(filepath.Join(d.job.BinDir, "kiwerk-nvml"))
	ask, cancel := context.WithTimeout(ctx, devices.DriverPatience)
	defer cancel()
	if _, err := driver.System(ask); err != nil {
		d.log.Error("this machine has GPUs which cannot be offered", "error", err)
		return driver.Close()
	}
	cfg.Driver = driver
	var err error
	d.gpus, err = devices.New(ask, cfg)
	return err
}

// attachGPUs labels the node; one that has no GPUs any more loses its labels.
func (d *daemon) attachGPUs(ctx context.Context) error {
	if d.gpus == nil {
		return devices.RemoveLabels(ctx, d.cluster.RESTConfig(), d.cluster.NodeName())
	}
	return d.gpus.Attach(ctx, d.cluster.RESTConfig())
}

// gpuSummary is what the node's line says of them.
func (d *daemon) gpuSummary() string {
	if d.gpus == nil || len(d.gpus.System().GPUs) == 0 {
		return ""
	}
	return fmt.Sprintf(", %d GPU", len(d.gpus.System().GPUs))
}

type gpuList struct {
	GPUs []devices.Status `json:"gpus"`
}

// gpuRequest names a GPU, and the error that it shall report.
type gpuRequest struct {
	name string
	xid  uint64
}

// FromRequest takes the path and ?xid=.
func (g *gpuRequest) FromRequest(r *http.Request) error {
	g.name = r.PathValue("gpu")
	if v := r.URL.Query().Get("xid"); v != "" {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || n == 0 {
			return server.Invalid("xid %q is not a number of an error", v)
		}
		g.xid = n
	}
	return nil
}

// gpuEndpoints are the GPUs in the platform's API; without a manager the list is empty.
func gpuEndpoints(m *devices.Manager) []server.Endpoint {
	list := server.Typed(http.MethodGet, gpuPath, server.Can("list", "gpus"), server.JSONCodec{}, func(context.Context, *struct{}) (*gpuList, error) {
		if m == nil {
			return &gpuList{GPUs: []devices.Status{}}, nil
		}
		return &gpuList{GPUs: m.List()}, nil
	})
	list.Summary = "GPUs of the node: how they do and who holds them"
	change := func(pattern, summary string, f func(context.Context, *gpuRequest) (gpu.GPU, error)) server.Endpoint {
		e := server.Typed(http.MethodPost, pattern, server.Can("update", "gpus"), server.JSONCodec{}, func(ctx context.Context, r *gpuRequest) (*cli.GPUDone, error) {
			if m == nil {
				return nil, server.NotFound("this node has no GPU %s", r.name)
			}
			g, err := f(ctx, r)
			switch {
			case errors.Is(err, simulate.ErrNoGPU):
				return nil, server.NotFound("%v", err)
			case errors.Is(err, devices.ErrNotSimulated):
				return nil, server.Errorf(http.StatusConflict, "NOT_SIMULATED", "%v; only simulated ones can be made to fail", err)
			case err != nil:
				return nil, err
			}
			return &cli.GPUDone{Index: g.Index, UUID: g.UUID, Name: g.Name}, nil
		})
		e.Summary = summary
		return e
	}
	return []server.Endpoint{
		list,
		change(gpuPath+"/{gpu}:fail", "Let a simulated GPU report the error ?xid=", func(_ context.Context, r *gpuRequest) (gpu.GPU, error) {
			if r.xid == 0 {
				return gpu.GPU{}, server.Invalid("?xid= is missing")
			}
			return m.Fail(r.name, r.xid)
		}),
		change(gpuPath+"/{gpu}:recover", "Take a GPU as usable again", func(ctx context.Context, r *gpuRequest) (gpu.GPU, error) { return m.Recover(ctx, r.name) }),
	}
}

func listGPUs(ctx context.Context, s cli.Session) (*cli.GPUs, error) {
	out := &cli.GPUs{}
	return out, ask(ctx, s, gpuPath, out)
}

func failGPU(ctx context.Context, s cli.Session, name string, xid uint64) (*cli.GPUDone, error) {
	return changeGPU(ctx, s, name, ":fail?xid="+strconv.FormatUint(xid, 10))
}

func recoverGPU(ctx context.Context, s cli.Session, name string) (*cli.GPUDone, error) {
	return changeGPU(ctx, s, name, ":recover")
}

func changeGPU(ctx context.Context, s cli.Session, name, verb string) (*cli.GPUDone, error) {
	out := &cli.GPUDone{}
	err := call(ctx, s, http.MethodPost, gpuPath+"/"+url.PathEscape(name)+verb, nil, out)
	var r *refusal
	switch {
	case !errors.As(err, &r):
		return out, err
	case r.code == http.StatusNotFound:
		return nil, &cli.Failure{Code: cli.ExitNotFound, What: text.S(text.GPUNotFound, name), Try: try("kiwerk gpu list")}
	case r.code == http.StatusConflict:
		return nil, &cli.Failure{What: text.S(text.GPUReal), Try: try("kiwerk up --simulate-gpus=h100:8")}
	}
	return nil, err
}
