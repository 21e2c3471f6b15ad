package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

const (
	// ClassName is the default StorageClass.
	ClassName = "kiwerk-local"
	// ProvisionerName is what classes name to get such volumes.
	ProvisionerName = "kiwerk.dev/local"

	annotationDefault       = "storageclass.kubernetes.io/is-default-class"
	annotationProvisionedBy = "pv.kubernetes.io/provisioned-by"

	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Minute
	// Containers may run as any user; the folder above keeps everybody else out.
	folderMode = 0o777
	parentMode = 0o700
)

// key names one object of the queue.
type key struct {
	volume          bool
	namespace, name string
}

// Provisioner makes and removes local volumes.
type Provisioner struct {
	dir    string
	logger *slog.Logger
	client kubernetes.Interface

	claims  corelisters.PersistentVolumeClaimLister
	volumes corelisters.PersistentVolumeLister
	classes storagelisters.StorageClassLister
	factory informers.SharedInformerFactory
	queue   workqueue.TypedRateLimitingInterface[key]
	events  record.EventRecorder
}

// New returns a provisioner of folders below dir that has not been started.
func New(cfg *rest.Config, dir string, logger *slog.Logger) (*Provisioner, error) {
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	p := &Provisioner{
		dir: dir, logger: logger, client: client, factory: factory,
		claims:  factory.Core().V1().PersistentVolumeClaims().Lister(),
		volumes: factory.Core().V1().PersistentVolumes().Lister(),
		classes: factory.Storage().V1().StorageClasses().Lister(),
		queue:   workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[key](firstRetry, lastRetry)),
	}
	claims := factory.Core().V1().PersistentVolumeClaims().Informer()
	volumes := factory.Core().V1().PersistentVolumes().Informer()
	_, errClaims := claims.AddEventHandler(p.enqueue(false))
	_, errVolumes := volumes.AddEventHandler(p.enqueue(true))
	return p, errors.Join(errClaims, errVolumes)
}

// Run makes the StorageClass and serves claims until ctx ends.
func (p *Provisioner) Run(ctx context.Context) error {
	if err := os.MkdirAll(p.dir, parentMode); err != nil {
		return fmt.Errorf("folder of volumes: %w", err)
	}
	if err := p.ensureClass(ctx); err != nil {
		return fmt.Errorf("storage class %s: %w", ClassName, err)
	}
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: p.client.CoreV1().Events("")})
	p.events = broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: ProvisionerName})

	p.factory.Start(ctx.Done())
	defer p.factory.Shutdown()
	p.factory.WaitForCacheSync(ctx.Done())
	var worker sync.WaitGroup
	worker.Go(func() {
		for p.next(ctx) {
		}
	})
	<-ctx.Done()
	p.queue.ShutDown()
	worker.Wait()
	return nil
}

func (p *Provisioner) enqueue(volume bool) cache.ResourceEventHandlerFuncs {
	add := func(o any) {
		if m, ok := o.(metav1.Object); ok {
			p.queue.Add(key{volume, m.GetNamespace(), m.GetName()})
		}
	}
	return cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o any) { add(o) }}
}

func (p *Provisioner) next(ctx context.Context) bool {
	k, quit := p.queue.Get()
	if quit {
		return false
	}
	defer p.queue.Done(k)
	var err error
	if k.volume {
		err = p.reclaim(ctx, k.name)
	} else {
		err = p.provision(ctx, k.namespace, k.name)
	}
	if err != nil && ctx.Err() == nil {
		p.logger.Error("local volume", "namespace", k.namespace, "name", k.name, "error", err)
		p.queue.AddRateLimited(k)
		return true
	}
	p.queue.Forget(k)
	return true
}

// ensureClass leaves a class that exists as it is: the user may have taken the default away from it.
func (p *Provisioner) ensureClass(ctx context.Context) error {
	reclaim, binding := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate
	_, err := p.client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: ClassName, Annotations: map[string]string{annotationDefault: "true"}},
		Provisioner: ProvisionerName, ReclaimPolicy: &reclaim, VolumeBindingMode: &binding,
	}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// provision makes the volume of a claim that waits for one of ours.
