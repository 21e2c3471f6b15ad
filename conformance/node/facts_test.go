//go:build linux

package node

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// facts read from an object what an annotation of that name speaks of.
var facts = map[string]func(o *unstructured.Unstructured, events []string) []string{
	"phase":               field("status", "phase"),
	"qos":                 field("status", "qosClass"),
	"pod-reason":          field("status", "reason"),
	"claim":               field("status", "phase"),
	"ready-replicas":      field("status", "readyReplicas"),
	"daemons-ready":       field("status", "numberReady"),
	"disruptions-allowed": field("status", "disruptionsAllowed"),
	"exit-code":           ofContainer("state", "terminated", "exitCode"),
	"reason":              ofContainer("state", "terminated", "reason"),
	"message":             ofContainer("state", "terminated", "message"),
	"waiting":             ofContainer("state", "waiting", "reason"),
	"restarts":            ofContainer("restartCount"),
	"restarts-at-most":    ofContainer("restartCount"),
	"container-ready":     ofContainer("ready"),
	"condition":           conditions,
	"event":               func(_ *unstructured.Unstructured, events []string) []string { return events },
}

// agrees compares; numbers that grow may have grown further.
func agrees(what, want, got string) bool {
	switch what {
	case "restarts", "restarts-at-most":
		w, err := strconv.Atoi(want)
		g, err2 := strconv.Atoi(got)
		return err == nil && err2 == nil && (what == "restarts" && g >= w || what != "restarts" && g <= w)
	case "event", "message":
		return regexp.MustCompile("(?s)" + want).MatchString(got)
	default:
		return regexp.MustCompile("^(" + want + ")$").MatchString(got)
	}
}

func field(path ...string) func(*unstructured.Unstructured, []string) []string {
	return func(o *unstructured.Unstructured, _ []string) []string { return at(o.Object, path...) }
}

func at(object map[string]any, path ...string) []string {
	v, ok, err := unstructured.NestedFieldNoCopy(object, path...)
	if !ok || err != nil {
		return nil
	}
	return []string{fmt.Sprint(v)}
}

// mainOf is the container that a check is about.
func mainOf(o *unstructured.Unstructured) string {
	var names []string
	for _, kind := range []string{"containers", "initContainers"} {
		list, _, _ := unstructured.NestedSlice(o.Object, "spec", kind) // a pod has some
		for _, c := range list {
			if m, ok := c.(map[string]any); ok {
				names = append(names, fmt.Sprint(m["name"]))
			}
		}
	}
	if len(names) == 0 || slices.Contains(names, "main") {
		return "main"
	}
	return names[0]
}

func ofContainer(path ...string) func(*unstructured.Unstructured, []string) []string {
	return func(o *unstructured.Unstructured, _ []string) []string {
		list, _, _ := unstructured.NestedSlice(o.Object, "status", "containerStatuses") // none yet
		for _, c := range list {
			if m, ok := c.(map[string]any); ok && m["name"] == mainOf(o) {
				return at(m, path...)
			}
		}
		return nil
	}
}

// conditions are TYPE=STATUS.
func conditions(o *unstructured.Unstructured, _ []string) []string {
	list, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions") // none yet
	var all []string
	for _, c := range list {
		if m, ok := c.(map[string]any); ok {
			all = append(all, fmt.Sprintf("%v=%v", m["type"], m["status"]))
		}
	}
	return all
}
