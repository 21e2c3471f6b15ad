package controlplane

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	kcmapp "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kcmconfig "k8s.io/kubernetes/cmd/kube-controller-manager/app/config"
	kcmoptions "k8s.io/kubernetes/cmd/kube-controller-manager/app/options"
	"k8s.io/kubernetes/cmd/kube-controller-manager/names"

	"github.com/kiwerk/kiwerk/internal/cluster/pki"
)

const (
	managerName        = "kube-controller-manager"
	controllerShutdown = 2 * time.Second
)

// enabled lists the controllers that a single local node has work for.
func enabled() []string {
	return []string{
		names.NamespaceController,
		names.ServiceAccountController,
		names.ServiceAccountTokenController,
		names.RootCACertificatePublisherController,
		names.ClusterRoleAggregationController,
		names.GarbageCollectorController,
		names.TTLAfterFinishedController,
		names.PodGarbageCollectorController,
		names.ResourceQuotaController,
		names.DisruptionController,
		names.JobController,
		names.CronJobController,
		names.DeploymentController,
		names.ReplicaSetController,
		names.ReplicationControllerController,
		names.StatefulSetController,
		names.DaemonSetController,
		names.HorizontalPodAutoscalerController,
		names.EndpointsController,
		names.EndpointSliceController,
		names.EndpointSliceMirroringController,
		names.NodeLifecycleController,
		names.TaintEvictionController,
		names.PersistentVolumeBinderController,
		names.PersistentVolumeClaimProtectionController,
		names.PersistentVolumeProtectionController,
		names.EphemeralVolumeController,
		names.PersistentVolumeExpanderController,
		names.VolumeAttributesClassProtectionController,
		names.ValidatingAdmissionPolicyStatusController,
		names.ServiceCIDRController,
		names.ResourceClaimController,
		names.CertificateSigningRequestApprovingController,
		names.CertificateSigningRequestCleanerController,
	}
}

// Controllers is kube-controller-manager.
type Controllers struct {
	run
}

// StartControllers starts the controllers with client; they stop with [Controllers.Stop].
func StartControllers(ctx context.Context, client *rest.Config, certs *pki.Store) (*Controllers, error) {
	cfg, err := controllerConfig(ctx, client, certs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", managerName, err)
	}
	c := &Controllers{}
	c.start(ctx, managerName, func(ctx context.Context) error { return kcmapp.Run(ctx, cfg.Complete()) })
	return c, nil
}

func controllerConfig(ctx context.Context, client *rest.Config, certs *pki.Store) (*kcmconfig.Config, error) {
	o, err := kcmoptions.NewKubeControllerManagerOptions()
	if err != nil {
		return nil, err
	}
	o.Generic.LeaderElection.LeaderElect = false
	o.Generic.Controllers = enabled()
	o.SecureServing.BindPort = 0
	o.SAController.ServiceAccountKeyFile = certs.ServiceAccountKey()
	o.SAController.RootCAFile = certs.CAFile()
	o.ControllerShutdownTimeout = controllerShutdown
	known, off, aliases := kcmapp.KnownControllers(), kcmapp.ControllersDisabledByDefault(), kcmapp.ControllerAliases()
	if err = o.Validate(known, off, aliases); err != nil {
		return nil, err
	}
	cs, err := kubernetes.NewForConfig(client)
	if err != nil {
		return nil, err
	}
	events := record.NewBroadcaster(record.WithContext(ctx))
	c := &kcmconfig.Config{
		Client: cs, Kubeconfig: client,
		EventBroadcaster:          events,
		EventRecorder:             events.NewRecorder(scheme.Scheme, corev1.EventSource{Component: managerName}),
		ControllerShutdownTimeout: o.ControllerShutdownTimeout,
		ComponentGlobalsRegistry:  o.ComponentGlobalsRegistry,
	}
	return c, o.ApplyTo(c, known, off, aliases)
}

// run is a goroutine with an end that can be waited for.
type run struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func (r *run) start(ctx context.Context, name string, f func(context.Context) error) {
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.name, r.done = name, make(chan struct{})
	go func() {
		defer close(r.done)
		r.err = f(ctx)
	}()
}

// Stop ends the component and waits for it.
func (r *run) Stop(ctx context.Context) error {
	r.cancel()
	select {
	case <-r.done:
		if errors.Is(r.err, context.Canceled) {
			return nil
		}
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("%s did not stop in time", r.name)
	}
}

// Done is closed when the component has ended.
func (r *run) Done() <-chan struct{} { return r.done }

// Err is why it ended, once Done is closed.
func (r *run) Err() error { return r.err }
