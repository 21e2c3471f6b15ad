package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/kiwerk/kiwerk/internal/manifest"
)

func latestTag(r *run, p Pod, c Container) {
	image := c.Get("image")
	name := image.Text()
	if name == "" || strings.Contains(name, "@") || strings.Contains(name, "{{") {
		return
	}
	last := name[strings.LastIndex(name, "/")+1:]
	_, tag, ok := strings.Cut(last, ":")
	if !ok || tag == "latest" || strings.HasPrefix(tag, "latest-") || strings.HasSuffix(tag, "-latest") {
		r.found(p.Object, image, nil, name)
	}
}

// setting is a field of the security context that the level restricted asks for.
type setting struct {
	path []string
	ok   func(manifest.Value) bool
	fix  string
	pod  bool // the pod may say it for all
}

var restricted = []setting{
	{[]string{"allowPrivilegeEscalation"}, manifest.Value.IsFalse, "false", false},
	{[]string{"capabilities", "drop"}, func(v manifest.Value) bool { return slices.Contains(v.Texts(), "ALL") }, "[ALL]", false},
	{[]string{"runAsNonRoot"}, manifest.Value.IsTrue, "true", true},
	{[]string{"seccompProfile", "type"}, func(v manifest.Value) bool { return v.Text() == "RuntimeDefault" || v.Text() == "Localhost" }, "RuntimeDefault", true},
}

func noSecurityContext(r *run, p Pod, c Container) {
	own := c.Get("securityContext")
	if own.Get("privileged").IsTrue() {
		return // said by privileged
	}
	var lacks []string
	var edits []manifest.Edit
	for _, s := range restricted {
		v := own.Get(s.path...)
		pod := s.ok(p.Spec.Get("securityContext").Get(s.path...)) || s.ok(p.workflowSpec().Get("securityContext").Get(s.path...))
		if s.ok(v) || s.pod && pod && !v.Exists() {
			continue
		}
		lacks = append(lacks, strings.Join(s.path, "."))
		edits = append(edits, manifest.Edit{Path: v.Path, Set: manifest.YAML(s.fix)})
	}
	if len(lacks) > 0 {
		r.found(p.Object, own, edits, c.Name, strings.Join(lacks, ", "))
	}
}

func privileged(r *run, p Pod, c Container) {
	if v := c.Get("securityContext", "privileged"); v.IsTrue() {
		r.found(p.Object, v, nil, "privileged", c.Name)
	}
	add := c.Get("securityContext", "capabilities", "add")
	for _, v := range add.Items() {
		if slices.Contains([]string{"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "NET_ADMIN", "SYS_RAWIO", "BPF", "DAC_READ_SEARCH"}, strings.TrimPrefix(v.Text(), "CAP_")) {
			r.found(p.Object, v, nil, "capability "+v.Text(), c.Name)
		}
	}
}

func runsAsRoot(r *run, p Pod, c Container) {
	for _, s := range []manifest.Value{c.Get("securityContext"), p.Spec.Get("securityContext")} {
		if v := s.Get("runAsUser"); v.Text() == "0" {
			r.found(p.Object, v, nil, "runAsUser: 0", c.Name)
			return
		}
		if v := s.Get("runAsNonRoot"); v.IsFalse() {
			r.found(p.Object, v, nil, "runAsNonRoot: false", c.Name)
			return
		}
	}
}

func hostPath(r *run, p Pod) {
	for _, v := range append(p.Spec.Get("volumes").Items(), p.workflowSpec().Get("volumes").Items()...) {
		if h := v.Get("hostPath", "path"); h.Exists() {
			r.found(p.Object, h, nil, h.Text())
		}
	}
}

func hostNamespace(r *run, p Pod) {
	for _, name := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		if v := p.Spec.Get(name); v.IsTrue() {
			r.found(p.Object, v, nil, name)
		}
	}
}

var (
	secretName = regexp.MustCompile(`(?i)(^|_)(PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|API_?KEY|ACCESS_KEY|SECRET_KEY|PRIVATE_KEY|CREDENTIALS?|WEBHOOK)($|_(ID|KEY|VALUE|URL))`)
	harmless   = regexp.MustCompile(`(?i)_(FILE|PATH|NAME|DIR|TTL|TYPE|HEADER)$|^\$\(|^/`)
)

func secretInEnv(r *run, p Pod, c Container) {
	for _, e := range c.Get("env").Items() {
		name, v := e.Get("name").Text(), e.Get("value")
		if v.Text() != "" && secretName.MatchString(name) && !harmless.MatchString(name) && !harmless.MatchString(v.Text()) && !strings.Contains(v.Text(), "{{") {
			r.found(p.Object, v, nil, name)
		}
	}
}

func noLimits(r *run, p Pod, c Container) {
	if c.Init {
		return
	}
	has := func(list, name string) bool {
		return c.Get("resources", list, name).Exists() || p.Spec.Get("resources", list, name).Exists()
	}
	var lacks []string
	// A limit alone is the request as well.
	if !has("requests", "cpu") && !has("limits", "cpu") {
		lacks = append(lacks, "requests.cpu")
	}
	if !has("requests", "memory") && !has("limits", "memory") {
		lacks = append(lacks, "requests.memory")
	}
	if !has("limits", "memory") {
		lacks = append(lacks, "limits.memory")
	}
	if len(lacks) > 0 {
		r.found(p.Object, c.Get("resources"), nil, c.Name, strings.Join(lacks, ", "))
	}
}

func noProbes(r *run, p Pod, c Container) {
	if p.Server && !c.Init && len(c.Get("ports").Items()) > 0 && !c.Get("readinessProbe").Exists() {
		r.found(p.Object, c.Get("readinessProbe"), nil, c.Name)
	}
}
