package lint

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kiwerk/kiwerk/internal/manifest"
	"github.com/kiwerk/kiwerk/internal/text"
)

// isExtended tells whether a resource is one that devices bring: it has a domain that is not Kubernetes' own.
func isExtended(name string) bool {
	domain, _, ok := strings.Cut(name, "/")
	return ok && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

func isGPU(name string) bool {
	return isExtended(name) && (strings.HasSuffix(name, "/gpu") || strings.HasSuffix(name, "/gpu.shared") || strings.HasPrefix(name, "nvidia.com/mig-"))
}

func extendedResources(r *run, p Pod, c Container) {
	limits, requests := c.Get("resources", "limits"), c.Get("resources", "requests")
	for _, f := range append(limits.Fields(), requests.Fields()...) {
		if q, err := resource.ParseQuantity(f.Value.Text()); isExtended(f.Name) && err == nil && q.MilliValue()%1000 != 0 {
			r.as(text.LintNotWhole, p.Object, f.Value, nil, f.Name, f.Value.Text())
			return
		}
	}
	for _, f := range requests.Fields() {
		limit := limits.Get(f.Name)
		switch {
		case !isExtended(f.Name) || sameQuantity(f.Value.Text(), limit.Text()):
		case !limit.Exists():
			r.as(text.LintRequestOnly, p.Object, f.Value, []manifest.Edit{{Path: limit.Path, Set: f.Value.Node}}, f.Name)
		default:
			r.found(p.Object, f.Value, []manifest.Edit{{Path: f.Value.Path, Set: limit.Node}}, f.Name, f.Value.Text(), limit.Text())
		}
	}
}

func sameQuantity(a, b string) bool {
	x, errA := resource.ParseQuantity(a)
	y, errB := resource.ParseQuantity(b)
	return errA == nil && errB == nil && x.Cmp(y) == 0
}

// gpus is how many GPUs a container asks for, and of which resource.
func gpus(c Container) (name string, n int64) {
	for _, list := range []string{"limits", "requests"} {
		for _, f := range c.Get("resources", list).Fields() {
			if q, err := resource.ParseQuantity(f.Value.Text()); isGPU(f.Name) && err == nil && q.Value() > 0 {
				return f.Name, q.Value()
			}
		}
	}
	return "", 0
}

// taint of a node.
type taint struct{ key, value, effect string }

// gpuTaints are those of the GPU nodes of the input, if every one of them has some.
func (r *run) gpuTaints(gpu string) []taint {
	var out []taint
	for _, o := range r.objects {
		if o.Kind != "Node" || o.group != "" {
			continue
		}
		var mine []taint
		about := isGPUNode(o)
		for _, t := range o.Root.Get("spec", "taints").Items() {
			one := taint{t.Get("key").Text(), t.Get("value").Text(), t.Get("effect").Text()}
			about = about || one.key == gpu
			if one.effect != "PreferNoSchedule" {
				mine = append(mine, one)
			}
		}
		switch {
		case about && len(mine) == 0:
			return nil
		case about && out == nil:
			out = mine
		}
	}
	return out
}

func isGPUNode(o Object) bool {
	for _, f := range o.Root.Get("metadata", "labels").Fields() {
		if f.Name == "accelerator" || f.Name == "cloud.google.com/gke-accelerator" || strings.HasPrefix(f.Name, "nvidia.com/gpu") {
			return true
		}
	}
	return slices.ContainsFunc(o.Root.Get("status", "capacity").Fields(), func(f manifest.Field) bool { return isGPU(f.Name) })
}

func gpuToleration(r *run, p Pod) {
	gpu := ""
	for _, c := range p.Containers {
		if name, n := gpus(c); n > 0 {
			gpu = name
		}
	}
	if gpu == "" {
		return
	}
	tolerations := append(p.Spec.Get("tolerations").Items(), p.workflowSpec().Get("tolerations").Items()...)
	for _, t := range r.gpuTaints(gpu) {
		if slices.ContainsFunc(tolerations, t.tolerated) {
			continue
		}
		v := p.Spec.Get("tolerations")
		add := "key: " + t.key + "\noperator: Exists\neffect: " + t.effect
		if t.value != "" {
			add = "key: " + t.key + "\noperator: Equal\nvalue: " + strconv.Quote(t.value) + "\neffect: " + t.effect
		}
		r.found(p.Object, v, []manifest.Edit{{Path: v.Path, Append: manifest.YAML(add)}}, gpu, t.key+":"+t.effect)
	}
}

// tolerated follows the scheduler: an empty key with Exists tolerates all, an empty effect every effect.
func (t taint) tolerated(v manifest.Value) bool {
	key, op, effect := v.Get("key").Text(), v.Get("operator").Text(), v.Get("effect").Text()
	if effect != "" && effect != t.effect || key != "" && key != t.key {
		return false
	}
	if op == "Exists" {
		return true
	}
	return key != "" && (op == "" || op == "Equal") && v.Get("value").Text() == t.value
}

var (
	perNode   = regexp.MustCompile(`(?:--nproc[-_]per[-_]node|--num[-_]processes)(?:[= ]+)(\S+)`)
	mpi       = regexp.MustCompile(`(?:mpirun|mpiexec)\b.*\s-{1,2}(?:np|n)[= ]+(\d+)`)
	launchers = regexp.MustCompile(`\b(torchrun|accelerate|deepspeed|horovodrun|mpirun|mpiexec)\b|torch\.distributed\.(run|launch)`)
)

// worldSize compares WORLD_SIZE with what the object starts.
func worldSize(r *run, p Pod, c Container) {
	job := p.Root.Get("spec")
	switch p.Kind {
	case "Job":
	case "CronJob":
		job = p.Root.Get("spec", "jobTemplate", "spec")
	case "Pod":
		job = manifest.Value{}
	default:
		return
	}
	var size manifest.Value
	var others []manifest.Edit
	for _, e := range c.Get("env").Items() {
		switch e.Get("name").Text() {
		case "WORLD_SIZE":
			size = e.Get("value")
			others = append(others, manifest.Edit{Path: e.Path, Remove: true})
		case "RANK", "LOCAL_RANK":
			others = append(others, manifest.Edit{Path: e.Path, Remove: true})
		}
	}
	want, err := strconv.ParseInt(size.Text(), 10, 64)
	if err != nil {
		return
	}
	pods := int64(1)
	if n, ok := job.Get("parallelism").Int(); ok {
		pods = n
	}
	if n, ok := job.Get("completions").Int(); ok {
		pods = min(pods, n)
	}
	perPod, known := processes(c)
	if !known || want <= pods*perPod {
		return
	}
	var edits []manifest.Edit
	if launch, at, ok := withTorchrun(c, max(want/max(pods, 1), 1)); ok && pods == 1 {
		edits = slices.Concat(others, []manifest.Edit{{Path: at, Set: launch}})
	}
	r.found(p.Object, size, edits, size.Text(), strconv.FormatInt(pods*perPod, 10))
}

// processes is how many a container starts; unknown when a launcher decides by itself.
func processes(c Container) (n int64, known bool) {
	line := strings.Join(append(c.Get("command").Texts(), c.Get("args").Texts()...), " ")
	if m := perNode.FindStringSubmatch(line); m != nil {
		if n, err := strconv.ParseInt(strings.Trim(m[1], `"'`), 10, 64); err == nil {
			return n, true
		}
		if _, n := gpus(c); n > 0 {
			return n, true // auto, gpu
		}
		return 0, false
	}
	if m := mpi.FindStringSubmatch(line); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		return n, err == nil
	}
	if strings.Contains(line, "torchrun") {
		return 1, true // its default
	}
	// Another launcher decides by itself; without a command the image does.
	return 1, line != "" && !launchers.MatchString(line)
}

// withTorchrun turns python SCRIPT into torchrun SCRIPT with n processes.
func withTorchrun(c Container, n int64) (launch *yaml.Node, at manifest.Path, ok bool) {
	command := c.Get("command")
	words := command.Texts()
	if len(words) == 0 || !strings.HasPrefix(path.Base(words[0]), "python") {
		return nil, nil, false
	}
	rest := words[1:]
	for len(rest) > 0 && rest[0] == "-u" {
		rest = rest[1:]
	}
	if len(rest) == 0 && len(c.Get("args").Items()) == 0 {
		return nil, nil, false
	}
	return manifest.Flow(append([]string{"torchrun", "--standalone", "--nproc-per-node=" + strconv.FormatInt(n, 10)}, rest...)...), command.Path, true
}
