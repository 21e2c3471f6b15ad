package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/kiwerk/kiwerk/internal/manifest"
)

// invalidValues are those that Kubernetes' validation refuses and a type does not show.
func invalidValues(r *run, o Object) {
	r.names(o)
	r.labels(o, o.Root.Get("metadata", "labels"))
	for _, f := range o.Root.Get("metadata", "annotations").Fields() {
		r.refuse(o, f.Value, f.Name, validation.IsQualifiedName(strings.ToLower(f.Name)))
	}
	if v := o.Root.Get("spec", "schedule"); v.Exists() && o.Kind == "CronJob" && o.group == "batch" {
		if _, err := cron.ParseStandard(v.Text()); err != nil {
			r.refuse(o, v, v.Text(), []string{err.Error()})
		}
	}
	if isService(o) {
		for _, p := range o.Root.Get("spec", "ports").Items() {
			r.port(o, p.Get("port"))
			r.port(o, p.Get("targetPort"))
		}
	}
	for _, p := range podsOf(o) {
		r.podValues(p)
	}
}

// refuse reports the first complaint about a value, if there is one.
func (r *run) refuse(o Object, v manifest.Value, what string, complaints []string) {
	if len(complaints) > 0 {
		r.found(o, v, nil, what, complaints[0])
	}
}

func (r *run) names(o Object) {
	name := o.Root.Get("metadata", "name")
	switch {
	case name.Text() == "":
		if !o.Root.Get("metadata", "generateName").Exists() && !strings.HasSuffix(o.Kind, "Review") {
			r.says("missing-field", o, name, nil, name.Path.String())
		}
	case o.group == "rbac.authorization.k8s.io":
	case isService(o) || o.Kind == "Namespace":
		r.refuse(o, name, name.Text(), validation.IsDNS1123Label(name.Text()))
	default:
		r.refuse(o, name, name.Text(), validation.IsDNS1123Subdomain(name.Text()))
	}
}

// podValues checks the values of a pod.
func (r *run) podValues(p Pod) {
	r.labels(p.Object, p.Meta.Get("labels"))
	if p.group == "argoproj.io" {
		return // names and values may be filled in at run time
	}
	if list := p.Spec.Get("containers"); list.Exists() && len(list.Items()) == 0 {
		r.says("missing-field", p.Object, list, nil, list.Path.String()+"[0]")
	}
	for _, c := range p.Containers {
		r.containerValues(p, c)
	}
}

func (r *run) containerValues(p Pod, c Container) {
	check := func(v manifest.Value, valid func(string) []string) {
		if v.Exists() {
			r.refuse(p.Object, v, v.Text(), valid(v.Text()))
		}
	}
	check(c.Get("name"), validation.IsDNS1123Label)
	if image := c.Get("image"); image.Text() == "" && p.Kind == "Pod" {
		r.says("missing-field", p.Object, image, nil, image.Path.String())
	}
	for _, port := range c.Get("ports").Items() {
		r.port(p.Object, port.Get("containerPort"))
		check(port.Get("name"), validation.IsValidPortName)
	}
	for _, e := range c.Get("env").Items() {
		check(e.Get("name"), validation.IsRelaxedEnvVarName)
	}
}

func (r *run) labels(o Object, v manifest.Value) {
	for _, f := range v.Fields() {
		bad := append(validation.IsQualifiedName(f.Name), validation.IsValidLabelValue(f.Value.Text())...)
		if len(bad) > 0 && !strings.Contains(f.Value.Text(), "{{") {
			r.found(o, f.Value, nil, f.Name+": "+f.Value.Text(), bad[0])
		}
	}
}

func (r *run) port(o Object, v manifest.Value) {
	n, ok := v.Int()
	if !ok {
		return
	}
	if bad := validation.IsValidPortNum(int(n)); len(bad) > 0 {
		r.found(o, v, nil, v.Text(), bad[0])
	}
}

func duplicateObjects(r *run) {
	type key struct{ kind, namespace, name string }
	first := map[key]Object{}
	for _, o := range r.objects {
		if o.Name == "" || o.Kind == "" {
			continue
		}
		k := key{o.GroupKind().String(), o.Namespace, o.Name}
		if before, ok := first[k]; ok {
			r.found(o, o.Root.Get("metadata", "name"), nil, o.String(), before.Root.Doc.File)
			continue
		}
		first[k] = o
	}
}

