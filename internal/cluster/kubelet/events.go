package kubelet

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// missingDNS is told for every pod of a node without cluster DNS. Pods share
// the host's network and its resolver here, so it warns of nothing.
const missingDNS = "MissingClusterDNS"

// newRecorder makes the kubelet's recorder of events; it ends with ctx.
func newRecorder(ctx context.Context, client corev1client.EventsGetter, nodeName string) record.EventRecorderLogger {
	b := record.NewBroadcaster(record.WithContext(ctx))
	b.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.Events("")})
	return quiet{b.NewRecorder(legacyscheme.Scheme, corev1.EventSource{Component: "kubelet", Host: nodeName})}
}

// quiet drops events that mean nothing here.
type quiet struct{ record.EventRecorderLogger }

// Event records unless the reason is one to drop.
func (q quiet) Event(object runtime.Object, kind, reason, message string) {
	if reason != missingDNS {
		q.EventRecorderLogger.Event(object, kind, reason, message)
	}
}

// Eventf records unless the reason is one to drop.
func (q quiet) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	if reason != missingDNS {
		q.EventRecorderLogger.Eventf(object, kind, reason, format, args...)
	}
}

// AnnotatedEventf records unless the reason is one to drop.
func (q quiet) AnnotatedEventf(object runtime.Object, annotations map[string]string, kind, reason, format string, args ...any) {
	if reason != missingDNS {
		q.EventRecorderLogger.AnnotatedEventf(object, annotations, kind, reason, format, args...)
	}
}

// WithLogger keeps dropping.
func (q quiet) WithLogger(logger klog.Logger) record.EventRecorderLogger {
	return quiet{q.EventRecorderLogger.WithLogger(logger)}
}
