package lint

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	argo "github.com/kiwerk/kiwerk/api/argo/v1alpha1"
	kiwerk "github.com/kiwerk/kiwerk/api/kiwerk/v1alpha1"
	serving "github.com/kiwerk/kiwerk/api/serving/v1beta1"
	"github.com/kiwerk/kiwerk/internal/jsonfields"
	"github.com/kiwerk/kiwerk/internal/manifest"
	"github.com/kiwerk/kiwerk/internal/text"
)

// served has the types of what Kubernetes and Kiwerk serve.
var served = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, argo.AddToScheme, kiwerk.AddToScheme, serving.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) //nolint:forbidigo // Two types of one name are a programming error and the first test finds it.
		}
	}
	return s
}()

// schemaWalk compares an object with its Go type.
type schemaWalk struct {
	run    *run
	object Object
}

// fields checks an object whose type is known.
func (r *run) fields(o Object, t reflect.Type) {
	w := schemaWalk{run: r, object: o}
	w.value(o.Root, t)
}

var (
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	bytesType   = reflect.TypeFor[[]byte]()
	quantity    = reflect.TypeFor[resource.Quantity]()
)

func (w *schemaWalk) value(v manifest.Value, t reflect.Type) {
	if !v.Exists() {
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) || t == bytesType {
		w.opaque(v, t)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		w.structure(v, t)
	case reflect.Map:
		if !w.is(v, yaml.MappingNode, "a mapping") {
			return
		}
		for _, f := range v.Fields() {
			w.value(f.Value, t.Elem())
		}
	case reflect.Slice:
		if !w.is(v, yaml.SequenceNode, "a list") {
			return
		}
		for _, i := range v.Items() {
			w.value(i, t.Elem())
		}
	case reflect.Interface:
	default:
		w.scalar(v, t)
	}
}

// is complains about a value of another shape.
func (w *schemaWalk) is(v manifest.Value, kind yaml.Kind, want string) bool {
	if v.Node.Kind == kind {
		return true
	}
	w.run.says("wrong-type", w.object, v, nil, describe(v), want)
	return false
}

func describe(v manifest.Value) string {
	switch v.Node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	default:
	}
	switch manifest.Tag(v.Node) {
	case "!!int", "!!float":
		return "the number " + v.Text()
	case "!!bool":
		return "the boolean " + v.Text()
	}
	return "the text " + strconv.Quote(v.Text())
}

// opaque values read themselves: quantities, times, ports.
func (w *schemaWalk) opaque(v manifest.Value, t reflect.Type) {
	b, err := v.JSON()
	if err != nil {
		return
	}
	if err = json.Unmarshal(b, reflect.New(t).Interface()); err == nil {
		return
	}
	why := err.Error()
	if t == quantity {
		why = "a quantity is a number with a unit such as 500m, 2 or 8Gi"
	}
	value := v.Text()
	if value == "" {
		value = string(b)
	}
	w.run.says("invalid-value", w.object, v, nil, value, why)
}

func (w *schemaWalk) scalar(v manifest.Value, t reflect.Type) {
	want, fits := "", func(string) bool { return false }
	var tags []string
	switch t.Kind() {
	case reflect.String:
		want, tags = "text", []string{"!!str", "!!timestamp"}
	case reflect.Bool:
		want, tags = "true or false", []string{"!!bool"}
		fits = func(s string) bool { return s == "true" || s == "false" }
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Int16, reflect.Int8, reflect.Uint8, reflect.Uint:
		want, tags = "a whole number", []string{"!!int"}
		fits = func(s string) bool { _, err := strconv.ParseInt(s, 10, 64); return err == nil }
	case reflect.Float32, reflect.Float64:
		want, tags = "a number", []string{"!!int", "!!float"}
		fits = func(s string) bool { _, err := strconv.ParseFloat(s, 64); return err == nil }
	default:
		return
	}
	if v.Node.Kind == yaml.ScalarNode && slices.Contains(tags, manifest.Tag(v.Node)) {
		w.allowed(v, t)
		return
	}
	var edits []manifest.Edit
	if v.Node.Kind == yaml.ScalarNode {
		switch {
		case t.Kind() == reflect.String:
			edits = []manifest.Edit{{Path: v.Path, Set: manifest.Scalar(v.Text())}}
		case fits(v.Text()):
			edits = []manifest.Edit{{Path: v.Path, Set: manifest.Plain(v.Text())}}
		}
	}
	w.run.says("wrong-type", w.object, v, edits, describe(v), want)
}