func duplicateNames(r *run, p Pod) {
	if p.group == "argoproj.io" {
		return
	}
	lists := []manifest.Value{p.Spec.Get("volumes")}
	for _, c := range p.Containers {
		lists = append(lists, c.Get("ports"), c.Get("env"))
	}
	seen := map[string]bool{}
	for _, c := range p.Containers {
		if seen[c.Name] && c.Name != "" {
			r.found(p.Object, c.Get("name"), nil, c.Name)
		}
		seen[c.Name] = true
	}
	for _, l := range lists {
		seen := map[string]bool{}
		for _, i := range l.Items() {
			n := i.Get("name")
			if seen[n.Text()] && n.Text() != "" {
				r.found(p.Object, n, nil, n.Text())
			}
			seen[n.Text()] = true
		}
	}
}

func selectorMismatch(r *run, o Object) {
	if _, ok := podPaths[o.GroupKind()]; !ok || o.Kind == "Job" {
		return
	}
	selector := o.Root.Get("spec", "selector", "matchLabels")
	if o.Kind == "ReplicationController" {
		selector = o.Root.Get("spec", "selector")
	}
	labels := o.Root.Get("spec", "template", "metadata", "labels")
	has := labels.Map()
	var lacks []string
	var edits []manifest.Edit
	for _, f := range selector.Fields() {
		if has[f.Name] != f.Value.Text() {
			lacks = append(lacks, f.Name+"="+f.Value.Text())
			edits = append(edits, manifest.Edit{Path: labels.Get(f.Name).Path, Set: f.Value.Node})
		}
	}
	if len(lacks) > 0 {
		r.found(o, labels, edits, strings.Join(lacks, ", "))
	}
}

// selected are the pods of the input that a Service selects.
func (r *run) selected(o Object) (pods []Pod, others bool) {
	want := o.Root.Get("spec", "selector").Map()
	for _, other := range r.objects {
		if !o.sameNamespace(other) || other.group == "argoproj.io" {
			continue
		}
		for _, p := range podsOf(other) {
			others = true
			has := p.Meta.Get("labels").Map()
			fits := len(want) > 0
			for k, v := range want {
				fits = fits && has[k] == v
			}
			if fits {
				pods = append(pods, p)
			}
		}
	}
	return pods, others
}

func isService(o Object) bool { return o.Kind == "Service" && o.group == "" }

func serviceSelectsNothing(r *run, o Object) {
	selector := o.Root.Get("spec", "selector")
	if !isService(o) || len(selector.Fields()) == 0 {
		return
	}
	if pods, others := r.selected(o); others && len(pods) == 0 {
		var want []string
		for k, v := range selector.Map() {
			want = append(want, k+"="+v)
		}
		slices.Sort(want)
		r.found(o, selector, nil, strings.Join(want, ", "))
	}
}

func servicePort(r *run, o Object) {
	if !isService(o) {
		return
	}
	pods, _ := r.selected(o)
	var declared []string
	for _, p := range pods {
		for _, c := range p.Containers {
			for _, port := range c.Get("ports").Items() {
				declared = append(declared, port.Get("containerPort").Text())
				if n := port.Get("name").Text(); n != "" {
					declared = append(declared, n)
				}
			}
		}
	}
	if len(declared) == 0 {
		return
	}
	for _, p := range o.Root.Get("spec", "ports").Items() {
		v := p.Get("targetPort")
		if !v.Exists() {
			v = p.Get("port")
		}
		if !slices.Contains(declared, v.Text()) {
			r.found(o, v, nil, v.Text(), strings.Join(declared, ", "))
		}
	}
}

// has tells whether the input makes an object of the core group.
func (r *run) has(o Object, kind, name string) bool {
	return slices.ContainsFunc(r.objects, func(other Object) bool {
		return other.Kind == kind && other.Name == name && o.sameNamespace(other)
	})
}

func claimMissing(r *run, p Pod) {
	for _, v := range append(p.Spec.Get("volumes").Items(), p.workflowSpec().Get("volumes").Items()...) {
		claim := v.Get("persistentVolumeClaim", "claimName")
		if claim.Exists() && !r.has(p.Object, "PersistentVolumeClaim", claim.Text()) && !strings.Contains(claim.Text(), "{{") {
			r.found(p.Object, claim, nil, claim.Text())
		}
	}
}