func (p *Provisioner) provision(ctx context.Context, namespace, name string) error {
	claim, err := p.claims.PersistentVolumeClaims(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || claim.DeletionTimestamp != nil || claim.Spec.VolumeName != "" || claim.Spec.StorageClassName == nil {
		return err
	}
	class, err := p.classes.Get(*claim.Spec.StorageClassName)
	if apierrors.IsNotFound(err) || err == nil && class.Provisioner != ProvisionerName {
		return nil
	}
	if err != nil {
		return err
	}
	if why := unsupported(claim); why != "" {
		p.events.Event(claim, corev1.EventTypeWarning, "ProvisioningFailed", why)
		return nil
	}
	volume := volumeFor(claim, class, p.dir)
	if err = p.makeFolder(volume.Name); err != nil {
		p.events.Eventf(claim, corev1.EventTypeWarning, "ProvisioningFailed", "make the folder of the volume: %v", err)
		return err
	}
	_, err = p.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		p.events.Eventf(claim, corev1.EventTypeNormal, "ProvisioningSucceeded", "Made volume %s", volume.Name)
	}
	return err
}

// reclaim removes a volume of ours whose claim is gone, with its data.
func (p *Provisioner) reclaim(ctx context.Context, name string) error {
	volume, err := p.volumes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil || !reclaimable(volume, p.dir) {
		return err
	}
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // Only a directory handle.
	if err = root.RemoveAll(volume.Name); err != nil {
		p.events.Eventf(volume, corev1.EventTypeWarning, "VolumeFailedDelete", "remove the folder of the volume: %v", err)
		return err
	}
	err = p.client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(volume.UID))})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func (p *Provisioner) makeFolder(name string) error {
	root, err := os.OpenRoot(p.dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // Only a directory handle.
	if err = root.Mkdir(name, parentMode); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	// After Mkdir, because the umask does not apply to Chmod.
	return root.Chmod(name, folderMode)
}

// reclaimable tells whether the volume is ours, its claim is gone and its data is to go, too.
func reclaimable(v *corev1.PersistentVolume, dir string) bool {
	return v.Annotations[annotationProvisionedBy] == ProvisionerName &&
		v.Spec.HostPath != nil && v.Spec.HostPath.Path == filepath.Join(dir, v.Name) &&
		v.Spec.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimDelete &&
		v.Status.Phase == corev1.VolumeReleased && v.DeletionTimestamp == nil
}

// unsupported tells what a claim asks for that a folder cannot give.
func unsupported(claim *corev1.PersistentVolumeClaim) string {
	switch {
	case claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == corev1.PersistentVolumeBlock:
		return "spec.volumeMode Block is not available from " + ClassName + ", which makes folders; use Filesystem"
	case claim.Spec.Selector != nil:
		return "spec.selector cannot be used with " + ClassName + ", which makes a new volume for each claim; leave it out"
	case claim.Spec.DataSource != nil || claim.Spec.DataSourceRef != nil:
		return "spec.dataSource is not supported by " + ClassName + "; copy the data in a pod"
	default:
		return ""
	}
}

// volumeFor describes the volume of a claim. Its name follows from the claim, so a second attempt finds the first.
func volumeFor(claim *corev1.PersistentVolumeClaim, class *storagev1.StorageClass, dir string) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	policy := corev1.PersistentVolumeReclaimDelete
	if class.ReclaimPolicy != nil {
		policy = *class.ReclaimPolicy
	}
	kind := corev1.HostPathDirectory
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotationProvisionedBy: ProvisionerName}},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: policy,
			StorageClassName:              class.Name,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID, ResourceVersion: claim.ResourceVersion,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: filepath.Join(dir, name), Type: &kind},
			},
		},
	}
}