// allowed checks values of which there are only a few.
func (w *schemaWalk) allowed(v manifest.Value, t reflect.Type) {
	list, ok := enums[t]
	if !ok || slices.Contains(list, v.Text()) || v.Text() == "" {
		return
	}
	var edits []manifest.Edit
	for _, one := range list {
		if strings.EqualFold(one, v.Text()) {
			edits = []manifest.Edit{{Path: v.Path, Set: manifest.Scalar(one)}}
		}
	}
	w.run.says("invalid-value", w.object, v, edits, v.Text(), "allowed are "+strings.Join(list, ", "))
}

func (w *schemaWalk) structure(v manifest.Value, t reflect.Type) {
	if !w.is(v, yaml.MappingNode, "a mapping") {
		return
	}
	known := jsonfields.Of(t)
	present := map[string]bool{}
	for _, f := range v.Fields() {
		present[f.Name] = f.Value.Exists()
		field, ok := known[f.Name]
		if !ok {
			w.unknown(f, t, known)
			continue
		}
		if f.Name == "status" && len(v.Path) == len(w.object.Root.Path) {
			continue // written by controllers
		}
		w.value(f.Value, field.Type)
	}
	for _, name := range sortedKeys(known) {
		if known[name].Always && !present[name] && !optional[t.Name()+"."+name] {
			w.run.says("missing-field", w.object, v.Get(name), nil, v.Get(name).Path.String())
		}
	}
}

func (w *schemaWalk) unknown(f manifest.Field, t reflect.Type, known map[string]jsonfields.Field) {
	near := nearest(f.Name, sortedKeys(known))
	if near == "" {
		w.run.says("unknown-field", w.object, f.Value, nil, f.Name, t.Name())
		return
	}
	var edits []manifest.Edit
	if parent := (manifest.Value{Node: f.Value.Node}); parent.Node != nil && !hasKey(w.object, f.Value.Path, near) {
		edits = []manifest.Edit{{Path: f.Value.Path, Rename: near}}
	}
	w.run.add("unknown-field", w.object, f.Value, f.Value.Path.String(), text.S(text.LintUnknownNear, f.Name, t.Name(), near), edits)
}

// hasKey tells whether the mapping that holds path has another key.
func hasKey(o Object, path manifest.Path, key string) bool {
	v := o.Root.Doc.Root()
	for _, s := range path[:len(path)-1] {
		switch s := s.(type) {
		case int:
			v = v.At(s)
		case string:
			v = v.Get(s)
		}
	}
	return v.Get(key).Node != nil
}

// optional are fields that the types write always but the API does not ask for.
var optional = map[string]bool{
	"TypedObjectReference.apiGroup": true, "TypedLocalObjectReference.apiGroup": true, "AzureFilePersistentVolumeSource.secretNamespace": true,
	"ProjectedVolumeSource.sources": true, "GRPCAction.service": true, "Event.reportingComponent": true, "Event.reportingInstance": true,
	"StatefulSetSpec.serviceName": true, "StatefulSetOrdinals.start": true, "PodFailurePolicyOnPodConditionsPattern.status": true,
	"NetworkPolicySpec.podSelector": true, "IngressClassParametersReference.scope": true, "RoleRef.apiGroup": true, "Role.rules": true, "ClusterRole.rules": true,
	"CSINodeDriver.topologyKeys": true, "PriorityClass.value": true, "EndpointSlice.endpoints": true, "EndpointSlice.ports": true,
	"ControllerRevision.revision": true, "CustomResourceDefinition.status": true, "ReplicaSetSpec.template": true, "LimitRangeSpec.limits": false,
}

// nearest is the one name that a typo probably means, or nothing.
func nearest(name string, names []string) string {
	best, bestDistance := "", 3
	for _, n := range names {
		d := distance(strings.ToLower(name), strings.ToLower(n))
		switch {
		case d > 2 || d*3 > len(name):
		case d < bestDistance:
			best, bestDistance = n, d
		case d == bestDistance:
			best = "" // two are as near: no guess
		}
	}
	return best
}

// distance counts insertions, deletions and replacements.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := left
			if a[i] != b[j] {
				cost = 1 + min(left, row[j], row[j+1])
			}
			left, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

func typeName(o Object) string { return fmt.Sprintf("%s %s", o.APIVersion, o.Kind) }
