//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kiwerk/kiwerk/internal/buildinfo"
	"github.com/kiwerk/kiwerk/internal/cluster"
	"github.com/kiwerk/kiwerk/internal/cluster/cri"
	"github.com/kiwerk/kiwerk/internal/cluster/node"
	"github.com/kiwerk/kiwerk/internal/cluster/rootfs"
	"github.com/kiwerk/kiwerk/internal/text"
)

// criSocket is the name that package cri gives to its socket.
const criSocket = "cri.sock"

// agentInContainer is where the process runtime shows kiwerk-agent to containers.
const agentInContainer = rootfs.ProgramDir + "/kiwerk-agent"

// ports2nodes gives the ports of the process runtimes to the annotator of pods.
type ports2nodes struct{ sources []*cri.Server }

// Watch implements node.PortSource.
func (p *ports2nodes) Watch(ctx context.Context) <-chan node.Port {
	out := make(chan node.Port)
	var tasks sync.WaitGroup
	for _, source := range p.sources {
		in := source.WatchPorts(ctx)
		tasks.Go(func() {
			for port := range in {
				select {
				case out <- node.Port(port):
				case <-ctx.Done():
					return
				}
			}
		})
	}
	go func() {
		tasks.Wait()
		close(out)
	}()
	return out
}

func (d *daemon) setPhase(name string) {
	d.mu.Lock()
	d.phase = name
	d.mu.Unlock()
	d.front.SetPhase(name)
}

func (d *daemon) currentPhase() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.phase
}

// tell reports a phase to the launcher. A launcher that is gone ends us elsewhere.
func (d *daemon) tell(phase, detail string, took time.Duration) {
	if err := d.control.Send(event{Kind: eventPhase, Phase: phase, Detail: detail, Took: took}); err != nil {
		d.log.Warn("the launcher does not listen", "error", err)
	}
}

// tellTakenOver says what an earlier daemon has left, if anything.
func (d *daemon) tellTakenOver(found cri.TakenOver) {
	if found == (cri.TakenOver{}) {
		return
	}
	words := text.S(text.UpDetailAdopted, found.Adopted)
	if found.Lost > 0 {
		words = text.S(text.UpDetailLost, found.Adopted, found.Lost)
	}
	say := wireSentence(words)
	if err := d.control.Send(event{Kind: eventPhase, Phase: phasePods, Say: &say, Took: time.Since(d.begun)}); err != nil {
		d.log.Warn("the launcher does not listen", "error", err)
	}
}

// onAPI returns a channel that is closed when the API server answers.
func (d *daemon) onAPI() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.api = make(chan struct{})
	return d.api
}

// clusterPhase turns the phases of the cluster into those of a person.
func (d *daemon) clusterPhase(name string, took time.Duration) {
	switch name {
	case cluster.PhaseCertificates, cluster.PhaseStore:
		d.kubernetesTook += took
	case cluster.PhaseAPIServer:
		d.kubernetesTook += took
		d.tell(phaseKubernetes, fmt.Sprintf("%s, API %s", buildinfo.Get().Kubernetes, d.cluster.APIAddress()), d.kubernetesTook)
		d.setPhase(phaseControllers)
		close(d.api)
	case cluster.PhaseNode:
		d.tell(phaseNode, machine(strings.Join(d.cluster.NodeNames(), ", "))+d.gpuSummary(), took)
	}
}

// startPlatform opens the stores while the API server comes up, and starts the
// controllers when it is there.
func (d *daemon) startPlatform(ctx context.Context, api <-chan struct{}) error {
	if err := d.app.Open(ctx); err != nil {
		return err
	}
	select {
	case <-api:
	case <-ctx.Done():
		return ctx.Err()
	}
	begun := time.Now()
	if err := d.app.Start(ctx, d.cluster.RESTConfig()); err != nil {
		return err
	}
	d.tell(phaseControllers, d.app.Summary(), time.Since(begun))
	d.setPhase(phaseNode)
	return nil
}

// stop ends the parts in the reverse order. With pods, containers get their
// grace period and are gone afterwards; otherwise they live on.
//
// The kubelet goes before the containers, or it would start them again; the
// front goes after them, because a step may have a last metric to log.
func (d *daemon) stop(pods bool) error {
	d.front.SetPhase("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), stopRest)
	defer cancel()
	errs := []error{d.app.StopControllers(ctx), d.cluster.Stop(ctx)}
	if pods {
		grace, cancel := context.WithTimeout(context.Background(), stopPods)
		errs = append(errs, eachRuntime(d.runtimes(), func(r *cri.Server) error { return r.StopContainers(grace) }))
		cancel()
	}
	rest, cancel := context.WithTimeout(context.Background(), stopRest)
	defer cancel()
	if d.gpus != nil {
		errs = append(errs, d.gpus.Stop(rest))
	}
	errs = append(errs, d.images.Stop())
	errs = append(errs, eachRuntime(d.runtimes(), func(r *cri.Server) error { return r.Stop(rest) }), d.front.Stop(rest), d.app.Stop(rest))
	if d.network != nil {
		errs = append(errs, d.network.stop())
	}
	err := errors.Join(errs...)
	d.log.Info("stopped", "pods", pods, "error", err)
	return err
}

// machine says what the node has.
func machine(name string) string {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return name
	}
	gib := (uint64(info.Totalram)*uint64(info.Unit) + 1<<29) >> 30 //nolint:unconvert // Totalram has another type on other architectures.
	return fmt.Sprintf("%s: %d CPU, %d GiB", name, runtime.NumCPU(), gib)
}
