package kubelet

import (
	"context"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	kubeletevents "k8s.io/kubernetes/pkg/kubelet/events"
)

// missingDNS says what is not so here: pods share the host's network and its
// resolver, so no cluster DNS is missing.
const missingDNS = "MissingClusterDNS"

// newRecorder makes the kubelet's recorder of events; it ends with ctx.
func newRecorder(ctx context.Context, client corev1client.EventsGetter, nodeName string, served Served) record.EventRecorderLogger {
	b := record.NewBroadcaster(record.WithContext(ctx))
	b.StartRecordingToSink(&corev1client.EventSinkImpl{Interface: client.Events("")})
	return quiet{b.NewRecorder(legacyscheme.Scheme, corev1.EventSource{Component: "kubelet", Host: nodeName}), &images{served: served, told: map[string]bool{}}}
}

// Served tells what serves for an image name, and whether that is an OCI image
// or would be one. Nothing is known of a name that nobody asked for.
type Served func(image string) (what string, oci bool)

// images words the kubelet's events about images.
type images struct {
	served Served
	mu     sync.Mutex
	told   map[string]bool
}

// maxTold bounds the memory of what was told.
const maxTold = 4096

// word returns what an event should say, "" for nothing. Where something else
// serves for an image, the kubelet's words are wrong, and writing them for
// each pod is a tenth of what a short pod costs: it is told once for pods
// that are made after one another by the same controller.
func (i *images) word(object runtime.Object, reason, message string) string {
	if i.served == nil {
		return ""
	}
	name := quoted(message)
	what, oci := i.served(name)
	switch {
	case oci && (what == "" || reason == kubeletevents.PullingImage):
		return message
	case oci:
		return strings.TrimSuffix(message, ".") + " (" + what + ")"
	case reason == kubeletevents.PullingImage || !i.first(object, name):
		return ""
	}
	return fmt.Sprintf("Container image %q: %s", name, what)
}

func (i *images) first(object runtime.Object, image string) bool {
	key := image
	if ref, ok := object.(*corev1.ObjectReference); ok {
		key = ref.Namespace + "/" + ref.Name[:max(0, strings.LastIndexByte(ref.Name, '-'))] + " " + image
		if !strings.Contains(ref.Name, "-") {
			key = ref.Namespace + "/" + ref.Name + " " + image
		}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.told[key] {
		return false
	}
	if len(i.told) == maxTold {
		clear(i.told)
	}
	i.told[key] = true
	return true
}

// quoted is the first thing in quotes.
func quoted(message string) string {
	_, rest, _ := strings.Cut(message, `"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// quiet drops events that say what is not so here, and words others anew.
type quiet struct {
	record.EventRecorderLogger
	images *images
}

// Event records what means something.
func (q quiet) Event(object runtime.Object, kind, reason, message string) {
	switch reason {
	case missingDNS:
		return
	case kubeletevents.PullingImage, kubeletevents.PulledImage:
		if message = q.images.word(object, reason, message); message == "" {
			return
		}
	}
	q.EventRecorderLogger.Event(object, kind, reason, message)
}

// Eventf records what means something.
func (q quiet) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	q.Event(object, kind, reason, fmt.Sprintf(format, args...))
}

// AnnotatedEventf records what means something.
func (q quiet) AnnotatedEventf(object runtime.Object, annotations map[string]string, kind, reason, format string, args ...any) {
	if reason != missingDNS {
		q.EventRecorderLogger.AnnotatedEventf(object, annotations, kind, reason, format, args...)
	}
}

// WithLogger keeps dropping.
func (q quiet) WithLogger(logger klog.Logger) record.EventRecorderLogger {
	return quiet{q.EventRecorderLogger.WithLogger(logger), q.images}
}
