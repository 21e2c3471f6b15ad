package resources

import (
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/kube"
	"github.com/kiwerk/kiwerk/internal/serving"
)

const (
	// Image of the built-in model server; the local runtime and the operator know where it lies.
	Image = "kiwerk/modelserver"
	// Container is the name that KServe gives the container of a predictor.
	Container = "kserve-container"
	// AnnotationRetiredAt is when a revision lost its last share of the requests.
	AnnotationRetiredAt = "serving.kiwerk.dev/retired-at"

	program       = "kiwerk-modelserver"
	rootVolume    = "kiwerk-models"
	graceSeconds  = 30
	startupPeriod = 1
	// Readiness changes only when the server drains, which its deletion tells
	// sooner; each probe is a process.
	readinessPeriod = 5
	probeTimeout    = 5
	startupSeconds  = 600
)

// MakeDeployment is the child that runs a revision.
func MakeDeployment(isvc *v1beta1.InferenceService, rev Revision, replicas int32, p kube.Platform) *appsv1.Deployment {
	pod := *rev.Pod.DeepCopy()
	labels := map[string]string{v1beta1.LabelService: isvc.Name, v1beta1.LabelRevision: rev.Name}
	maps.Copy(pod.Labels, labels)
	p.Inject(&pod.Spec)
	surge, unavailable := intstr.FromInt32(1), intstr.FromInt32(0)
	history := int32(0)
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: isvc.Namespace, Name: rev.Name,
			Labels: maps.Clone(labels), Annotations: provenance(rev.Model),
		},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, RevisionHistoryLimit: &history,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: pod,
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable},
			},
		},
	}
}

// Retire marks a Deployment as without requests since at; the zero time takes the mark off.
func Retire(at time.Time) map[string]any {
	var value any
	if !at.IsZero() {
		value = at.UTC().Format(time.RFC3339Nano)
	}
	return map[string]any{"metadata": map[string]any{"annotations": map[string]any{AnnotationRetiredAt: value}}}
}

// Scale sets the number of pods of a Deployment.
func Scale(n int32) map[string]any {
	return map[string]any{"spec": map[string]any{"replicas": n}}
}

// provenance tells what a revision serves, for the gateway and for people.
func provenance(m serving.Model) map[string]string {
	a := map[string]string{}
	for key, value := range map[string]string{
		v1beta1.AnnotationModel: m.Name, v1beta1.AnnotationModelVersion: m.Version, v1beta1.AnnotationRun: m.RunID,
	} {
		if value != "" {
			a[key] = value
		}
	}
	return a
}

// makePod is the pod of a revision without what differs between platforms, so
// that the same wish has the same name everywhere.
func makePod(isvc *v1beta1.InferenceService, model serving.Model, p serving.Policy) corev1.PodTemplateSpec {
	spec, ext := &isvc.Spec.Predictor, ModelOf(&isvc.Spec)
	annotations := provenance(model)
	maps.Copy(annotations, spec.Annotations)
	labels := map[string]string{"component": v1beta1.PredictorComponent}
	maps.Copy(labels, spec.Labels)
	args := []string{"--model-name=" + isvc.Name, "--model-uri=" + model.Source}
	if model.Version != "" {
		args = append(args, "--model-version="+model.Version)
	}
	if p.AllowPrivateAddresses {
		args = append(args, "--allow-private-addresses")
	}
	volumes, mounts := spec.Volumes, ext.VolumeMounts
	if model.Root != "" {
		args = append(args, "--file-root="+model.Root)
		volumes = append(slices.Clone(volumes), corev1.Volume{Name: rootVolume, VolumeSource: corev1.VolumeSource{
			HostPath: &corev1.HostPathVolumeSource{Path: model.Root},
		}})
		mounts = append(slices.Clone(mounts), corev1.VolumeMount{Name: rootVolume, MountPath: model.Root, ReadOnly: true})
	}
	grace := int64(graceSeconds)
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: labels, Annotations: annotations},
		Spec: corev1.PodSpec{
			ServiceAccountName: spec.ServiceAccountName, NodeSelector: spec.NodeSelector, Tolerations: spec.Tolerations,
			Affinity: spec.Affinity, PriorityClassName: spec.PriorityClassName, SecurityContext: spec.SecurityContext,
			Volumes:                       volumes,
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: Container, Image: Image, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{program}, Args: args,
				Env: ext.Env, Resources: ext.Resources, VolumeMounts: mounts, SecurityContext: ext.SecurityContext,
				StartupProbe:   check(startupPeriod, startupSeconds/startupPeriod),
				ReadinessProbe: check(readinessPeriod, 2),
				// What a model server that cannot load its model says last is told in the status.
				TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
			}},
		},
	}
}

// check asks the program itself, because pods may share the host's network
// and then only the program knows its port.
func check(period, failures int32) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{program, "--check"}}},
		PeriodSeconds: period, TimeoutSeconds: probeTimeout, FailureThreshold: failures,
	}
}