func referenceMissing(r *run, p Pod) {
	need := func(kind string, holder manifest.Value, name string) {
		v := holder.Get(name)
		if v.Text() == "" || holder.Get("optional").IsTrue() || strings.Contains(v.Text(), "{{") || r.has(p.Object, kind, v.Text()) {
			return
		}
		r.found(p.Object, v, nil, kind+" "+v.Text())
	}
	for _, v := range p.Spec.Get("volumes").Items() {
		need("Secret", v.Get("secret"), "secretName")
		need("ConfigMap", v.Get("configMap"), "name")
	}
	for _, c := range p.Containers {
		for _, e := range c.Get("envFrom").Items() {
			need("Secret", e.Get("secretRef"), "name")
			need("ConfigMap", e.Get("configMapRef"), "name")
		}
		for _, e := range c.Get("env").Items() {
			need("Secret", e.Get("valueFrom", "secretKeyRef"), "name")
			need("ConfigMap", e.Get("valueFrom", "configMapKeyRef"), "name")
		}
	}
	if sa := p.Spec.Get("serviceAccountName"); sa.Text() != "default" {
		need("ServiceAccount", p.Spec, "serviceAccountName")
	}
}

func volumeMissing(r *run, p Pod, c Container) {
	var names []string
	for _, v := range append(p.Spec.Get("volumes").Items(), p.workflowSpec().Get("volumes").Items()...) {
		names = append(names, v.Get("name").Text())
	}
	for _, v := range p.Root.Get("spec", "volumeClaimTemplates").Items() {
		names = append(names, v.Get("metadata", "name").Text())
	}
	for _, v := range p.workflowSpec().Get("volumeClaimTemplates").Items() {
		names = append(names, v.Get("metadata", "name").Text())
	}
	for _, m := range c.Get("volumeMounts").Items() {
		if n := m.Get("name"); n.Exists() && !slices.Contains(names, n.Text()) {
			r.found(p.Object, n, nil, n.Text())
		}
	}
}

func restartPolicy(r *run, p Pod) {
	v := p.Spec.Get("restartPolicy")
	is := v.Text()
	if is == "" {
		is = "Always"
	}
	switch {
	case (p.Kind == "Job" || p.Kind == "CronJob") && is == "Always":
		r.found(p.Object, v, []manifest.Edit{{Path: v.Path, Set: manifest.Scalar("Never")}}, p.Kind, "Never, OnFailure", is)
	case p.Server && is != "Always":
		r.found(p.Object, v, []manifest.Edit{{Path: v.Path, Set: manifest.Scalar("Always")}}, p.Kind, "Always", is)
	}
}

func sharedClaim(r *run, p Pod) {
	replicas, _ := p.Root.Get("spec", "replicas").Int()
	if !p.Server || replicas < 2 {
		return
	}
	for _, v := range p.Spec.Get("volumes").Items() {
		name := v.Get("persistentVolumeClaim", "claimName")
		for _, o := range r.objects {
			if o.Kind != "PersistentVolumeClaim" || o.Name != name.Text() || !p.sameNamespace(o) {
				continue
			}
			modes := o.Root.Get("spec", "accessModes").Texts()
			if !slices.Contains(modes, "ReadWriteMany") && !slices.Contains(modes, "ReadOnlyMany") {
				r.found(p.Object, name, nil, p.Root.Get("spec", "replicas").Text(), name.Text(), strings.Join(modes, ", "))
			}
		}
	}
}

var sqlite = regexp.MustCompile(`sqlite:///(/?[^\s'"]+)`)

// stateInContainer finds database files that lie on no volume.
func stateInContainer(r *run, p Pod, c Container) {
	if !p.Server {
		return
	}
	for _, v := range append(c.Get("command").Items(), c.Get("args").Items()...) {
		m := sqlite.FindStringSubmatch(v.Text())
		if m == nil {
			continue
		}
		file, onVolume := m[1], false
		for _, mount := range c.Get("volumeMounts").Items() {
			at := strings.TrimSuffix(mount.Get("mountPath").Text(), "/") + "/"
			onVolume = onVolume || strings.HasPrefix(file, at) || strings.HasPrefix(c.Get("workingDir").Text()+"/"+file, at)
		}
		if !onVolume {
			r.found(p.Object, v, nil, file)
		}
	}
}

func handMadeNode(r *run, o Object) {
	if o.Kind == "Node" && o.group == "" {
		r.found(o, o.Root.Get("kind"), nil)
	}
}
