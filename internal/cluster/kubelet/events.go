package kubelet

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kubeletevents "k8s.io/kubernetes/pkg/kubelet/events"
)

// pointless are the reasons of events that say what is not so here. Each is
// told for every pod, and writing them is a tenth of what a short pod costs.
var pointless = map[string]bool{
	// Pods share the host's network and its resolver, so no cluster DNS is missing.
	"MissingClusterDNS": true,
	// No image is ever pulled: the process runtime looks names up in a table.
	kubeletevents.PullingImage: true,
	kubeletevents.PulledImage:  true,
}

// newRecorder makes the kubelet's recorder of events; it ends with ctx.
func newRecorder(ctx context.Context, client corev1client.EventsGetter, nodeName string) record.EventRecorderLogger {
	b := record.NewBroadcaster(record.WithContext(ctx))
	b.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.Events("")})
	return quiet{b.NewRecorder(legacyscheme.Scheme, corev1.EventSource{Component: "kubelet", Host: nodeName})}
}

// quiet drops pointless events.
type quiet struct{ record.EventRecorderLogger }

// Event records what means something.
func (q quiet) Event(object runtime.Object, kind, reason, message string) {
	if !pointless[reason] {
		q.EventRecorderLogger.Event(object, kind, reason, message)
	}
}

// Eventf records what means something.
func (q quiet) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	if !pointless[reason] {
		q.EventRecorderLogger.Eventf(object, kind, reason, format, args...)
	}
}

// AnnotatedEventf records what means something.
func (q quiet) AnnotatedEventf(object runtime.Object, annotations map[string]string, kind, reason, format string, args ...any) {
	if !pointless[reason] {
		q.EventRecorderLogger.AnnotatedEventf(object, annotations, kind, reason, format, args...)
	}
}

// WithLogger keeps dropping.
func (q quiet) WithLogger(logger klog.Logger) record.EventRecorderLogger {
	return quiet{q.EventRecorderLogger.WithLogger(logger)}
}
