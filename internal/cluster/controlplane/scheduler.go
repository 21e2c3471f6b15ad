package controlplane

import (
	"context"
	"fmt"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

const schedulerName = "kube-scheduler"

// Scheduler is kube-scheduler.
type Scheduler struct {
	run
	events events.EventBroadcaster
}

// StartScheduler starts the scheduler with client and returns once it sees the cluster.
func StartScheduler(ctx context.Context, client *rest.Config) (*Scheduler, error) {
	s := &Scheduler{}
	// What is built below lives as long as the scheduler, not as long as the start.
	build, cancel := context.WithCancel(context.WithoutCancel(ctx))
	loop, err := s.build(build, client)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%s: %w", schedulerName, err)
	}
	s.start(build, schedulerName, func(ctx context.Context) error {
		defer cancel()
		defer s.events.Shutdown()
		return loop(ctx)
	})
	return s, nil
}

func (s *Scheduler) build(ctx context.Context, client *rest.Config) (func(context.Context) error, error) {
	cfg, err := latest.Default()
	if err != nil {
		return nil, err
	}
	cs, err := kubernetes.NewForConfig(client)
	if err != nil {
		return nil, err
	}
	dyn, err := dynamic.NewForConfig(client)
	if err != nil {
		return nil, err
	}
	name, err := cache.NewInformerName(schedulerName)
	if err != nil {
		return nil, err
	}
	informers := scheduler.NewInformerFactory(cs, 0, name)
	dynamicInformers := dynamicinformer.NewFilteredDynamicSharedInformerFactory(dyn, 0, "", nil)
	s.events = events.NewBroadcaster(&events.EventSinkImpl{Interface: cs.EventsV1()})
	sched, err := scheduler.New(ctx, cs, informers, dynamicInformers, profile.NewRecorderFactory(s.events),
		scheduler.WithComponentConfigVersion(cfg.APIVersion),
		scheduler.WithKubeConfig(client),
		scheduler.WithProfiles(cfg.Profiles...),
		scheduler.WithPercentageOfNodesToScore(cfg.PercentageOfNodesToScore),
		scheduler.WithPodMaxBackoffSeconds(cfg.PodMaxBackoffSeconds),
		scheduler.WithPodInitialBackoffSeconds(cfg.PodInitialBackoffSeconds),
		scheduler.WithParallelism(1),
	)
	if err != nil {
		return nil, err
	}
	if err = s.events.StartRecordingToSinkWithContext(ctx); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		informers.Start(ctx.Done())
		dynamicInformers.Start(ctx.Done())
		defer informers.Shutdown()
		defer dynamicInformers.Shutdown()
		informers.WaitForCacheSync(ctx.Done())
		dynamicInformers.WaitForCacheSync(ctx.Done())
		if err := sched.WaitForHandlersSync(ctx); err != nil {
			return err
		}
		sched.Run(ctx)
		return nil
	}, nil
}
