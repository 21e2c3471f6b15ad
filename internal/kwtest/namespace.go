package kwtest

import (
	"context"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const maxPrefix = 40

var notName = regexp.MustCompile(`[^a-z0-9]+`)

// Client talks to the shared control plane without a cache. A nil scheme stands for the built-in kinds.
func Client(tb testing.TB, scheme *runtime.Scheme) client.WithWatch {
	tb.Helper()
	if scheme == nil {
		scheme = clientgoscheme.Scheme
	}
	c, err := client.NewWithWatch(Config(tb), client.Options{Scheme: scheme})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Namespace makes a namespace for this test, named after it and deleted with it.
func Namespace(tb testing.TB) string {
	tb.Helper()
	c := Client(tb, nil)
	prefix := strings.Trim(notName.ReplaceAllString(strings.ToLower(tb.Name()), "-"), "-")
	prefix = strings.Trim(prefix[:min(len(prefix), maxPrefix)], "-")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-"}}
	if err := c.Create(tb.Context(), ns); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The test's own context has ended by now. The deletion goes on by itself.
		if err := c.Delete(context.WithoutCancel(tb.Context()), ns); client.IgnoreNotFound(err) != nil {
			tb.Errorf("namespace %s: %v", ns.Name, err)
		}
	})
	return ns.Name
}
